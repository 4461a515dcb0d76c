"""Each family's file gives the logits of its net, computed by torch's functions alone in float64."""

import re

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.net_spec import blocks_of
from mamlprobe.runs.inner import InnerWords
from tests.foreign.recipes import ENCODERS, R2D2, RECIPES, imported, passed, rows


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
            imported(tmp_path / "net.pt", recipe, made.saved, inner=InnerWords(norm="running"))


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
        imported(tmp_path / "net.pt", recipe, made.saved, inner=InnerWords(readout="head"))
    fresh = imported(tmp_path / "net.pt", recipe, made.saved, head="random")
    assert not fresh.experiment.net.headless
    assert fresh.theta.net["head.weight"].abs().sum() > 0


def test_rates_of_meta_sgd_are_one_a_number(tmp_path):
    recipe = RECIPES["learn2learn CNN4"]
    made = recipe.made()
    parameters = [value for name, value in made.saved.items() if "running" not in name]
    rates = [torch.full_like(value, 0.1) * (number + 1) for number, value in enumerate(parameters)]
    state = {f"module.{name}": value for name, value in made.saved.items()}
    state |= {f"lrs.{number}": value for number, value in enumerate(rates)}
    found = imported(tmp_path / "a.pt", recipe, state)
    assert found.method.inner.rates == "parameter"
    assert torch.equal(found.theta.rates["body.1.norm.weight"], rates[2])
    assert torch.equal(found.theta.rates["head.bias"], rates[-1])
    assert found.left_out == ()
    fewer = imported(tmp_path / "a.pt", recipe, {name: v for name, v in state.items() if name != "lrs.3"})
    assert fewer.method.inner.rates == "fixed"
    assert any("lrs.0" in line for line in fewer.left_out)


def r2d2_features(made, x, *, running):
    """Maps of the last two blocks, flattened and joined; the last has no activation."""
    whole = made.features(x, running=running)
    before = type(made)(made.recipe, made.state, made.parts[:3]).features(x, running=running)
    return torch.cat([before, whole], 1)


@pytest.mark.parametrize("running", [False, True])
def test_r2d2_joins_its_last_two_blocks(running, tmp_path):
    made = R2D2.made()
    found = imported(tmp_path / "a.pth", R2D2, {"embedding": made.saved, "head": {"scale": torch.ones(1)}})
    assert any(line.startswith("R2D2 net:") for line in found.seen)
    x = rows(R2D2)
    wanted = r2d2_features(made, x, running=running)
    assert wanted.shape[1] == 4 * (100 + 25)
    torch.testing.assert_close(passed(found, x, running=running).features[0], wanted, rtol=1e-6, atol=1e-6)
    wrong = imported(tmp_path / "a.pth", R2D2, made.saved, blocks="conv 3 1 1, norm, pool 2 2, leaky 0.1")
    assert passed(wrong, x).features.shape[2] == 100
    headed = imported(tmp_path / "a.pth", R2D2, made.saved, head="random")
    theta = headed.theta.net
    got = passed(headed, x, running=running).logits[0]
    torch.testing.assert_close(
        got, F.linear(wanted, theta["head.weight"].double(), theta["head.bias"].double()), rtol=1e-6, atol=1e-6
    )


def test_moments_of_single_episodes_are_left_out(tmp_path):
    """PyTorch-MAML (fmu2) with episodic norms: each task of a batch has moments of its own, and none are kept."""
    recipe = RECIPES["PyTorch-MAML (fmu2)"]
    made = recipe.made()
    state = {f"{n}_{e}" if "running" in n else n: v + e for n, v in made.saved.items() for e in (1, 0)}
    found = imported(tmp_path / "a.pth", recipe, state | {"temp": torch.ones(1)})
    assert found.theta.moments == {}
    assert "running_mean_1" in found.left_out[0]
    x = rows(recipe)
    torch.testing.assert_close(passed(found, x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)


def test_characters_of_learning_to_compare_are_shifted_as_its_photographs(tmp_path):
    recipe = ENCODERS["Learning to Compare, feature encoder"]
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved)
    assert (found.experiment.data.normalise, found.experiment.data.ink) == ("floodsung", 0)
    line = "images: data set omniglot, ink 0, normalised by floodsung (say --dataset, --ink, --normalise)"
    assert line in found.assumed


WRONG = {
    "order": lambda text: text.replace("norm 1e-05, relu", "relu, norm 1e-05"),
    "slope": lambda text: text.replace("relu", "leaky 0.01") if "relu" in text else text.replace("leaky 0.01", "relu"),
    "eps": lambda text: text.replace("1e-05", "0.001") if "1e-05" in text else text.replace("0.001", "1e-05"),
    "padding": lambda text: text.replace(" 1 1,", " 1 0,") if " 1 1," in text else text.replace(" 1 0,", " 1 1,"),
    "stride": lambda text: text.replace(" 2 1,", " 1 1,") if " 2 1," in text else text.replace(" 1 1,", " 2 1,"),
    "pool": lambda text: text.replace(", pool 2 2", "") if "pool" in text else text + ", pool 2 2",
}
"""What a person may state wrongly of a block."""


def bare(text):
    """Words of a block as a person states them: without filters."""
    return re.sub(r"^(conv|linear) \d+ ?", r"\1 ", text)


@pytest.mark.parametrize("name", [*RECIPES, *ENCODERS])
def test_every_wrong_word_is_refused_or_gives_other_numbers(name, tmp_path):
    """No wrong statement passes unnoticed where the numbers can tell."""
    recipe = (RECIPES | ENCODERS)[name]
    made = recipe.made()
    x = rows(recipe)
    right = imported(tmp_path / "a.pt", recipe, made.saved)
    texts = blocks_of(right.experiment.net)
    wanted = made.features(x, running=False)
    ends = ", mean" if recipe.end == "mean" and not texts[-1].endswith("mean") else ""
    told = set()
    for kind, spoil in {"none": lambda text: text, **WRONG}.items():
        words = [bare(spoil(text)) for text in texts]
        words[-1] += ends
        if kind != "none" and [bare(text) for text in texts] == words:
            continue
        try:
            found = imported(tmp_path / "a.pt", recipe, made.saved, blocks="; ".join(words), image=recipe.image)
            got = passed(found, x).features[0]
            same = got.shape == wanted.shape and torch.allclose(got, wanted, rtol=1e-6, atol=1e-6)
        except UserError:
            same = False
        assert same is (kind == "none"), kind
        told.add(kind)
    assert len(told) >= 3
