"""The first page: eleven lines from the wheel to a figure of one's own module, which is the figure that it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_tutorials import same_picture
from tests.house.test_docs import MODELS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "index.md").read_text()
CODE = {
    kind: match[1]
    for kind in ("sh", "python")
    if (match := re.search(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
}


def test_they_are_eleven_lines() -> None:
    lines = [line for code in CODE.values() for line in code.splitlines() if line]
    assert len(lines) <= 11
    assert lines[0].startswith("pip install mamlprobe")
    assert max(map(len, lines)) <= 80


@pytest.mark.slow
def test_the_figure_is_what_they_draw(tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text(MODELS)
    (tmp_path / "snippet.py").write_text(f"import torch\n\ntorch.manual_seed(0)\n{CODE['python']}")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "MPLBACKEND": "agg"}
    subprocess.run([sys.executable, "snippet.py"], cwd=tmp_path, env=env, check=True, capture_output=True)
    shown = (ROOT / "docs" / "first_figure.png").read_bytes()
    assert same_picture((tmp_path / "layers.png").read_bytes(), shown)
