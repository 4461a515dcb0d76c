"""What a machine that reaches nothing is given along: ``python -m benchmarks.gpu.carry [--data FOLDER] ...``.

Fills a folder that git ignores: wheels of the packages that an image with PyTorch usually has not, learn2learn's
Python files, data sets as they lie (zips), and the commit.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.gpu.rows import commit
from benchmarks.peer import check
from mamlprobe.base.errors import UserError

WHEELS = ("tyro", "docstring_parser", "typeguard", "pooch", "platformdirs")
LARGEST = 64 * 2**20
"""Bytes of the working tree and of what is carried with it."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Fills a folder with what a machine without network needs for the visit, and says what all of it weighs."""

    out: Path = Path(".carry")
    """The folder; it is made anew."""
    python: str = "3.12"
    """Version of Python there."""
    wheels: str = ",".join(WHEELS)
    """Packages by name, each without what it needs; none where empty."""
    learn2learn: Path | None = None
    """Folder of learn2learn's unpacked source archive."""
    data: Path | None = None
    """Folder of a data set, for the figure."""


def fill(options: Options) -> None:
    """Makes the folder.

    Raises:
        UserError: there is no source or wheel by that name; all together is too large.
    """
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    (options.out / "commit").write_text(f"{commit()}\n")
    if options.wheels:
        _download(options)
    if options.learn2learn is not None:
        sources = check(options.learn2learn)
        for path in sources.rglob("*.py"):
            _copy(path, options.out / "learn2learn" / "learn2learn" / path.relative_to(sources))
    if options.data is not None:
        for path in (each for each in options.data.rglob("*") if each.is_file()):
            _copy(path, options.out / "data" / options.data.name / path.relative_to(options.data))
    weighed(options.out)


def _download(options: Options) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", options.python, "-d", str(options.out / "wheels"), *options.wheels.split(",")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise UserError("carry", f"there must be wheels of {options.wheels}", last, "check the names and the network")


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def weighed(folder: Path, largest: int = LARGEST) -> tuple[int, int]:
    """Bytes of the working tree (all that git does not ignore) and of the folder.

    Raises:
        UserError: together they are too large.
    """
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0")
    tree = sum(Path(name).stat().st_size for name in listed if name and Path(name).is_file())
    carried = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if tree + carried > largest:
        got = f"{tree / 2**20:.1f} + {carried / 2**20:.1f} MiB"
        raise UserError("carry", f"tree and folder must be {largest / 2**20:.0f} MiB at most", got, "carry less")
    return tree, carried


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 for the user's mistake."""
    options = tyro.cli(Options, prog="python -m benchmarks.gpu.carry", args=argv)
    try:
        fill(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tree, carried = weighed(options.out)
    print(f"{options.out}: {carried / 2**20:.1f} MiB, beside a tree of {tree / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
