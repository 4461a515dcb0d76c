"""Each family's file gives the logits of its net, computed by torch's functions alone in float64."""

import pytest
import torch

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.nets.params import add_task_axis
from tests.foreign.recipes import CRNP, ENCODERS, NORM, RECIPES, RELU, C, Recipe, numbered_state, two_names


def rows(recipe: Recipe) -> torch.Tensor:
    return torch.randn(6, *recipe.image, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def imported(path, recipe, state, **options):
    torch.save(state, path)
    return load_foreign(path, **{**recipe.options, **options})


def passed(found, x, *, running=False):
    """The forward pass of what was imported, in float64."""
    theta = found.theta.to(dtype=torch.float64)
    moments = add_task_axis(theta.moments) if running else None
    return found.net(add_task_axis(theta.net), x[None], moments=moments)


@pytest.mark.parametrize("name", RECIPES)
def test_logits_of_every_family(name, tmp_path):
    recipe = RECIPES[name]
    made = recipe.made()
    found = imported(tmp_path / "net.pt", recipe, made.saved)
    assert any(line.startswith(f"{name}:") for line in found.seen), found.lines
    x = rows(recipe)
    torch.testing.assert_close(passed(found, x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)
    if recipe.moments:
        got = passed(found, x, running=True).logits[0]
        torch.testing.assert_close(got, made.logits(x, running=True), rtol=1e-6, atol=1e-6)
    else:
        assert found.theta.moments == {}
        with pytest.raises(UserError, match="running averages"):
            imported(tmp_path / "net.pt", recipe, made.saved, inner=mp_inner(norm="running"))


def mp_inner(**words):
    from mamlprobe.runs.inner import InnerWords

    return InnerWords(**words)


@pytest.mark.parametrize("name", ENCODERS)
def test_features_of_every_encoder(name, tmp_path):
    recipe = ENCODERS[name]
    made = recipe.made()
    found = imported(tmp_path / "net.pt", recipe, made.saved)
    assert any(line.startswith(f"{name}:") for line in found.seen), found.lines
    x = rows(recipe)
    for running in (False, True):
        got = passed(found, x, running=running).features[0]
        torch.testing.assert_close(got, made.features(x, running=running), rtol=1e-6, atol=1e-6)
    assert found.method.readout == "prototype"
    assert found.method.inner.test_steps == 0
    assert found.experiment.net.headless
    with pytest.raises(UserError, match="add --head zero"):
        imported(tmp_path / "net.pt", recipe, made.saved, inner=mp_inner(readout="head"))
    fresh = imported(tmp_path / "net.pt", recipe, made.saved, head="random")
    assert not fresh.experiment.net.headless
    assert fresh.theta.net["head.weight"].abs().sum() > 0


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


def test_layers_that_no_family_has_are_stated(tmp_path):
    layers = [("conv", 1, 0), NORM, ("relu", 0.2), ("pool", 1)]
    recipe = Recipe(two_names("a{}", "b{}"), lambda n: layers, blocks=2, image=(1, 20, 20), head="h")
    made = recipe.made()
    words = {"blocks": "conv 3 1 0, norm, leaky 0.2, pool 2 1", "image": (1, 20, 20)}
    found = imported(tmp_path / "net.pt", recipe, made.saved, **words)
    x = rows(recipe)
    torch.testing.assert_close(passed(found, x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)
    assert found.experiment.net.kind == "layers"


@pytest.mark.parametrize(
    "nest",
    [
        lambda s: {"state_dict": s, "epoch": 3, "arch": "conv"},
        lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(9, 9)}}}},
        lambda s: {"model": "conv", "model_sd": s},
        lambda s: {"params": s},
        lambda s: {"a": {"b": [{"network": s}]}},
        lambda s: {f"module.{name}": value for name, value in s.items()},
        lambda s: {name: value.double() for name, value in s.items()},
        lambda s: {**s, "again": s["classifier.weight"]},
        lambda s: {
            "embedding": {n: v for n, v in s.items() if "classifier" not in n},
            "head": {n: v for n, v in s.items() if "classifier" in n},
        },
        lambda s: {n: v for name, value in s.items() for n, v in ((name, value), (f"twin.{name}", value))},
    ],
)
def test_nests_prefixes_precisions_and_copies(nest, tmp_path):
    recipe = RECIPES["learn2learn CNN4"]
    made = recipe.made()
    found = imported(tmp_path / "net.pt", recipe, nest(made.saved))
    x = rows(recipe)
    torch.testing.assert_close(passed(found, x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)


def test_the_fast_path_is_taken_where_the_blocks_allow(tmp_path):
    kinds = {
        name: imported(tmp_path / "n.pt", RECIPES[name], RECIPES[name].made().saved).experiment.net.kind
        for name in RECIPES
    }
    assert kinds["learn2learn CNN4"] == kinds["pytorch-maml (Deleu)"] == "conv4"
    assert kinds["MAML++"] == kinds["learn2learn OmniglotFC"] == "layers"


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


def test_a_head_of_another_width_names_the_option(tmp_path):
    state = RECIPES["learn2learn CNN4"].made().saved
    state["classifier.weight"] = torch.ones(5, 7)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(UserError, match="the blocks must lead to the head, got a head of 7 inputs"):
        load_foreign(tmp_path / "x.pt")


def test_layers_of_one_conv_are_what_a_reference_gives():
    assert C == ("conv", 1, 1)
    assert mp.__name__ == "mamlprobe"
