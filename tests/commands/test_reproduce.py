"""The command ``reproduce``: figures without the source tree's own runner, and what it says."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyses.__main__ import Options
from mamlprobe.cli import main, parse
from mamlprobe.commands.arguments.options import option_names
from mamlprobe.commands.reproduce import Reproduce
from mamlprobe.reproduce import gallery
from mamlprobe.reproduce.scripts import shipped
from mamlprobe.reproduce.study import Study


@pytest.fixture
def asked(monkeypatch):
    """What the gallery is asked for, in place of drawing."""
    calls = []
    monkeypatch.setattr(gallery, "build", lambda *words, **more: calls.append((*words, more)) or [])
    return calls


def test_the_list_names_every_figure_with_paper_and_title(capsys):
    assert main(["reproduce", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [script.name for script in shipped()]
    assert "raghu_table1_freezing    Raghu et al. 2020, table 1: Freezing layers in the inner loop" in lines
    assert main(["reproduce", "overview", "ye_permutation", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["overview", "ye_permutation"]
    assert main(["reproduce", "--list", "--core"]) == 0
    assert 0 < len(capsys.readouterr().out.splitlines()) < len(lines)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("raghu_fig2_layer", "figure must be a known one, got 'raghu_fig2_layer'; did you mean raghu_fig2_layers"),
        ("overview glyph_sheet", "the figure must be a known one, got 'glyph_sheet'; did you mean glyphs_sheet?"),
        ("overview --seeds 0", "reproduce: seeds must be 1 or more, got 0; leave it out for the usual"),
        ("overview --updates -3", "reproduce: updates must be 1 or more, got -3; leave it out for the usual"),
        ("overview --workers -1", "reproduce: workers must be 0 or more, got -1; leave it out for the usual"),
        ("overview --device gpu", "device must be auto, cpu, cuda or cuda:<number>, got 'gpu'; choose one of them"),
        (
            "overview --preset large",
            "reproduce: the preset must be a known one, got 'large'; did you mean smoke, quick",
        ),
        ("overview --prints tiff", "the kind of print must be a known one, got 'tiff'; did you mean pdf, svg, png?"),
        ("overview --readme README.md", "got --readme; see mamlprobe reproduce --help"),
        ("overview --out", "mamlprobe reproduce: the words must make a command, got missing value for argument"),
        ("overview --from-table", "there must be a figure to publish, got none; draw one first, without --from-table"),
        ("oh_boil --dataset glyfs", "got 'glyfs'; did you mean glyphs?"),
    ],
)
def test_a_mistake_is_one_line(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *words.split()]) == 2
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_options_are_what_the_gallery_is_asked_for(asked, monkeypatch):
    words = "overview oh_boil --preset smoke --dataset data --seeds 2 --updates 9 --finished --data-root raw --out o"
    assert main([*f"reproduce {words} --runs r --device cpu --workers 3 --force --prints svg png".split()]) == 0
    ((study, scripts, every, more),) = asked
    settings = {"repeats": 2, "updates": 9, "finished": True, "root": "raw", "device": "cpu"}
    assert study == Study(preset="smoke", dataset="data", folder=Path("r"), out=Path("o"), **settings)
    assert {script.name for script in scripts} == {"oh_boil", "overview"}
    assert every == shipped()
    assert more == {"workers": 3, "force": True, "prints": ("svg", "png")}
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert main(["reproduce", "oh_boil", "--device", "cpu"]) == 0
    assert asked[1][-1] == {"workers": 4, "force": False, "prints": ("pdf",)}


def test_the_runner_in_the_repository_has_the_same_options_and_one_for_its_pages():
    options = option_names({"reproduce": Reproduce, "analyses": Options})
    assert set(options["analyses"]) - set(options["reproduce"]) == {"--readme"}
    assert set(options["reproduce"]) <= set(options["analyses"])


def test_a_home_and_an_empty_folder_are_seen(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(["reproduce", "--out=~/figs", "--runs", "~/runs"]).runs == tmp_path / "runs"
    assert main(["reproduce", "--list", "--runs", ""]) == 2
    assert "no word may be empty" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--runs"])
@pytest.mark.parametrize("place", ["note.txt", "note.txt/figures"])
def test_a_file_in_the_place_of_a_folder_is_told_before_anything_is_trained(option, place, asked, tmp_path, capsys):
    (tmp_path / "note.txt").touch()
    assert main(["reproduce", "oh_boil", option, str(tmp_path / place)]) == 2
    assert f"{place} must be a folder open for writing, got the file {tmp_path}/note.txt" in capsys.readouterr().err
    assert asked == []


@pytest.mark.slow
def test_a_figure_that_was_interrupted_goes_on(tmp_path):
    """After Ctrl-C in the middle of a training: exit code 130, one line, and the same command goes on from there."""
    words = [sys.executable, "-m", "mamlprobe", "reproduce", "raghu_b3_distance", "--preset", "smoke", "--seeds", "1"]
    words += ["--updates", "300", "--workers", "1", "--out", "figs", "--prints", "svg"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as first:
        end = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/log.csv")) and time.monotonic() < end and first.poll() is None:
            time.sleep(0.05)
        first.send_signal(signal.SIGINT)
        said = first.communicate(timeout=120)[1]
    assert first.returncode == 130
    assert said.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in said
    assert not (tmp_path / "figs").exists()
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("made     raghu_b3_distance")
    assert done.stdout.endswith(f"page: {Path('figs', 'index.html')}\n")
    names = {path.name for path in (tmp_path / "figs").glob("raghu_b3_distance*")}
    assert names == {"raghu_b3_distance.csv", "raghu_b3_distance.png", "raghu_b3_distance.svg"}
    again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.stdout.startswith("kept     raghu_b3_distance")


def test_what_the_page_shows_are_commands_and_figures():
    """Every line that a reader may copy from the page parses, and the figures it names are there."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "reproduce.md").read_text()
    lines = re.findall(r"^mamlprobe reproduce (.*)$|`mamlprobe reproduce ([^`]*)`", page, re.MULTILINE)
    commands = [parse(["reproduce", *"".join(line).split()]) for line in lines]
    assert len(commands) > 8
    known = {script.name for script in shipped()} | {"NAME"}
    assert {name for command in commands for name in command.names} <= known
    assert set(re.findall(r"--[a-z][a-z-]*", page)) <= set(option_names({"": Reproduce})[""]) | {"--fetch"}
    listed = [line.split()[0] for line in re.findall(r"^\w+ +[^\n]*: [^\n]*$", page, re.MULTILINE) if "  " in line]
    assert {"glyphs_sheet", "raghu_table1_freezing"} <= set(listed) <= known
