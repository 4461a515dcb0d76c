"""Similarity before and after the inner loop, each value from the measure itself on the twin's activations."""

import math
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.measure import cca, cka, null_floor, procrustes, pwcca, rsa, svcca
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.representation.layer_similarity import CCA_FAMILY, DEFAULT, MEASURES, compared, similarity
from tests.oracles import forward
from tests.probe.cases import NETS, method, start

DIRECT = {
    "cca_mean": lambda x, y: cca(x, y, summary="mean"),
    "cca_squared": lambda x, y: cca(x, y, summary="mean_squared"),
    "cca_top98": lambda x, y: cca(x, y, summary="top98"),
    "svcca": lambda x, y: svcca(x, y, variance=0.99),
    "pwcca": lambda x, y: pwcca(x, y),
    "procrustes": lambda x, y: procrustes(x, y),
    "cka_debiased": lambda x, y: cka(x, y, debiased=True),
    "cka_biased": lambda x, y: cka(x, y, debiased=False),
    "rsa": lambda x, y: rsa(x, y, metric="correlation", correlation="spearman"),
}
POSITIONS = {*CCA_FAMILY, "procrustes"}
COLUMNS = [
    "task",
    "layer",
    "step",
    "measure",
    "features",
    "inputs",
    "rows",
    "width",
    "ratio",
    "value",
    "floor",
    "expected",
    "note",
    "norm",
    "episodes",
]
BODY = {"mlp": ["fc1", "fc2"], "conv": ["conv1", "conv2"]}


def caught(twin, weights, x):
    """Outputs of the twin's parts and of its head for one task's rows, by forward hooks."""
    seen = []
    handles = [part.register_forward_hook(lambda _, args, output: seen.append(output)) for part in twin.body.values()]
    try:
        logits = forward(twin, weights, x)
    finally:
        for handle in handles:
            handle.remove()
    return [*seen, logits]


def matrix(maps, features):
    """Rows [R, F] of one task's activations."""
    if maps.ndim == 2:
        return maps
    if features == "flattened":
        return torch.stack([image.reshape(-1) for image in maps])
    return torch.stack([image[:, h, w] for image in maps for h in range(maps.shape[2]) for w in range(maps.shape[3])])


def pick(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def test_every_measure_is_covered():
    assert set(MEASURES) == set(DIRECT)
    assert {name for name, (features, _) in MEASURES.items() if features == "positions"} == POSITIONS
    assert set(DEFAULT) == set(MEASURES) - {"rsa"}


@pytest.mark.parametrize("inputs", ["query", "support"])
def test_against_the_measures_themselves(classes, inputs):
    net, twin = NETS["conv"]
    theta, episodes, chosen = start(net), classes(tasks=2, shot=2, query=4), method(steps=3)
    table = similarity(net, theta, episodes, chosen, inputs=inputs, steps=[1, 3], seed=5, measures=tuple(MEASURES))
    assert list(table.columns) == COLUMNS
    assert len(table) == 2 * 3 * 2 * 9
    assert not table.duplicated(["task", "layer", "step", "measure"]).any()
    for column, wanted in {"inputs": inputs, "norm": "batch", "episodes": manifest(episodes)}.items():
        assert set(table[column]) == {wanted}
    found = table.set_index(["task", "layer", "step", "measure"])
    path = adapt_tasks(net, theta, episodes, chosen)
    for task in range(2):
        x = (episodes.query_x if inputs == "query" else episodes.support_x)[task]
        before, *after = ([*caught(twin, {n: v[task] for n, v in path[s].items()}, x)] for s in (0, 1, 3))
        for step, maps in zip((1, 3), after):
            for layer, one, two in zip(net.layers, before, maps):
                for name, measure in DIRECT.items():
                    features = "positions" if name in POSITIONS else "flattened"
                    a, b = matrix(one, features), matrix(two, features)
                    row = found.loc[task, layer, step, name]
                    assert row["features"] == features
                    assert (row["rows"], row["width"]) == tuple(a.shape)
                    assert row["ratio"] == a.shape[0] / a.shape[1]
                    assert row["value"] == pytest.approx(measure(a, b), abs=1e-8)
                    floor = null_floor(measure, a, b, draws=1, seed=5 + task, groups=len(a) // len(x))[0]
                    assert row["floor"] == pytest.approx(floor, abs=1e-8)


def test_all_steps_layers_and_measures(classes):
    net, _ = NETS["mlp"]
    table = similarity(net, start(net), classes(query=4), method(steps=2), steps=[1, 2])
    assert sorted(set(table.step)) == [1, 2]
    assert list(dict.fromkeys(table.layer)) == list(net.layers)
    assert set(table.measure) == set(DEFAULT)
    assert len(table) == 3 * 2 * 3 * 8


def test_some_layers_and_measures(classes):
    net, _ = NETS["mlp"]
    theta, episodes, chosen = start(net), classes(query=4), method(steps=2)
    whole = similarity(net, theta, episodes, chosen, steps=[1, 2])
    part = similarity(net, theta, episodes, chosen, layers=["head", "fc1"], measures=["cka_biased", "pwcca"], steps=[2])
    assert list(dict.fromkeys(part.layer)) == ["head", "fc1"]
    keys = ["task", "layer", "step", "measure"]
    both = part.merge(whole, on=keys, suffixes=("", "_whole"))
    assert len(both) == len(part) == 3 * 2 * 2
    assert (both.value == both.value_whole).all()
    assert (both.floor == both.floor_whole).all()


@pytest.mark.parametrize("name", NETS)
def test_before_is_like_itself(classes, name):
    net, _ = NETS[name]
    table = similarity(net, start(net), classes(query=5), method(steps=1), steps=[0])
    assert table.value.to_numpy() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_with_the_head_adapting_alone_the_body_stays(classes, name):
    net, _ = NETS[name]
    table = similarity(net, start(net), classes(query=5), method("head.*", steps=3, lr=2.0), steps=[1, 2, 3])
    body = table[table.layer.isin(BODY[name])]
    assert len(body) == 3 * 2 * 3 * 8
    assert body.value.to_numpy() == pytest.approx(1, abs=1e-9)
    assert (table[table.layer == "head"].value < 1 - 1e-4).all()


def test_with_the_body_adapting_every_layer_moves(classes):
    net, _ = NETS["conv"]
    table = similarity(net, start(net), classes(query=5), method(steps=3, lr=2.0), steps=[3])
    assert (table.value < 1 - 1e-6).all()


@pytest.mark.parametrize("name", NETS)
def test_the_floor_of_copies_is_lower(classes, name):
    net, _ = NETS[name]
    table = similarity(net, start(net), classes(query=8), method("head.*", steps=1))
    body = table[table.layer.isin(BODY[name])]
    assert (body.floor < body.value - 0.02).all()


def test_the_floor_permutes_whole_images(classes):
    """Where all images are one, a permutation of images changes nothing; one of positions would."""
    net, _ = NETS["conv"]
    whole = classes(query=4)
    same = whole.query_x[:, :1].expand_as(whole.query_x)
    episodes = Episodes(
        support_x=whole.support_x, support_y=whole.support_y, query_x=same.contiguous(), query_y=whole.query_y
    )
    table = similarity(net, start(net), episodes, method(steps=2, lr=1.0), measures=CCA_FAMILY, layers=["conv1"])
    assert table.value.notna().all()
    assert table.floor.to_numpy() == pytest.approx(table.value.to_numpy(), abs=1e-9)
    assert (table.value < 1 - 1e-6).all()


def test_the_seed_moves_the_floor_alone(classes):
    net, _ = NETS["mlp"]
    theta, episodes, chosen = start(net), classes(query=5), method(steps=1)
    one, two = (similarity(net, theta, episodes, chosen, seed=seed) for seed in (0, 100))
    assert (one.value == two.value).all()
    assert (one.floor != two.floor).mean() > 0.9
    assert one.floor.equals(similarity(net, theta, episodes, chosen).floor)


def test_cca_of_no_more_rows_than_features_is_not_a_number(classes):
    """With one query item a class the head has 5 rows of 5 features: a CCA would be 1 whatever the data."""
    net = mlp(inputs=64, way=5, hidden=(3, 4), activation="tanh")
    table = similarity(net, start(net), classes(way=5, query=1), method(steps=1))
    spectral = table.measure.isin(CCA_FAMILY)
    defined = table.layer == "fc1"  # 5 rows, of which 4 count, of 3 features
    assert table[spectral & ~defined].value.isna().all()
    assert table[spectral & ~defined].floor.isna().all()
    assert table[spectral & defined].value.notna().all()
    assert table[~spectral][["value", "floor"]].notna().all(axis=None)
    head = table[table.layer == "head"]
    assert (head.rows == 5).all()
    assert (head.width == 5).all()
    assert (head.ratio == 1).all()


def test_debiased_cka_of_three_rows_is_not_a_number(classes):
    net, _ = NETS["conv"]
    table = similarity(net, start(net), classes(shot=1), method(steps=1), inputs="support")
    assert pick(table, measure="cka_debiased")[["value", "floor"]].isna().all(axis=None)
    assert pick(table, measure="cka_biased")[["value", "floor"]].notna().all(axis=None)
    assert pick(table, measure="cca_mean", layer="conv1").value.notna().all()


def test_one_image_has_no_floor(classes):
    net, _ = NETS["conv"]
    whole = classes(way=3)
    episodes = Episodes(
        support_x=whole.support_x,
        support_y=whole.support_y,
        query_x=whole.query_x[:, :1],
        query_y=whole.query_y[:, :1],
    )
    table = similarity(net, start(net), episodes, method(steps=1), layers=["conv1"], measures=["cca_mean"])
    assert table.value.notna().all()
    assert table.floor.isna().all()


def test_a_zeroed_head_does_not_vary_before(classes):
    net, _ = NETS["mlp"]
    table = similarity(net, start(net), classes(query=5), method(steps=1, head="zero_at_test"))
    assert table[table.layer == "head"][["value", "floor"]].isna().all(axis=None)
    assert table[table.layer != "head"][["value", "floor"]].notna().all(axis=None)


def test_an_inner_loop_that_diverges_gives_no_number(classes):
    """From the step on at which activations stop being finite the value is NaN; the steps before keep theirs."""
    net = mlp(inputs=64, way=3, hidden=(4,), activation="none")
    theta, episodes = start(net).to(dtype=torch.float32), classes(query=5).to(dtype=torch.float32)
    table = similarity(net, theta, episodes, method(steps=8, lr=1e4, loss="mse"), steps=range(1, 9))
    first = table[table.step == 1]
    last = table[table.step == 8]
    assert first.value.notna().all()
    assert last[["value", "floor"]].isna().all(axis=None)
    assert (last.rows == 15).all()


def test_five_way_one_shot_support_decides_by_its_shape(classes):
    """Five logits of five images: the note says why there is no CCA, and what is left has none."""
    net = mlp(inputs=64, way=5, hidden=(3,), activation="tanh")
    episodes = classes(way=5, shot=1)
    table = similarity(net, start(net), episodes, method(steps=1), inputs="support", measures=tuple(MEASURES))
    for name in CCA_FAMILY:
        assert set(pick(table, layer="head", measure=name).note) == {"5 rows, 5 features: every correlation is 1"}
        assert set(pick(table, layer="fc1", measure=name).note) == {"fewer than 10 rows a feature"}
    for name in set(MEASURES) - set(CCA_FAMILY):
        assert set(pick(table, measure=name).note) == {""}


def test_three_images_are_too_few_for_debiased_cka(classes):
    net, _ = NETS["conv"]
    words = {"inputs": "support", "measures": ["cka_debiased", "rsa"]}
    table = similarity(net, start(net), classes(shot=1), method(steps=1), **words)
    assert set(pick(table, measure="cka_debiased").note) == {"fewer than 4 rows"}
    assert set(pick(table, measure="rsa").note) == {""}
    few = similarity(net, start(net), alone(classes(), 2), method(steps=1), measures=["rsa"])
    assert set(few.note) == {"fewer than 3 rows"}
    assert few[["value", "floor", "expected"]].isna().all(axis=None)


def alone(episodes, count):
    """The same with the first few query images."""
    x, y = episodes.query_x[:, :count], episodes.query_y[:, :count]
    return Episodes(support_x=episodes.support_x, support_y=episodes.support_y, query_x=x, query_y=y)


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_not_finite_or_does_not_vary_says_so(name):
    x = torch.randn(1, 60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    broken, flat = x.clone(), torch.ones_like(x)
    broken[0, 7, 2] = torch.nan
    for one, two, note in (
        (x, x, ""),
        (x, broken, "an activation is not finite"),
        (broken, x, "an activation is not finite"),
        (x, flat, "no variation to compare"),
        (flat, x, "no variation to compare"),
    ):
        [row] = compared(one, {0: two}, [name], seed=0)
        assert row["note"] == note
        assert math.isnan(row["value"]) == bool(note)


def test_the_wider_of_two_layers_decides():
    x, y = (torch.randn(1, 9, width, dtype=torch.float64) for width in (2, 9))
    for one, two in ((x, y), (y, x)):
        [row] = compared(one, {0: two}, ["cca_mean"], seed=0)
        assert row["note"] == "9 rows, 9 features: every correlation is 1"
        assert math.isnan(row["value"])


@pytest.mark.parametrize("name", ["cca_squared", "cka_debiased", "rsa"])
def test_what_is_expected_is_the_mean_of_unrelated_gaussians(name):
    """Five and seven features of which one is a copy and so no direction of its own: 6 of 24 dimensions at most."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(300, 25, width, dtype=torch.float64, generator=generator) for width in (5, 7))
    y[:, :, 6] = y[:, :, 5]
    rows = compared(x, {0: y}, [name], seed=0)
    [expected] = {row["expected"] for row in rows}
    assert expected == {"cca_squared": 6 / 24, "cka_debiased": 0, "rsa": 0}[name]
    values = torch.tensor([row["value"] for row in rows])
    assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(300) < 0.05


def test_nothing_is_expected_of_the_others():
    x = torch.randn(1, 30, 3, dtype=torch.float64)
    rows = compared(x, {0: x}, tuple(MEASURES), seed=0)
    known = {row["measure"] for row in rows if not math.isnan(row["expected"])}
    assert known == {"cca_squared", "cka_debiased", "rsa"}


def test_the_ratio_is_one_number_a_shape(classes):
    net, _ = NETS["conv"]
    table = similarity(net, start(net), classes(query=4), method(steps=1), measures=["cca_mean", "cka_biased"])
    shapes = table.groupby(["layer", "features"])[["rows", "width", "ratio"]].first().to_dict("index")
    assert shapes == {
        ("conv1", "positions"): {"rows": 12 * 16, "width": 3, "ratio": 64.0},
        ("conv1", "flattened"): {"rows": 12, "width": 48, "ratio": 0.25},
        ("conv2", "positions"): {"rows": 12 * 4, "width": 3, "ratio": 16.0},
        ("conv2", "flattened"): {"rows": 12, "width": 12, "ratio": 1.0},
        ("head", "positions"): {"rows": 12, "width": 3, "ratio": 4.0},
        ("head", "flattened"): {"rows": 12, "width": 3, "ratio": 4.0},
    }
    assert not any(math.isnan(v) for row in shapes.values() for v in row.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"measures": ["cca"]},
            "layers: the measure must be a known one, got 'cca'; did you mean svcca, pwcca, cca_mean?",
        ),
        ({"inputs": "all"}, "layers: the inputs must be a known one, got 'all'; did you mean query, support?"),
        ({"steps": [1, 4]}, "layers: steps must lie in 0-3, got [1, 4]; raise inner.test_steps"),
        ({"steps": [-1]}, "layers: steps must lie in 0-3, got [-1]; raise inner.test_steps"),
        ({"steps": []}, "layers: steps must lie in 0-3, got []; raise inner.test_steps"),
        ({"layers": ["fc3"]}, "record: the layer must be a known one, got 'fc3'; did you mean fc2, fc1?"),
    ],
)
def test_what_is_not_there_is_refused(classes, wrong, message):
    net, _ = NETS["mlp"]
    with pytest.raises(UserError) as error:
        similarity(net, start(net), classes(), method(steps=3), **wrong)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("inner", "got"),
    [
        ({"test_steps": 0}, "test_steps 0, adapts ['*']"),
        ({"test_steps": 3, "adapts": ()}, "test_steps 3, adapts []"),
        ({"test_steps": 0, "adapts": ()}, "test_steps 0, adapts []"),
    ],
)
def test_an_inner_loop_that_changes_nothing_is_refused(classes, inner, got):
    net, _ = NETS["mlp"]
    still = method(steps=3)
    still = replace(still, inner=replace(still.inner, **inner))
    with pytest.raises(UserError) as error:
        similarity(net, start(net), classes(), still)
    line = f"layers: the inner loop must change something, got {got}; "
    assert str(error.value) == line + "raise inner.test_steps, and let inner.adapts select parameters"
    if inner["test_steps"]:
        table = similarity(net, start(net), classes(), still, steps=(0, 3), measures=["cka_debiased"])
        assert set(table["step"]) == {0, 3}  # asked for by number
