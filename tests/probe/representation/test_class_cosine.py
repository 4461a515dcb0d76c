"""Class-by-class cosine of unadapted features, against loops over all pairs."""

from dataclasses import replace

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.methods.settings import Norm
from mamlprobe.probe.representation.class_cosine import cosine_classes, cosine_maps
from tests.probe.cases import NETS, features, method, start


def cosine(a, b):
    return float((a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt()))


@pytest.mark.parametrize("norm", ["batch", "support"])
@pytest.mark.parametrize("adapts", ["*", "head.*"])
@pytest.mark.parametrize("name", NETS)
def test_all_pairs(classes, name, adapts, norm):
    net, twin = NETS[name]
    theta, episodes = start(net), classes(shot=2, query=3)
    table = cosine_maps(net, theta, episodes, method(adapts, steps=3, norm=norm))
    assert list(table.columns) == ["task", "row", "column", "value", "norm", "episodes"]
    assert len(table) == 3 * 6 * 6
    assert set(table.norm) == {norm}
    assert set(table.episodes) == {manifest(episodes)}
    found = table.set_index(["task", "row", "column"]).value
    for b in range(3):
        support = features(twin, theta.net, episodes.support_x[b])
        query = features(twin, theta.net, episodes.query_x[b], episodes.support_x[b] if norm == "support" else None)
        rows = {f"s{j}": [f for f, t in zip(support, episodes.support_y[b]) if t == j] for j in range(3)}
        rows |= {f"q{j}": [f for f, u in zip(query, episodes.query_y[b]) if u == j] for j in range(3)}
        for one, first in rows.items():
            for two, second in rows.items():
                pairs = [cosine(f, g) for f in first for g in second]
                assert found[b, one, two] == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_classes_are_the_means_of_the_map(classes, name):
    net, _ = NETS[name]
    theta, episodes, chosen = start(net), classes(query=3), method()
    entries = cosine_maps(net, theta, episodes, chosen).set_index(["task", "row", "column"]).value
    table = cosine_classes(net, theta, episodes, chosen)
    assert list(table.columns) == ["task", "quantity", "value", "norm", "episodes"]
    found = table.set_index(["task", "quantity"]).value
    assert len(found) == 3 * 4
    for b in range(3):
        for side, letter in (("support", "s"), ("query", "q")):
            same = [entries[b, f"q{j}", f"{letter}{j}"] for j in range(3)]
            other = [entries[b, f"q{j}", f"{letter}{k}"] for j in range(3) for k in range(3) if j != k]
            assert found[b, f"query-{side} same"] == pytest.approx(sum(same) / 3, abs=1e-12)
            assert found[b, f"query-{side} different"] == pytest.approx(sum(other) / 6, abs=1e-12)
        assert found[b, "query-query same"] > found[b, "query-query different"]


def test_running_moments_are_used_in_the_regime_running(classes):
    net, _ = NETS["conv"]
    theta, episodes = start(net), classes()
    chosen = replace(method(), norm=Norm(statistics="running"))
    a, b = (cosine_maps(net, theta, episodes, m).value for m in (chosen, method()))
    assert (a - b).abs().max() > 1e-3


@pytest.mark.parametrize(
    "keep",
    [[0, 1, 2, 3, 4], [0, 1, 2, 4], [0, 2, 1, 3, 4, 5], [0, 1, 2]],
    ids=["not a multiple", "unequal", "not sorted", "a class is missing"],
)
@pytest.mark.parametrize("part", ["support", "query"])
def test_rows_must_be_balanced_and_class_major(classes, keep, part):
    """Blocks are cut by position, so anything else would mix the classes."""
    net, _ = NETS["mlp"]
    whole = classes()
    parts = {n: getattr(whole, n) for n in ("support_x", "support_y", "query_x", "query_y")}
    parts |= {n: parts[n][:, keep] for n in (f"{part}_x", f"{part}_y")}
    episodes = Episodes(**parts)
    labels = getattr(episodes, f"{part}_y")[0].tolist()
    for table in (cosine_maps, cosine_classes):
        with pytest.raises(UserError) as error:
            table(net, start(net), episodes, method())
        assert str(error.value) == (
            f"cosine: rows must be class-major, equally many a class, got {labels}; sort and balance them"
        )


def test_real_targets_have_no_classes(waves):
    net, _ = NETS["mlp"]
    with pytest.raises(UserError) as error:
        cosine_maps(net, start(net), waves(inputs=64), method())
    assert str(error.value) == "episodes: way needs integer labels, got torch.float64; align the tensors"
