"""Every layer with every layer: against the measure itself on the twins' activations, and what must be equal."""

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.measure import cka
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.representation.cka_grid import COLUMNS, cka_grid, gram, pair_grid
from mamlprobe.probe.representation.layer_similarity import similarity
from mamlprobe.probe.representation.model_similarity import Model, pair_similarity
from tests.probe.cases import NETS, method, start
from tests.probe.representation.test_layer_similarity import BODY, caught

KEYS = ["task", "moment_a", "moment_b", "layer_a", "layer_b"]


def twin_rows(theta, episodes, chosen, inputs):
    """Rows [R, F] by task, moment and layer."""
    net, twin = NETS["conv"]
    path, found = adapt_tasks(net, theta, episodes, chosen), {}
    for task in range(episodes.tasks):
        for moment, place in (("before", 0), ("after", -1)):
            weights = {n: v[task].detach() for n, v in path[place].items()}
            x = getattr(episodes, f"{inputs}_x")[task]
            for layer, maps in zip([*BODY["conv"], "head"], caught(twin, weights, x), strict=True):
                found[task, moment, layer] = torch.stack([image.detach().reshape(-1) for image in maps])
    return found


@pytest.mark.parametrize("inputs", ["query", "support"])
def test_against_the_measure_itself(classes, inputs):
    net, _ = NETS["conv"]
    theta, episodes, chosen = start(net), classes(tasks=2, shot=2, query=3), method(steps=3)
    table = cka_grid(net, theta, episodes, chosen, inputs=inputs)
    assert list(table.columns) == COLUMNS.split()
    assert len(table) == 2 * 3 * 3 * 3
    words = ("measure", "features", "inputs", "rows", "norm", "episodes")
    direct = ["cka_debiased", "flattened", inputs, 3 * (3 if inputs == "query" else 2), "batch", manifest(episodes)]
    assert [table[word].unique().item() for word in words] == direct
    rows = twin_rows(theta, episodes, chosen, inputs)
    for each in table.itertuples():
        x, y = rows[each.task, each.moment_a, each.layer_a], rows[each.task, each.moment_b, each.layer_b]
        assert each.value == pytest.approx(cka(x, y), abs=1e-10)
        assert (each.width_a, each.width_b) == (x.shape[1], y.shape[1])


def test_a_layer_is_itself_and_the_map_of_one_moment_is_symmetric(classes):
    net, _ = NETS["conv"]
    table = cka_grid(net, start(net), classes(), method(steps=2))
    maps = {key: part["value"].to_numpy().reshape(3, 3) for key, part in table.groupby(KEYS[:3])}  # in order of layers
    for moment in ("before", "after"):
        for task in range(3):
            values = maps[task, moment, moment]
            np.testing.assert_allclose(np.diag(values), 1, rtol=0, atol=1e-12)
            np.testing.assert_allclose(values, values.T, rtol=0, atol=1e-14)
            assert abs(values[~np.eye(3, dtype=bool)]).max() < 1 - 1e-3
    across = maps[0, "before", "after"]
    assert abs(np.diag(across) - 1).min() > 1e-6
    assert abs(across - across.T).max() > 1e-6


def test_the_diagonal_across_moments_is_what_the_other_probe_finds(classes):
    net, _ = NETS["conv"]
    theta, episodes, chosen = start(net), classes(), method(steps=2)
    table = cka_grid(net, theta, episodes, chosen, moments=[("before", "after")])
    mine = table[table["layer_a"] == table["layer_b"]].set_index(["task", "layer_a"])["value"]
    other = similarity(net, theta, episodes, chosen, measures=["cka_debiased"], steps=[2])
    other = other.set_index(["task", "layer"])["value"]
    np.testing.assert_allclose(mine.loc[other.index], other, atol=1e-10)


def test_two_models(classes):
    """The diagonal is that of `pair_similarity`; a model with itself has the map of one; other layers may be there."""
    episodes = classes(tasks=2, query=3)
    nets = [NETS["conv"][0]] * 2
    one, other = (
        Model(net=net, theta=start(net, seed=seed), method=method(adapts, norm=norm, steps=2))
        for net, seed, adapts, norm in zip(nets, (0, 1), ("*", "head.*"), ("batch", "support"), strict=True)
    )
    table = pair_grid(one, other, episodes)
    assert set(table["norm"]) == {"batch and support"}
    assert set(zip(table["moment_a"], table["moment_b"])) == {("before", "before"), ("after", "after")}
    mine = table[table["layer_a"] == table["layer_b"]].set_index(["task", "layer_a", "moment_a"])["value"]
    direct = pair_similarity(one, other, episodes, measures=["cka_debiased"])
    direct = direct.set_index(["task", "layer", "moment"])["value"]
    np.testing.assert_allclose(mine.loc[direct.index], direct, atol=1e-10)
    twice = pair_grid(one, one, episodes, moments=[("before", "after")])
    alone = cka_grid(one.net, one.theta, episodes, one.method, moments=[("before", "after")])
    assert twice["value"].tolist() == alone["value"].tolist()
    flat, _ = NETS["mlp"]
    plain = Model(net=flat, theta=start(flat), method=method())
    strange = pair_grid(one, plain, episodes, moments=[("before", "before")])
    assert len(strange) == 2 * 3 * 3
    assert list(strange["layer_b"].unique()) == list(flat.layers)
    back = pair_grid(plain, one, episodes, moments=[("before", "before")]).rename(
        columns={"layer_a": "layer_b", "layer_b": "layer_a"}
    )
    keys = ["task", "layer_a", "layer_b"]
    np.testing.assert_allclose(
        back.set_index(keys)["value"].loc[strange.set_index(keys).index], strange["value"], atol=1e-14
    )


def test_chosen_layers(classes):
    net, _ = NETS["conv"]
    table = cka_grid(net, start(net), classes(), method(), layers=["conv2"])
    assert len(table) == 3 * 3
    assert set(table["layer_a"]) == set(table["layer_b"]) == {"conv2"}


def test_large_means_cost_no_digits_and_what_is_not_there_is_nan():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 8, 2, 3, 3, generator=generator, dtype=torch.float64)
    other = torch.randn(3, 8, 4, generator=generator, dtype=torch.float64)
    direct = [cka(maps[task].flatten(1), other[task]) for task in range(3)]
    assert gram(maps).cka(gram(other)) == pytest.approx(direct, abs=1e-12)
    assert gram(maps + 1e6).cka(gram(3 * other)) == pytest.approx(direct, abs=1e-8)
    maps[0], maps[1, 0, 0, 0, 0] = 7, torch.nan
    found = gram(maps).cka(gram(other))
    assert np.isnan(found).tolist() == [True, True, False]
    assert found[2] == pytest.approx(direct[2], abs=1e-12)


def test_refusals(classes):
    net, _ = NETS["mlp"]
    theta = start(net)

    def told(found=None, **words):
        with pytest.raises(UserError) as error:
            cka_grid(net, theta, found or classes(), method(), **words)
        return str(error.value)

    assert told(inputs="both") == "grid: inputs must be query or support, got 'both'; name one of them"
    for moments in ([], [("before", "during")]):
        line = f"grid: moments must be pairs of before and after, got {moments}; name such pairs"
        assert told(moments=moments) == line
    assert told(classes(way=3, query=1)) == (
        "grid: a task must have at least 4 query images, got 3; take more query items"
    )
    assert told(layers=["fc3"]).startswith("record: the layer must be a known one, got 'fc3'; did you mean fc")
    plain = mlp(inputs=64, way=3, hidden=(4,))
    strange = Model(net=plain, theta=start(plain), method=method())
    with pytest.raises(UserError, match="'fc2'"):
        pair_grid(Model(net=net, theta=theta, method=method()), strange, classes(), layers=["fc2"])
