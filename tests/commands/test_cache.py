"""The command `cache`, `data --refresh`, and paths as they are typed."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mamlprobe.cli import main, parse
from mamlprobe.data.by_name import load_pool
from mamlprobe.native import build
from tests.tiny import SMALL


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("MAMLPROBE_CACHE", str(folder))
    return folder


@pytest.fixture
def filled(own_cache, images):
    """A cache of a pool in two sizes, kernels, what a killed build left, and what is the user's."""
    for size in (8, 9):
        load_pool(images, size=size)
    kernels = build.kernels_folder()
    kernels.mkdir(mode=0o700)
    for name in ("kernels-0123456789abcdef.so", "kernels-0123456789abcdef.sha256", "notes.txt"):
        (kernels / name).write_bytes(b"12")
    (kernels / "making-x").mkdir()
    (kernels / "making-x" / "half").write_bytes(b"half")
    (own_cache / "mine").mkdir()
    (own_cache / "mine" / "0.png").write_bytes(b"mine")
    (own_cache / "tiny-0123456789abcdef.safetensors").symlink_to(own_cache / "mine" / "0.png")
    return own_cache


def rows(text):
    return [line.split("  ") for line in text.splitlines()]


def test_the_cache_is_shown_and_cleared(filled, capsys):
    assert main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"cache: {filled}"
    table = [[cell for cell in line.split("  ") if cell] for line in lines[1:]]
    assert [[row[0], row[1].strip(), row[-1].strip()] for row in table] == [
        ["what", "files", "cleared"],
        ["data set tiny", "3", "yes"],
        ["kernels", "4", "yes"],
        ["downloads and other files", "1", "no"],
    ]
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "removed: 5 files"
    left = sorted(str(path.relative_to(filled)) for path in filled.rglob("*") if path.is_file())
    kernels = build.kernels_folder().name
    assert left == sorted([f"{kernels}/.lock", f"{kernels}/notes.txt", "mine/0.png"])
    assert not (build.kernels_folder() / "making-x").exists()
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "removed: 0 files"


@pytest.mark.parametrize("how", ["nothing", "a file", "a link"])
def test_a_cache_that_is_not_there_is_empty(how, own_cache, tmp_path, capsys):
    if how == "a file":
        own_cache.write_text("mine")
    if how == "a link":
        own_cache.symlink_to(tmp_path / "nowhere")
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "removed: 0 files"
    assert how != "a file" or own_cache.read_text() == "mine"


def test_kernels_behind_a_link_are_not_cleared(own_cache, tmp_path):
    """The folder of kernels is the user's alone and no link."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "kernels-0123456789abcdef.so").write_bytes(b"theirs")
    own_cache.mkdir()
    build.kernels_folder().symlink_to(other)
    assert main(["cache", "--clear"]) == 0
    assert (other / "kernels-0123456789abcdef.so").exists()


def test_data_are_read_anew_where_it_is_asked_for(own_cache, images, capsys):
    assert main(["data", str(images)]) == 0
    (kept,) = own_cache.iterdir()
    before = kept.stat().st_ino
    assert main(["data", str(images)]) == 0
    assert kept.stat().st_ino == before
    os.link(kept, own_cache / "held")  # so that the number is not given to another file
    assert main(["data", str(images), "--refresh"]) == 0
    assert kept.stat().st_ino != before
    capsys.readouterr()
    assert main(["data", "--refresh"]) == 2
    line = "data: a data set must be named to be read anew, got none; name it, or see mamlprobe cache\n"
    assert capsys.readouterr().err == line


def test_a_home_is_the_users(monkeypatch, tmp_path, capsys):
    """Also where no shell saw it, as behind = or in a list of words."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert parse(["evaluate", "~/runs/a", "--out=~/a.csv", "--manifest", "~/b.json"]).run_folder == f"{tmp_path}/runs/a"
    command = parse(["evaluate", "r", "--out=~/a.csv", "--manifest", "~/b.json", "--variants", "a~b"])
    assert (command.out, command.manifest, command.variants) == (f"{tmp_path}/a.csv", f"{tmp_path}/b.json", "a~b")
    assert main(["evaluate", "r", "--out", "~"]) == 2
    assert capsys.readouterr().err == f"write: {tmp_path} must be a file, got a folder; name a file in it\n"
    assert main(["evaluate", "r", "--out", "~no.such.user/a.csv"]) == 2
    told = "mamlprobe: '~no.such.user/a.csv' must begin with the name of a user, got none of that name; write ./~no"
    assert capsys.readouterr().err.startswith(told)
    assert list(tmp_path.iterdir()) == []


LONG = "x" * 400


@pytest.mark.parametrize(
    "words",
    [
        *(
            "evaluate PATH",
            "evaluate RUN --out PATH",
            "evaluate RUN --dataset PATH",
            "evaluate RUN --write-manifest PATH",
        ),
        *(
            "certify PATH",
            "probe nil PATH",
            "probe nil RUN --figure PATH",
            "report RUN --out PATH",
            "report PATH --out a",
        ),
        *("train maml --out PATH", "data PATH", "data PATH --refresh", "evaluate RUN --manifest PATH"),
        *("probe nil --from-table PATH", "import kao PATH --out new", "import kao FILE --out PATH"),
    ],
)
@pytest.mark.parametrize("path", [f"{LONG}.html", f"{LONG}/a.html", "y/" * 3000 + "a.html", "pipe.html", "file/a.html"])
def test_paths_that_no_file_can_have_end_in_one_line(words, path, runs, images, tmp_path, monkeypatch, capsys):
    """And nothing hangs: the pipe has nobody at its other end."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.html")
    Path("file").write_text("")
    if "figure" in words or "manifest" in words:
        path = path.replace(".html", ".png" if "figure" in words else ".json")
        os.rename("pipe.html", "pipe" + Path(path).suffix)
    torch_file = write_kao(tmp_path / "net.pt")
    typed = [{"PATH": path, "RUN": runs[0], "FILE": str(torch_file)}.get(word, word) for word in words.split()]
    more = ["--episodes", "1"] if words.split()[0] in ("evaluate", "probe", "report") else []
    more = [*SMALL.split(), "--dataset", str(images)] if words.startswith("train") else more
    assert main([*typed, *more]) == 2
    told = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"[\w. ]+: .*, got .*; .*", told[-1])
    assert "Traceback" not in "".join(told)


def write_kao(path):
    """The smallest file of the right names."""
    import torch

    shapes = [(1, 1, 3, 3), (1,), (1,), (1,), (2, 1)]
    tensors = {f"vars.{i}": torch.zeros(shape) for i, shape in enumerate(shapes)}
    torch.save(tensors | {"vars_bn.0": torch.zeros(1), "vars_bn.1": torch.ones(1)}, path)
    return path


def test_a_fault_of_the_system_is_one_line(monkeypatch, capsys):
    def broken(words):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/disk/file")

    monkeypatch.setattr("mamlprobe.cli.parse", broken)
    assert main(["data"]) == 2
    line = "mamlprobe: the system must let the command read and write, got Input/output error at /disk/file; mend that"
    assert capsys.readouterr().err == f"{line} and start again\n"


@pytest.mark.parametrize("output", ["full", "closed"])
def test_an_output_that_takes_nothing(output, tmp_path):
    """A full disk is told in one line; where there is no output at all the work is done without it."""
    command = f"{sys.executable} -m mamlprobe data {'>/dev/full' if output == 'full' else '>&-'}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    if output == "closed":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert done.stderr == (
            "mamlprobe: the system must let the command read and write, got No space left on device; mend that and "
            "start again\n"
        )


def test_a_current_folder_that_is_gone(runs, tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["data"]) == 0
    assert main(["evaluate", os.path.abspath("/nowhere")]) == 2
    assert main(["evaluate", str(runs[0]), "--episodes", "1", "--out", "a.csv"]) == 2
    assert all(line.count("; ") for line in capsys.readouterr().err.splitlines() if "it/s" not in line)
