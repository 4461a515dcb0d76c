"""Two models on the same inputs: against the measures on the twins' activations, and identities."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.measure import cka, svcca
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.representation.layer_similarity import similarity
from mamlprobe.probe.representation.model_similarity import Model, pair_similarity
from tests.probe.cases import NETS, method, start
from tests.probe.representation.test_layer_similarity import BODY, caught, matrix

DIRECT = {"svcca": svcca, "cka_debiased": cka}


def model(kind, seed, chosen=None):
    net, _ = NETS[kind]
    return Model(net=net, theta=start(net, seed=seed), method=chosen or method(steps=2))


@pytest.mark.parametrize("inputs", ["query", "support"])
def test_against_the_measures_themselves(inputs, classes):
    net, twin = NETS["conv"]
    one, other = model("conv", 0), model("conv", 1, method("head.*", steps=1))
    episodes = classes(tasks=2, shot=3, query=4)
    table = pair_similarity(one, other, episodes, inputs=inputs, measures=tuple(DIRECT)).set_index(
        ["task", "layer", "moment", "measure"]
    )
    x = getattr(episodes, f"{inputs}_x")
    paths = [adapt_tasks(each.net, each.theta, episodes, each.method) for each in (one, other)]
    for task in range(2):
        for moment, place in (("before", 0), ("after", -1)):
            weights = [{n: v.expand(2, *v.shape[1:])[task].detach() for n, v in path[place].items()} for path in paths]
            sides = [dict(zip([*BODY["conv"], "head"], caught(twin, each, x[task]), strict=True)) for each in weights]
            for layer in net.layers:
                for measure, compare in DIRECT.items():
                    features = "flattened" if measure.startswith("cka") else "positions"
                    rows = [matrix(side[layer].detach(), features) for side in sides]
                    found = table.loc[(task, layer, moment, measure)]
                    if rows[0].shape[0] - 1 > rows[0].shape[1] or measure.startswith("cka"):
                        assert found["value"] == pytest.approx(compare(*rows), abs=1e-9)
                    else:
                        assert torch.isnan(torch.tensor(found["value"]))


def test_a_model_is_itself_and_after_is_not_before(classes):
    one, episodes = model("conv", 0), classes(tasks=2, shot=3, query=4)
    table = pair_similarity(one, one, episodes, measures=("cka_biased", "cka_debiased"))
    assert (table["value"] - 1).abs().max() < 1e-9
    other = model("conv", 0, method("head.*", steps=2))
    after = pair_similarity(one, other, episodes, measures=("cka_biased",), moments=("after",))
    assert set(after["moment"]) == {"after"}
    assert after["value"].max() < 1 - 1e-6


def test_before_and_after_of_one_model_is_similarity(classes):
    """A model that takes no step against itself after its steps: what the other probe calls before and after."""
    net, _ = NETS["conv"]
    moving, still = method(steps=2), method("head.*", steps=2, lr=1e-300)
    theta, episodes = start(net), classes(tasks=2, shot=3, query=4)
    models = [Model(net=net, theta=theta, method=each) for each in (still, moving)]
    keys = ["task", "layer", "measure"]
    pair = pair_similarity(*models, episodes, moments=("after",), seed=3).set_index(keys)
    same = similarity(net, theta, episodes, moving, steps=[2], seed=3).set_index(keys)
    assert (pair["note"] == same.loc[pair.index, "note"]).all()
    for column in ("value", "floor", "expected", "rows", "width"):
        assert pair[column].to_numpy() == pytest.approx(same.loc[pair.index, column].to_numpy(), nan_ok=True, abs=1e-12)


def test_refusals(classes):
    one, episodes = model("conv", 0), classes(tasks=1, shot=1, query=2)
    with pytest.raises(UserError, match="moments must be some of before, after"):
        pair_similarity(one, one, episodes, moments=("during",))
    with pytest.raises(UserError, match="cka_debiased"):
        pair_similarity(one, one, episodes, measures=("cka_debiase",))
    plain = mlp(inputs=64, way=3, hidden=(4,))
    strange = Model(net=plain, theta=start(plain), method=method())
    with pytest.raises(UserError, match="layer"):
        pair_similarity(one, strange, episodes, layers=("conv1",))
    assert set(pair_similarity(one, strange, episodes)["layer"]) == {"head"}
