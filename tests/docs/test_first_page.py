"""The first page: eleven lines from the wheel to a figure of one's own module, which is the figure that it shows."""

import re
from pathlib import Path

import pytest

from tests.docs.test_tutorials import same_picture, tutorials

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
    shown = (ROOT / "docs" / "first_figure.png").read_bytes()
    assert same_picture(tutorials.first_figure(tmp_path), shown)
