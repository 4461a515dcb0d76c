"""Files with ``vars.0``: Kao et al., dragen1860, characters."""

import pytest
import torch

from tests.foreign.recipes import CRNP, NORM, RELU, Recipe, imported, numbered_state, passed, rows, two_names

KAO = Recipe(two_names("c{}", "n{}"), lambda n: CRNP)
DRAGEN = Recipe(two_names("c{}", "n{}"), lambda n: [("conv", 1, 0), RELU, NORM, ("pool", 2 if n < 3 else 1)], filters=4)
LETTERS = Recipe(
    two_names("c{}", "n{}"),
    lambda n: [("conv", 2, 0) if n < 3 else ("conv", 1, 0, 2), RELU, NORM],
    image=(1, 28, 28),
    filters=4,
)


@pytest.mark.parametrize(("recipe", "padding"), [(KAO, "padded"), (DRAGEN, "unpadded"), (LETTERS, None)])
def test_numbered_tensors_and_that_the_wrong_padding_gives_other_logits(recipe, padding, tmp_path):
    made = recipe.made()
    state = {f"net.{name}": value for name, value in numbered_state(made).items()}
    x = rows(recipe)
    found = imported(tmp_path / "net.pt", recipe, state, padding=padding)
    torch.testing.assert_close(passed(found, x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)
    if padding is not None:
        other = imported(tmp_path / "net.pt", recipe, state, padding={"padded": "unpadded"}.get(padding, "padded"))
        assert (passed(other, x).logits[0] - made.logits(x)).abs().max() > 1e-3
        assert not any("padding" in line for line in found.assumed)
        assert any("padding" in line for line in imported(tmp_path / "net.pt", recipe, state).assumed)
