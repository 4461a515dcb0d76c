"""The release: what sdist and wheel hold, that they are the same bytes each time, and a newcomer's first steps."""

import os
import re
import subprocess
import sys
import tomllib
import venv
from email.parser import BytesParser
from pathlib import Path

import pytest

import mamlprobe
from tests.release.building import build, contents, faults, sources

ROOT = Path(__file__).parents[2]
STRANGER = Path(__file__).parent / "stranger.py"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("aside"))


def test_nothing_lacks_and_nothing_is_too_much(built):
    assert faults(*map(contents, built)) == []
    (top,) = {name.partition("/")[0] for name in contents(built[1]) if ".dist-info/" not in name}
    assert top == "mamlprobe"


def test_what_lacks_or_is_too_much_is_told(built):
    sdist, wheel = map(contents, built)
    licence = next(name for name in wheel if name.endswith("/LICENSE"))
    for name in ("mamlprobe/py.typed", "mamlprobe/native/cpp/kernels.cpp", "mamlprobe/analyses/overview.py", licence):
        (said,) = faults(sdist, {each: value for each, value in wheel.items() if each != name})
        assert said.startswith("wheel: ")
    for name in ("tests/tiny.py", "mamlprobe/data/__pycache__/pool.cpython-311.pyc", "analyses/__init__.py"):
        assert faults(sdist, wheel | {name: b""}) == [f"wheel: {name} is too much"]
    assert faults(sdist | {"tests/tiny.py": b""}, wheel) == ["sdist: tests/tiny.py is too much"]
    assert faults(sdist | {"setup.py": b""}, wheel) == ["sdist: setup.py lacks or differs"]


def test_two_builds_are_the_same_bytes(built, tmp_path, monkeypatch):
    """Also at another time and under another mask; another date gives others."""
    before = [path.read_bytes() for path in built]
    mask = os.umask(0o077)
    try:
        again = build(tmp_path / "again", tmp_path / "aside")
    finally:
        os.umask(mask)
    assert [path.name for path in again] == [path.name for path in built]
    assert [path.read_bytes() for path in again] == before
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    other = build(tmp_path / "other", tmp_path / "beside")
    assert all(path.read_bytes() != old for path, old in zip(other, before, strict=True))


def test_the_metadata_say_what_pyproject_says(built):
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    files = contents(built[1])
    (name,) = [each for each in files if each.endswith(".dist-info/METADATA")]
    told = BytesParser().parsebytes(files[name])
    assert told["Version"] == mamlprobe.__version__
    assert told["Requires-Python"] == stated["requires-python"]
    assert set(told.get_all("Provides-Extra")) == set(stated["optional-dependencies"])
    wanted = [each for each in told.get_all("Requires-Dist") if "extra ==" not in each]
    assert len(wanted) == len(stated["dependencies"])


def test_sources_are_what_git_would_commit():
    named = sources()
    assert {"mamlprobe/py.typed", "analyses/overview.py", "LICENSE"} <= set(named)
    assert not [name for name in named if name.startswith((".venv", "dist/")) or "__pycache__" in name]


@pytest.mark.slow
def test_a_newcomer_with_the_wheel_alone_gets_a_figure_of_her_own_module(built, tmp_path):
    """In an environment of its own with the wheel; what the wheel needs is lent by the one of the tests."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"MPLBACKEND": "agg", "MAMLPROBE_CACHE": str(tmp_path / "cache")}
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", ask], env=env, text=True).strip())
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(built[1])], check=True, env=env)
    (site / "lent.pth").write_text("".join(f"{path}\n" for path in sys.path if path.endswith("-packages")))
    (tmp_path / "work").mkdir()
    words = {"cwd": tmp_path / "work", "env": env, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([python, str(STRANGER)], **words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"passed: Python {sys.version.split()[0]}, mamlprobe {mamlprobe.__version__} in {site}" in done.stdout
    record = (tmp_path / "work" / "figs" / "provenance" / "collins_fig1_linear.json").read_text()
    assert f'"commit": "none: release {mamlprobe.__version__}"' in record
    assert '"command": "mamlprobe reproduce collins_fig1_linear --preset smoke"' in record


def test_the_version_is_the_same_everywhere():
    """In the package, which the wheel asks, in CITATION.cff with its date, and on top of the changelog."""
    cited = dict(re.findall(r"^([a-z-]+): (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE))
    dates = re.findall(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert dates == sorted(dates, key=lambda each: each[1], reverse=True)
    assert (mamlprobe.__version__, cited["date-released"]) == dates[0]
    assert cited["version"] == mamlprobe.__version__
    assert {"cff-version", "title", "message", "authors", "license", "references"} <= cited.keys() | headings(ROOT)


def headings(root):
    """Fields of CITATION.cff that hold lists."""
    return set(re.findall(r"^([a-z-]+):$", (root / "CITATION.cff").read_text(), re.MULTILINE))


def test_a_release_begins_with_its_headlines():
    for release in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        lines = release.partition("\n### ")[0].splitlines()[2:]
        assert 3 <= len([line for line in lines if line]) <= 10
        assert all(line.startswith("- **") and len(line) <= 140 for line in lines if line)


def test_old_names_have_gone_when_they_should():
    """They warn for one release."""
    assert not mamlprobe._RENAMED or mamlprobe.__version__.startswith("0.2.")
