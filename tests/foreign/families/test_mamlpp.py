"""MAML++ files: learned rates, norms by step, numpy scalars beside them."""

import numpy as np
import pytest
import torch

import mamlprobe as mp
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.runs.inner import InnerWords
from tests.foreign.recipes import RECIPES

RATE = "inner_loop_optimizer.names_learning_rates_dict.layer_dict-{}"


def saved(*, steps=3, affine=False, norms=False):
    """The file of a net with rates for each of its steps, and norm weights by step if `affine`."""
    random = torch.Generator().manual_seed(5)
    state = {name.replace("linear.weight", "linear.weights"): v for name, v in RECIPES["MAML++"].made().saved.items()}
    rates = {}
    for name in state:
        short = name.removeprefix("classifier.layer_dict.").replace(".", "-")
        if "running" not in name and (norms or "norm" not in name):
            rates[RATE.format(short)] = torch.rand(steps + 1, generator=random)
    if affine:
        norm = [name for name in state if "norm_layer.weight" in name or "norm_layer.bias" in name]
        state |= {name: torch.randn(steps, 4, generator=random) for name in norm}
    return {
        "network": {**state, **rates},
        "optimizer": {"state": {}},
        "current_iter": 500,
        "best_val_acc": np.float64(0.5),
        "val_accuracy_mean": np.float64(0.4),
    }


def test_rates_of_the_steps_come_without_the_last_which_is_never_used(tmp_path):
    file = saved()
    torch.save(file, tmp_path / "train_model_latest")
    found = load_foreign(tmp_path / "train_model_latest")
    assert found.method.inner.rates == "layer_step"
    assert (found.method.inner.steps, found.method.inner.test_steps) == (3, 3)
    assert found.method.inner.adapts == ("*", "!*.norm.*")
    theirs = file["network"][RATE.format("conv2-conv-weight")]
    assert torch.equal(found.theta.rates["conv3.conv.weight"], theirs[:3])
    assert torch.equal(found.theta.rates["head.weight"], file["network"][RATE.format("linear-weights")][:3])
    assert not any("norm" in name for name in found.theta.rates)


def test_norms_adapt_if_they_have_rates(tmp_path):
    torch.save(saved(norms=True), tmp_path / "a")
    found = load_foreign(tmp_path / "a")
    assert found.method.inner.adapts == ("*",)
    assert "conv1.norm.weight" in found.theta.rates


def test_norm_weights_by_step_act_at_their_step(tmp_path):
    """The inner loop by hand: at step s the norms have the weights of step s, the query those of the last."""
    file = saved(affine=True)
    torch.save(file, tmp_path / "a")
    found = load_foreign(tmp_path / "a", image=(3, 84, 84))
    assert found.method.norm.affine == "per_step"
    theirs = file["network"]["classifier.layer_dict.conv1.norm_layer.weight"]
    ours = found.theta.extra["steps.conv2.norm.weight"]
    assert torch.equal(ours[:3], theirs)
    assert torch.equal(ours[3], theirs[2])


def test_other_steps_than_the_rates_have_leave_them_out(tmp_path):
    torch.save(saved(), tmp_path / "a")
    found = load_foreign(tmp_path / "a", inner=InnerWords(steps=5))
    assert found.theta.rates == {}
    assert found.method.inner.rates == "fixed"
    assert any("learned inner rates" in line for line in found.left_out)


@pytest.mark.parametrize("affine", [False, True])
def test_it_is_evaluated(affine, tmp_path):
    torch.save(saved(affine=affine), tmp_path / "a")
    found = load_foreign(tmp_path / "a")
    x, y = torch.randn(1, 10, 3, 84, 84, generator=torch.Generator().manual_seed(0)), torch.arange(5).repeat(2)[None]
    episodes = mp.Episodes(support_x=x, support_y=y, query_x=x, query_y=y)
    table = mp.evaluate(found.net, found.theta, episodes, {"as trained": found.method})
    assert table["value"].notna().all()
