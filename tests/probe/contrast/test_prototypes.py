"""The model as a prototype classifier, against the twin with loops over classes, and where the two must part."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.probe.contrast.prototypes import CLASSIFIERS, prototype_table, readings
from tests.oracles import forward
from tests.probe.cases import LR, NETS, features, method, start

KEYS = ["task", "variant", "classifier", "quantity"]


@pytest.fixture
def episodes(classes):
    return classes(tasks=3, shot=2, query=5)


def values(net, theta, tasks, chosen):
    return prototype_table(net, theta, tasks, chosen).set_index(KEYS)["value"]


def score(name, query, centre):
    """What a classifier says to one query row about one class."""
    if name == "Euclidean":
        return -float((query - centre).square().sum())
    product = float((query * centre).sum())
    return product if name == "dot product" else product / float(query.norm() * centre.norm())


@pytest.mark.parametrize("norm", ["batch", "support"])
@pytest.mark.parametrize("name", NETS)
def test_numbers_are_those_of_the_twin_row_by_row(name, norm, episodes):
    net, twin = NETS[name]
    theta, chosen = start(net), method(steps=3, norm=norm)
    table = values(net, theta, episodes, chosen)
    for variant, each in readings(chosen).items():
        path = adapt_tasks(net, theta, episodes, each)
        for task in range(episodes.tasks):
            last, end = ({n: v[task].detach() for n, v in path[place].items()} for place in (-2, -1))
            support_x, query_x = episodes.support_x[task], episodes.query_x[task]
            given = support_x if norm == "support" else None
            support, query = features(twin, last, support_x), features(twin, end, query_x, given)
            logits, labels = forward(twin, end, query_x, given).detach(), episodes.query_y[task]
            says = logits.argmax(1)
            key = (task, variant)
            assert table[(*key, "model", "accuracy")] == pytest.approx(float((says == labels).double().mean()))
            centres = [support[episodes.support_y[task] == j].mean(0) for j in range(3)]
            for classifier in CLASSIFIERS:
                scores = np.array([[score(classifier, q, c) for c in centres] for q in query])
                best = torch.tensor(scores.argmax(1))
                wanted = {"accuracy": best == labels, "agreement": best == says}
                for quantity, hits in wanted.items():
                    assert table[(*key, classifier, quantity)] == pytest.approx(float(hits.double().mean()))
                x, y = (a - a.mean(1, keepdims=True) for a in (scores, logits.numpy()))
                wanted = np.sum(x * y) / np.sqrt(np.sum(x * x) * np.sum(y * y))
                assert table[(*key, classifier, "correlation")] == pytest.approx(wanted)
                if classifier == "dot product":
                    slope = np.linalg.lstsq(x.reshape(-1, 1), y.ravel(), rcond=None)[0][0]
                    assert table[(*key, classifier, "scale")] == pytest.approx(slope * 3 / LR)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("adapts", ["*", "head.*"])
def test_one_step_from_a_zeroed_head_is_the_prototype_classifier_and_nothing_else_is(adapts, loss, episodes):
    net = NETS["conv"][0]
    table = values(net, start(net), episodes, method(adapts, steps=5, loss=loss)).unstack("task")
    exact = table.loc["zeroed, 1 step", "dot product"]
    np.testing.assert_allclose(exact.loc[["agreement", "correlation", "scale"]], 1, rtol=1e-12)
    model = table.loc["zeroed, 1 step", "model"].loc["accuracy"]
    np.testing.assert_array_equal(exact.loc["accuracy"], model)
    for variant in ("zeroed, all steps", "as trained, 1 step", "as trained, all steps"):
        assert (table.loc[variant, "dot product"].loc["correlation"] < 1 - 1e-4).all()
    for classifier in ("cosine", "Euclidean"):
        assert (table.loc["zeroed, 1 step", classifier].loc["correlation"] < 1 - 1e-4).all()


def test_prototypes_are_of_the_norms_that_the_step_saw(episodes):
    net = NETS["conv"][0]
    chosen = METHODS["mamlpp"]
    theta = init(net, seed=0, method=chosen).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    extra = {n: v + 0.3 * torch.randn(v.shape, generator=generator).double() for n, v in theta.extra.items()}
    assert any(n.startswith("steps.") for n in extra)
    rates = {name: 0.5 * value for name, value in theta.rates.items()}
    exact = values(net, replace(theta, extra=extra, rates=rates), episodes, chosen).unstack("task")
    exact = exact.loc["zeroed, 1 step", "dot product"]
    np.testing.assert_allclose(exact.loc[["agreement", "correlation"]], 1, rtol=1e-12)
    np.testing.assert_allclose(exact.loc["scale"], 0.5, rtol=1e-6)


def test_the_bias_stays_where_classes_are_balanced_and_shifts_alike_for_squared_errors(episodes):
    net = NETS["conv"][0]
    for loss, wanted in (("cross_entropy", 0.0), ("mse", LR / 3)):
        chosen = readings(method(loss=loss, lr=LR))["zeroed, 1 step"]
        bias = adapt_tasks(net, start(net), episodes, chosen)[-1]["head.bias"]
        np.testing.assert_allclose(bias, wanted, atol=1e-15)


def test_table_names_its_tasks_and_does_not_depend_on_how_many_are_held(episodes):
    net, theta, chosen = NETS["conv"][0], start(NETS["conv"][0]), method(steps=2)
    table = prototype_table(net, theta, episodes, chosen)
    assert list(table.columns) == [*KEYS, "value", "norm", "episodes"]
    assert set(table["episodes"]) == {manifest(episodes)}
    for task in range(episodes.tasks):
        alone = prototype_table(net, theta, episodes.task(task), chosen)["value"]
        np.testing.assert_allclose(table[table["task"] == task]["value"], alone, rtol=1e-10)


def test_one_step_at_test_is_listed_once():
    assert list(readings(method())) == ["zeroed, 1 step", "as trained, 1 step"]
    found = readings(method(steps=4))
    assert {k: (m.head, m.inner.test_steps) for k, m in found.items()} == {
        "zeroed, 1 step": ("zero_at_test", 1),
        "zeroed, all steps": ("zero_at_test", 4),
        "as trained, 1 step": ("keep", 1),
        "as trained, all steps": ("keep", 4),
    }


def test_logits_that_do_not_vary_have_no_slope(episodes):
    net = NETS["conv"][0]
    still = values(net, start(net, head=0.0), episodes, method(lr=0.0)).unstack("task")
    assert still.loc["zeroed, 1 step", "dot product"].loc[["correlation", "scale"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("body", r"prototypes: the head must adapt, got inner.adapts \['body.\*'\]; choose another run"),
        ("way", r"prototypes: the head must have a row for each of the 2 classes, got 3; choose another run"),
        ("odd", r"prototypes: classes must have equally many support rows, got \[3, 1, 2\]; balance them"),
    ],
)
def test_what_has_no_prototypes_is_refused(change, message, episodes, classes):
    net, chosen = NETS["conv"][0], method("body.*" if change == "body" else "*")
    episodes = classes(way=2) if change == "way" else episodes
    if change == "odd":
        episodes = replace(episodes, support_y=torch.tensor([[0, 0, 0, 1, 2, 2]]).expand(3, -1).clone())
    with pytest.raises(UserError, match=message):
        prototype_table(net, start(net), episodes, chosen)


def test_prototypes_need_classes(waves):
    with pytest.raises(UserError, match=r"episodes: way needs integer labels"):
        prototype_table(NETS["mlp"][0], start(NETS["mlp"][0]), waves(inputs=64), method())


def test_features_alone_are_scored_row_by_row(episodes):
    """Of a method that reads no head: accuracies of the classifiers, against loops over tasks, rows and classes."""
    net = NETS["conv"][0]
    theta, plain = start(net), method()
    chosen = replace(plain, readout="prototype", inner=replace(plain.inner, steps=0, test_steps=0))
    table = prototype_table(net, theta, episodes, chosen)
    assert set(table["variant"]) == {"features"}
    assert set(table["quantity"]) == {"accuracy"}
    assert list(dict.fromkeys(table["classifier"])) == list(CLASSIFIERS)
    params = {name: value.double()[None] for name, value in theta.net.items()}
    for task in range(episodes.tasks):
        one = episodes.task(task).to(dtype=torch.float64)
        support, query = (net(params, x).features[0] for x in (one.support_x, one.query_x))
        means = torch.stack([support[one.support_y[0] == label].mean(0) for label in range(episodes.way)])
        hits = dict.fromkeys(CLASSIFIERS, 0)
        for row, label in zip(query, one.query_y[0].tolist(), strict=True):
            scores = {
                "dot product": [float(row @ mean) for mean in means],
                "cosine": [float(row @ mean / (row.norm() * mean.norm())) for mean in means],
                "Euclidean": [-float((row - mean).norm()) for mean in means],
            }
            for name, each in scores.items():
                hits[name] += int(np.argmax(each)) == label
        for name, count in hits.items():
            got = table[(table["task"] == task) & (table["classifier"] == name)]["value"].item()
            assert got == pytest.approx(count / query.shape[0]), (task, name)
