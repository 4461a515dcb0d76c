"""Every tutorial runs as it stands, prints what its page shows, and draws the figure beside it."""

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.house.test_docs import same_but_for_rounding

ROOT = Path(__file__).parents[2]


def hook(name: str) -> ModuleType:
    """A module of docs/site, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_site_{name}", ROOT / "docs" / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


tutorials = hook("tutorials")
PAGES = {page.stem: page for page in tutorials.pages()}


def same_picture(one: bytes, other: bytes) -> bool:
    """Whether two pictures are the same but for numbers that moved a little: equal sizes, few and small differences."""
    arrays = [np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float) for data in (one, other)]
    return arrays[0].shape == arrays[1].shape and float(np.abs(arrays[0] - arrays[1]).mean()) < 4


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_tutorial_runs_and_shows_what_it_does(name: str, tmp_path: Path) -> None:
    page = PAGES[name]
    outcome = tutorials.run(page, tmp_path)
    text = page.read_text()
    assert same_but_for_rounding(tutorials.written(text, outcome.said), text), "\n".join(outcome.said)
    assert len(outcome.pictures) == 1
    for file, data in outcome.pictures.items():
        assert same_picture(data, (page.parent / file).read_bytes()), file


def test_there_are_six_and_the_first_page_names_them_all() -> None:
    index = (ROOT / "docs" / "tutorials" / "index.md").read_text()
    assert len(PAGES) == 6
    assert all(f"({name}.md)" in index for name in PAGES)


def test_what_a_page_shows_is_told_from_what_it_does() -> None:
    text = "a\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n\n```python\nx = 1\n```\n\n```text\nold\n```\n"
    new = tutorials.written(text, ["1\n", ""])
    assert new == "a\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\nx = 1\n```\n"


def test_another_picture_is_told_apart() -> None:
    def png(values: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(values.astype(np.uint8)).save(out, "png")
        return out.getvalue()

    white = np.full((40, 60), 255)
    line, moved = white.copy(), white.copy()
    line[20], moved[10] = 0, 0
    assert same_picture(png(line), png(line))
    assert not same_picture(png(line), png(moved))
    assert not same_picture(png(white), png(white[:-1]))


def test_a_piece_that_fails_says_where(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n```python\nx / 0\n```\n")
    with pytest.raises(RuntimeError, match=r"(?s)page.md.*piece 2.*ZeroDivisionError"):
        tutorials.run(page, tmp_path)


def test_a_notebook_has_the_pieces_of_its_page() -> None:
    import json

    made = json.loads(hook("notebooks").notebook(PAGES["first_probe"].read_text()))
    code = ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]
    assert code == [match[1].rstrip("\n") for match in tutorials.BLOCK.finditer(PAGES["first_probe"].read_text())]
    assert hook("notebooks").notebook("# a\n") == hook("notebooks").notebook("# a\n")
