"""Pictures of a task's features, against eigenvectors by hand and loops over rows of the twin's features."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.methods.settings import Norm
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.representation.embedding import KINDS, class_geometry, embed
from tests.probe.cases import NETS, features, method, start

COLUMNS = [
    "task",
    "moment",
    "set",
    "label",
    "row",
    "x",
    "y",
    "explained_x",
    "explained_y",
    "kind",
    "layer",
    "norm",
    "episodes",
]
SETS = ("support", "query", "prototype")


def oracle(name, theta, episodes, chosen, norm="batch"):
    """Rows [R, F] by task, moment and set, from the twin."""
    net, twin = NETS[name]
    path, found = adapt_tasks(net, theta, episodes, chosen), {}
    for task in range(episodes.tasks):
        for moment, place in (("before", 0), ("after", -1)):
            weights = {n: v[task].detach() for n, v in path[place].items()}
            support = features(twin, weights, episodes.support_x[task])
            given = episodes.support_x[task] if norm == "support" else None
            query = features(twin, weights, episodes.query_x[task], given)
            rows = [support[episodes.support_y[task] == label].mean(0) for label in range(episodes.way)]
            parts = (support, query, torch.stack(rows))
            found |= {(task, moment, part): rows.detach().numpy() for part, rows in zip(SETS, parts)}
    return found


@pytest.mark.parametrize("norm", ["batch", "support"])
@pytest.mark.parametrize("name", NETS)
def test_components_are_eigenvectors_of_the_covariance(classes, name, norm):
    net, _ = NETS[name]
    theta, episodes, chosen = start(net), classes(shot=2, query=3), method(steps=3, norm=norm)
    table = embed(net, theta, episodes, chosen)
    assert list(table.columns) == COLUMNS
    assert set(table["episodes"]) == {manifest(episodes)}
    assert (set(table["norm"]), set(table["kind"]), set(table["layer"])) == ({norm}, {"pca"}, {"features"})
    rows = oracle(name, theta, episodes, chosen, norm)
    for task in range(3):
        real = np.concatenate([rows[task, moment, part] for moment in ("before", "after") for part in SETS[:2]])
        values, vectors = np.linalg.eigh(np.cov(real.T))
        mine = table[table["task"] == task]
        for axis in ("x", "y"):
            vector, value = vectors[:, -1 if axis == "x" else -2], values[-1 if axis == "x" else -2]
            direct, found = [], []
            for moment in ("before", "after"):
                for part in SETS:
                    direct.append((rows[task, moment, part] - real.mean(0)) @ vector)
                    points = mine[(mine["moment"] == moment) & (mine["set"] == part)]
                    assert points["row"].tolist() == list(range(len(direct[-1])))
                    found.append(points[axis].to_numpy())
            here, there = np.concatenate(direct), np.concatenate(found)
            np.testing.assert_allclose(there, np.sign(here @ there) * here, atol=1e-9 * abs(here).max())
            assert mine[f"explained_{axis}"].unique().item() == pytest.approx(value / values.sum(), abs=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_geometry_row_by_row(classes, name):
    net, _ = NETS[name]
    theta, episodes, chosen = start(net), classes(tasks=2, shot=2, query=3), method(steps=2)
    table = class_geometry(net, theta, episodes, chosen)
    assert list(table.columns) == ["task", "moment", "quantity", "value", "layer", "norm", "episodes"]
    found = table.set_index(["task", "moment", "quantity"])["value"]
    assert len(found) == 2 * 5
    rows = oracle(name, theta, episodes, chosen)
    for task in range(2):
        labels = episodes.query_y[task].numpy()
        for moment in ("before", "after"):
            query, prototypes = rows[task, moment, "query"], rows[task, moment, "prototype"]
            right = [
                min(range(3), key=lambda c: ((row - prototypes[c]) ** 2).sum()) == label
                for row, label in zip(query, labels)
            ]
            assert found[task, moment, "nearest prototype"] == pytest.approx(np.mean(right), abs=1e-12)
            middles = [query[labels == label].mean(0) for label in labels]
            between = sum(((middle - query.mean(0)) ** 2).sum() for middle in middles)
            within = sum(((row - middle) ** 2).sum() for row, middle in zip(query, middles))
            assert found[task, moment, "between / within"] == pytest.approx(between / within, rel=1e-9)
        before, after = rows[task, "before", "query"], rows[task, "after", "query"]
        spread = np.sqrt(np.mean([((row - before.mean(0)) ** 2).sum() for row in before]))
        moved = np.mean([np.sqrt(((b - a) ** 2).sum()) for b, a in zip(before, after)])
        assert found[task, "after", "moved"] == pytest.approx(moved / spread, rel=1e-9)
    assert found.xs("moved", level=2).min() > 1e-3


def test_the_last_body_layer_is_the_heads_input(classes):
    net, _ = NETS["conv"]
    theta, episodes = start(net), classes()
    columns = ["x", "y", "explained_x"]
    one, other, first = (
        embed(net, theta, episodes, method(), layer=layer) for layer in (None, net.layers[-2], net.layers[0])
    )
    assert set(other["layer"]) == {"conv2"}
    np.testing.assert_allclose(other[columns], one[columns], atol=1e-12)
    assert (first["explained_x"] - one["explained_x"]).abs().min() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_stays_does_not_move(classes, kind):
    """Both moments have one plane, and one shot is its own prototype."""
    net, _ = NETS["conv"]
    theta, episodes = start(net), classes(tasks=1, shot=1, query=4)
    table = embed(net, theta, episodes, method("head.*", steps=2), kind=kind)
    places = {key: part[["x", "y"]].to_numpy() for key, part in table.groupby(["moment", "set"])}
    for part in SETS:
        np.testing.assert_array_equal(places["before", part], places["after", part])
    np.testing.assert_array_equal(places["before", "support"], places["before", "prototype"])
    geometry = class_geometry(net, theta, episodes, method("head.*", steps=2))
    assert geometry[geometry["quantity"] == "moved"]["value"].tolist() == [0.0]
    moving = embed(net, theta, episodes, method(steps=2), kind=kind)
    first = moving[moving["moment"] == "before"][["x", "y"]].to_numpy()
    assert abs(first - moving[moving["moment"] == "after"][["x", "y"]].to_numpy()).max() > 1e-3


def test_neighbours_stay_neighbours_in_tsne(classes):
    """Copies of a pattern each with little noise: the nearest point is of the same class. One seed, one picture."""
    episodes = classes(tasks=1, shot=1, query=12)
    patterns = episodes.support_x[:, torch.arange(3).repeat_interleave(12)]
    near = replace(episodes, query_x=patterns + 0.02 * episodes.query_x)
    net, _ = NETS["mlp"]
    once, again, other = (embed(net, start(net), near, method(lr=0.01), kind="tsne", seed=s) for s in (0, 0, 1))
    assert once["x"].tolist() == again["x"].tolist() != other["x"].tolist()
    assert once["explained_x"].isna().all()
    points = once[(once["moment"] == "before") & (once["set"] == "query")]
    places, labels = points[["x", "y"]].to_numpy(), points["label"].to_numpy()
    away = np.linalg.norm(places[:, None] - places, axis=2) + 1e9 * np.eye(len(places))
    assert (labels[away.argmin(1)] == labels).mean() > 0.9


def test_running_moments_are_used_in_the_regime_running(classes):
    net, _ = NETS["conv"]
    theta, episodes = start(net), classes()
    chosen = replace(method(), norm=Norm(statistics="running"))
    a, b = (class_geometry(net, theta, episodes, m)["value"] for m in (chosen, method()))
    assert (a - b).abs().max() > 1e-3


def test_what_is_not_finite_is_nan(classes):
    net, _ = NETS["mlp"]
    theta, episodes = start(net), classes(tasks=2)
    x = episodes.query_x.clone()
    x[0, 0] = torch.inf
    odd = replace(episodes, query_x=x)
    table = embed(net, theta, odd, method()).set_index(["task", "set"])
    assert table.loc[0, "query"]["x"].isna().all()  # one batch, one mean
    assert table.loc[0, "support"]["x"].notna().all()
    assert table.loc[1]["x"].notna().all()
    values = class_geometry(net, theta, odd, method()).set_index(["task", "quantity"])["value"]
    assert values[0]["between / within"].isna().all()
    assert values[1].notna().all()


def test_a_layer_of_one_number_and_rows_that_are_all_equal(classes):
    net = mlp(inputs=64, way=3, hidden=(1,), activation="tanh")
    episodes = classes(tasks=1)
    table = embed(net, start(net), episodes, method())
    assert (table["y"] == 0).all()
    assert table["explained_x"].unique().item() == pytest.approx(1)
    assert (table["explained_y"] == 0).all()
    same = replace(episodes, support_x=torch.ones_like(episodes.support_x), query_x=torch.ones_like(episodes.query_x))
    table = embed(net, start(net), same, method("head.*"))
    assert table[["x", "y"]].abs().max().max() < 1e-12
    assert table["explained_x"].isna().all()


def test_refusals(classes, waves):
    net, _ = NETS["mlp"]
    theta, episodes = start(net), classes(tasks=2)

    def told(found, **words):
        with pytest.raises(UserError) as error:
            embed(net, theta, found, method(), **words)
        return str(error.value)

    assert told(episodes, kind="pac") == "embed: the kind must be a known one, got 'pac'; did you mean pca?"
    assert told(episodes, layer="fc3").startswith("embed: the layer must be a known one, got 'fc3'; did you mean fc")
    parts = {n: getattr(episodes, n) for n in ("support_x", "support_y", "query_x", "query_y")}
    lacking = Episodes(**parts | {n: parts[n][:, :4] for n in ("support_x", "support_y")})
    assert told(lacking) == (
        "embed: every class must have a support row, its prototype, got none of label 2 in task 0; give one"
    )
    with pytest.raises(UserError) as error:
        embed(net, theta, waves(inputs=64), method())
    assert str(error.value) == "episodes: way needs integer labels, got torch.float64; align the tensors"
