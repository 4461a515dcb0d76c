"""The documents: every snippet runs as it stands, and the tables of modules are those that the tests run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.classifiers import NETS, REFUSED
from tests.kinds import KINDS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPETS = {
    f"{page.relative_to(ROOT)}:{number}": code
    for page in PAGES
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE), 1)
}

MODELS = """
from torch import nn

def block(into, out):
    return nn.Sequential(nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(block(1, 16), block(16, 16), block(16, 16), block(16, 16), nn.Flatten())
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        return self.fc(self.body(x))
"""
"""What a reader has: a module, and weights in a file."""

AFTER = """
from benchmarks.memory import resident  # getrusage would tell what the parent held when it forked
assert resident("VmHWM") < 2 * 2**30, "2 GB"
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", SNIPPETS)
def test_snippets_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's own number of threads, below 2 GB."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "my_models.py").write_text(MODELS)
    save = "import my_models, torch; torch.save(my_models.Net().state_dict(), 'weights.pt')"
    subprocess.run([sys.executable, "-c", save], cwd=tmp_path, check=True)
    (tmp_path / "snippet.py").write_text(SNIPPETS[name] + AFTER)
    done = subprocess.run([sys.executable, "snippet.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def rows(page: str, title: str) -> list[list[str]]:
    """Cells of the table whose first title is this."""
    table = (ROOT / page).read_text().split(f"| {title} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def test_kinds_of_modules_are_those_tested() -> None:
    found = [tuple(row[:2]) for row in rows("docs/modules.md", "kind of module")]
    assert found == [(kind.name, "refused" if kind.refused else "works") for kind in KINDS]


def test_nets_of_the_zoo_are_those_tested() -> None:
    found = [(row[0], row[1], row[2].strip("`"), row[3].split(":")[0]) for row in rows("docs/modules.md", "net")]
    works = [(net.name, net.source, net.head, "works") for net in NETS]
    assert found == works + [(net.name, net.source, net.head, "refused") for net, _ in REFUSED]
