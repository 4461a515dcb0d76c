"""Which family a file is of, and what is said where none is."""

from pathlib import Path

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.families.plain_families import FAMILIES as PLAIN
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.foreign.recognise import FAMILIES
from tests.foreign.recipes import RECIPES, imported


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"a": {"b": 1}}, "must hold tensors, got entries a"),
        ({"a": torch.ones(2, dtype=torch.int64)}, "real numbers"),
        ({"lstm.weight_ih": torch.ones(8, 3), "lstm.weight_hh": torch.ones(8, 2)}, "lstm.weight_ih [8, 3]"),
        ({"c.weight": torch.full((4, 3, 3, 3), torch.nan)}, "NaN or infinity in c.weight"),
        ({"c.weight": torch.ones(3, 3, dtype=torch.complex64)}, "plain real tensors"),
    ],
)
def test_what_is_not_understood_is_told_with_what_was_seen(state, word, tmp_path):
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(UserError) as info:
        load_foreign(tmp_path / "x.pt")
    assert word in str(info.value)
    assert "\n" not in str(info.value)


def test_a_stated_family_is_the_only_one_asked(tmp_path):
    recipe = RECIPES["SimpleShot Conv4"]
    other = imported(tmp_path / "a.pt", recipe, recipe.made().saved, family="unknown")
    assert other.seen[1].startswith("unknown:")
    with pytest.raises(UserError, match="a net of MAML"):
        imported(tmp_path / "a.pt", recipe, recipe.made().saved, family="MAML++")
    with pytest.raises(UserError, match="family must be a known one"):
        imported(tmp_path / "a.pt", recipe, recipe.made().saved, family="mamlpp")


def test_every_family_has_its_row_in_the_documents():
    """With the inner loop that is assumed."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "checkpoints.md").read_text()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in page.splitlines() if line.startswith("| ")}
    assert set(FAMILIES) - set(rows) == {"unknown"}
    for family in PLAIN:
        usage = family.usage
        loop = f"{usage.lr:g}, {usage.steps}; {usage.test_steps} |" if family.head else "none: prototypes |"
        assert rows[family.name].endswith(f"| {usage.norm} | {loop}")
