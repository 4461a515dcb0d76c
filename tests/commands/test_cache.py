"""The command `cache` from end to end: what it shows, and what it leaves."""

from mamlprobe.cli import main
from mamlprobe.native import build


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
