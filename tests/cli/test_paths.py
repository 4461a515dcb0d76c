"""Paths as they are typed: those that no file can have, and a folder that is gone."""

import os
import re
from pathlib import Path

import pytest

from mamlprobe.cli import main
from tests.tiny import SMALL

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


def test_a_current_folder_that_is_gone(runs, tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["data"]) == 0
    assert main(["evaluate", os.path.abspath("/nowhere")]) == 2
    assert main(["evaluate", str(runs[0]), "--episodes", "1", "--out", "a.csv"]) == 2
    assert all(line.count("; ") for line in capsys.readouterr().err.splitlines() if "it/s" not in line)
