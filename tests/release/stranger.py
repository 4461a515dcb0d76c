"""What a newcomer does with the wheel alone: ``python stranger.py`` in an empty folder, by the Python it is in.

Nothing of the checkout is imported. Each step prints a line; the first that goes wrong ends it.
"""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

COMMANDS = {
    "--version": f"mamlprobe {version('mamlprobe')}",
    "reproduce --list": "raghu_table1_freezing",
    "reproduce glyphs_sheet collins_fig1_linear --preset smoke --workers 1 --out figs": "page: ",
}
"""Words behind ``mamlprobe``, and what they print."""

OWN = """
import torch
from torch import nn

import mamlprobe as mp


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(4))
        self.fc = nn.Linear(8 * 7 * 7, 5)

    def forward(self, x):
        return self.fc(self.stem(x).flatten(1))


torch.manual_seed(0)
net = mp.wrap(Net(), head="fc", layers=["stem"])
tasks = mp.sample(mp.load_pool("glyphs"), split="test", way=5, shot=1, query=5, tasks=4, seed=0)
table = mp.similarity(net, mp.init(net, seed=0), tasks, mp.METHODS["maml"])
mp.draw(table).savefig("similarity.png", dpi=300)
"""
"""A module of one's own, probed and drawn."""

PICTURES = ("similarity.png", "figs/glyphs_sheet.png", "figs/collins_fig1_linear.png")


def main() -> int:
    """Do it all and return 0, or 1 at the first thing that goes wrong."""
    program = Path(sys.executable).parent / "mamlprobe"
    command = [str(program)] if program.exists() else [sys.executable, "-m", "mamlprobe"]
    for words, wanted in COMMANDS.items():
        if not told([*command, *words.split()], wanted):
            return 1
    Path("own.py").write_text(OWN)
    if not told([sys.executable, "own.py"], ""):
        return 1
    for name in PICTURES:
        picture = Path(name)
        if not (picture.is_file() and picture.stat().st_size > 5_000 and picture.read_bytes()[:4] == b"\x89PNG"):
            print(f"{name}: no picture")
            return 1
    import mamlprobe

    home = Path(mamlprobe.__file__).parent
    print(f"passed: Python {sys.version.split()[0]}, mamlprobe {version('mamlprobe')} in {home}")
    return 0


def told(words: list[str], wanted: str) -> bool:
    """Run a command and tell whether it ends well and prints what it should."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"MPLBACKEND": "agg"})
    if done.returncode == 0 and wanted in done.stdout:
        return True
    print(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return False


if __name__ == "__main__":
    raise SystemExit(main())
