"""Runs the tutorials as they stand, each from top to bottom, and writes anew what they print and the figures they draw.

``python docs/site/tutorials.py [NAME ...]`` after a change of a tutorial, or of what it shows; ``index`` is the first
page, whose figure is of the module in docs/my_models.py.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
"""A piece of the program, and what it prints if the page shows that."""
PICTURE = re.compile(r"!\[[^\]]*\]\(([\w.]+\.png)\)")

RUNNER = """
import contextlib, io, json, sys
pieces, said, names = json.load(open(sys.argv[1])), [], {"__name__": "__main__"}
for number, piece in enumerate(pieces, 1):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(piece, f"piece {number}", "exec"), names)
    said.append(out.getvalue())
json.dump(said, open(sys.argv[2], "w"))
"""
"""Runs the pieces in one process and writes what each printed."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a tutorial did."""

    said: list[str]
    """What each piece printed."""
    pictures: dict[str, bytes]
    """The files it left that its page shows."""


def pages() -> list[Path]:
    """List the tutorials."""
    return [path for path in sorted(FOLDER.glob("*.md")) if path.name != "index.md"]


def run(page: Path, folder: Path) -> Outcome:
    """Run a tutorial in a folder.

    Raises:
        RuntimeError: a piece of it fails; the message is its traceback.
    """
    text = page.read_text()
    (folder / "pieces.json").write_text(json.dumps([match[1] for match in BLOCK.finditer(text)]))
    command = [sys.executable, "-c", RUNNER, "pieces.json", "said.json"]
    env = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{page.name}: {done.stderr}")
    pictures = {name: (folder / name).read_bytes() for name in PICTURE.findall(text)}
    return Outcome(said=json.loads((folder / "said.json").read_text()), pictures=pictures)


def first_figure(folder: Path) -> bytes:
    """Return the figure that the lines of the first page draw in a folder, of an untrained module.

    Raises:
        RuntimeError: they fail; the message is the traceback.
    """
    (folder / "my_models.py").write_text((ROOT / "docs" / "my_models.py").read_text())
    match = BLOCK.search((ROOT / "docs" / "index.md").read_text())
    assert match is not None
    program = f"import torch\n\ntorch.manual_seed(0)\n{match[1]}"
    env = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": f"{folder}:{ROOT}", "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"index.md: {done.stderr}")
    return (folder / "layers.png").read_bytes()


def written(text: str, said: Sequence[str]) -> str:
    """Return the page with what its pieces print; a piece that prints nothing has no block behind."""
    lines = iter(said)

    def block(match: re.Match[str]) -> str:
        printed = next(lines)
        return f"```python\n{match[1]}```\n" + (f"\n```text\n{printed}```\n" if printed else "")

    return BLOCK.sub(block, text)


def main(names: Sequence[str]) -> None:
    """Run the tutorials of these names, all and the first page without any, and write their pages and figures."""
    if not names or "index" in names:
        with tempfile.TemporaryDirectory() as folder:
            (ROOT / "docs" / "first_figure.png").write_bytes(first_figure(Path(folder)))
    for page in pages():
        if names and page.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(page, Path(folder))
        page.write_text(written(page.read_text(), outcome.said))
        for name, data in outcome.pictures.items():
            (FOLDER / name).write_bytes(data)
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
