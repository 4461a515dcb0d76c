"""Words are printed without the libraries that compute: no help, version, completion file or mistake waits for them."""

import subprocess
import sys

import pytest

from mamlprobe.cli import COMMANDS, EXAMPLES

HEAVY = {"torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "PIL", "fontTools", "jinja2"}

HELPS = ["", "--version", "--help", "-h", *(f"{name} --help" for name in EXAMPLES if name)]
HELPS += ["train sinusoid-maml --preset paper --help", "probe layers RUN --help", "import kao FILE -h"]
HELPS += ["--tyro-print-completion bash", "--tyro-print-completion zsh"]
MISTAKES = ["nonsense", "train nonsense", "train maml --lr 3", "evaluate RUN --inner.lr 0.1", "import kao FILE"]


def imported(*words):
    """Names of the packages that Python imports for these words, and its exit code."""
    done = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}, done.returncode


@pytest.mark.parametrize("words", HELPS)
def test_a_help_imports_nothing_that_computes(words):
    names, code = imported("-m", "mamlprobe", *words.split())
    assert (names & HEAVY, code) == (set(), 2 if words == "" else 0)
    assert {"mamlprobe", "tyro"} <= names


@pytest.mark.parametrize("words", MISTAKES)
def test_nor_does_a_mistake_in_the_words(words):
    names, code = imported("-m", "mamlprobe", *words.split())
    assert (names & HEAVY, code) == (set(), 2)


def test_the_package_and_its_settings_import_nothing_that_computes():
    names, code = imported("-c", "import mamlprobe")
    assert (names & (HEAVY | {"tyro"}), code) == (set(), 0)
    names, code = imported("-c", "import mamlprobe as mp; mp.recipe('maml'), mp.METHODS, mp.NetSpec(), mp.Experiment()")
    assert (names & (HEAVY | {"tyro"}), code) == (set(), 0)


def test_what_computes_is_seen():
    names, code = imported("-c", "import mamlprobe as mp; mp.conv4")
    assert "torch" in names
    assert code == 0


def test_every_help_is_among_them():
    assert {words.split()[0] for words in HELPS if words} >= set(COMMANDS)
