"""An option that a command does not have: where it belongs and what is nearest, truly."""

import ast
import itertools
import re
import shlex

import pytest

from mamlprobe.cli import COMMANDS, main
from mamlprobe.commands.arguments.options import option_names, unknown_option

KNOWN = option_names(COMMANDS)

NAMED = [name for name in KNOWN if name not in ("", "import")]
"""Commands that have options of their own."""


def test_the_names_are_tyros(capsys):
    """Those of the completion file, which tyro makes of the same dataclasses."""
    assert main(["--tyro-print-completion", "bash"]) == 0
    line = re.search(r"^COMPLETION_SPEC = (.*)$", capsys.readouterr().out, re.MULTILINE)
    found = {}

    def walk(spec, path):
        found[" ".join(path)] = sorted(flag for option in spec["options"] for flag in option["flags"])
        for name, each in spec["subcommands"].items():
            walk(each, [*path, name])

    walk(ast.literal_eval(line[1]), [])
    found[""] = sorted([*found[""], "--version"])
    assert found == {name: sorted(own) for name, own in KNOWN.items()}


@pytest.mark.parametrize(("here", "there"), list(itertools.permutations(NAMED, 2)))
def test_an_option_of_another_command(here, there):
    """Every one: the line says whose it is, and what it advises is an option of this command and another word."""
    for option in set(KNOWN[there]) - set(KNOWN[here]):
        line = str(unknown_option([*here.split(), "a", option, "3"], KNOWN))
        assert line.startswith(f"mamlprobe {here}: the options must be those of this command, got {option} (an ")
        homes = re.search(r"\(an option of ([^)]*)\)", line)[1].split(", ")
        assert homes == [name for name, own in KNOWN.items() if option in own]
        meant = re.search(r"did you mean (.*)\?$", line)
        if meant is None:
            assert line.endswith(f"; see mamlprobe {here} --help")
        else:
            assert set(meant[1].split(", ")) <= set(KNOWN[here]) - {option}


@pytest.mark.parametrize("command", NAMED)
def test_options_that_it_has_are_no_fault(command):
    for option in KNOWN[command]:
        assert unknown_option([*command.split(), "a", option.replace("-", "_").replace("__", "--", 1)], KNOWN) is None
        assert unknown_option([*command.split(), f"{option}=3"], KNOWN) is None
    assert unknown_option([*command.split(), "-1", "--", "--no-such-option"], KNOWN) is None


HAVE_INNER = "evaluate, probe, certify, import auto, import kao, import state_dict, report, survey"


@pytest.mark.parametrize(
    ("words", "got", "advice"),
    [
        ("import kao FILE --inner.lr 0.1", "--inner.lr (an option of train)", "did you mean --inner-lr?"),
        ("import state_dict FILE --inner.steps=3", "--inner.steps (an option of train)", "did you mean --steps?"),
        (
            "import kao FILE --module a:B",
            "--module (an option of evaluate, probe, certify, import state_dict, export, report, survey)",
            "see mamlprobe import kao --help",
        ),
        ("train maml --inner-lr 3", f"--inner-lr (an option of {HAVE_INNER})", "did you mean --inner.lr?"),
        ("train maml --contrast", "--contrast (an option of certify)", "see mamlprobe train --help"),
        ("data omniglot --no-contrast", "--no-contrast (an option of certify)", "see mamlprobe data --help"),
        (
            "evaluate r --head fc",
            "--head (an option of train, import auto, import state_dict)",
            "see mamlprobe evaluate --help",
        ),
        ("data --Fetch", "--Fetch", "did you mean --fetch?"),
        ("train maml --no-graf", "--no-graf", "did you mean --no-graph?"),
        ("report r --out-dir x", "--out-dir", "did you mean --out?"),
        (
            "train maml --lrs 3 --episodes 4",
            "--lrs, --episodes (an option of evaluate, probe, report, table, survey)",
            "see mamlprobe train --help",
        ),
        (
            "import --image 1 2 2 kao FILE",
            "--image (an option of import auto, import kao, import state_dict)",
            "write it behind import kao",
        ),
        ("--fetch data", "--fetch (an option of data)", "write it behind data"),
        ("--fetch", "--fetch (an option of data)", "name one of them first"),
        ("--versions", "--versions", "did you mean --version?"),
    ],
)
def test_what_is_said(words, got, advice, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(words)) == 2
    where, _, line = capsys.readouterr().err.partition(": ")
    assert f"{where} ".startswith("mamlprobe ")
    must = "an option must come behind its command" if advice[:2] in ("wr", "na") else "the options must be those of"
    assert line.startswith(must)
    assert line.endswith(f", got {got}; {advice}\n")
