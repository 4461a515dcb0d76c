"""The same start under another method: what each word changes, and that nothing else does."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.params import adapting
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.interventions import WORDS, freeze, nil, only, prefixes, variants, zero_at_test
from tests.oracles import close, forward, slow_path
from tests.probe.cases import LR, NETS, features, method, start

NET, TWIN = NETS["conv"]
DEEP = conv4(image=(1, 16, 16), way=3, filters=2, order="conv-relu-bn")
MAML = METHODS["maml"]


def test_each_word():
    found = variants(NET, MAML, "keep, zero_at_test,nil,head,body,freeze:1,freeze:1-2,adapt:conv2")
    inner = MAML.inner
    assert found == {
        "keep": MAML,
        "zero_at_test": replace(MAML, head="zero_at_test"),
        "nil": replace(MAML, readout="cosine", inner=replace(inner, test_steps=0)),
        "head": replace(MAML, inner=replace(inner, adapts=("head.*",))),
        "body": replace(MAML, inner=replace(inner, adapts=("body.*",))),
        "freeze:1": replace(MAML, inner=replace(inner, adapts=("*", "!conv1"))),
        "freeze:1-2": replace(MAML, inner=replace(inner, adapts=("*", "!conv1", "!conv2"))),
        "adapt:conv2": replace(MAML, inner=replace(inner, adapts=("conv2",))),
    }
    assert list(found)[:3] == ["keep", "zero_at_test", "nil"]


def test_freeze_is_every_prefix():
    found = variants(DEEP, MAML, "keep,freeze")
    labels = ["keep", "freeze:none", "freeze:1", "freeze:1,2", "freeze:1,2,3", "freeze:1,2,3,4"]
    assert list(found) == labels
    assert list(prefixes(DEEP, MAML)) == ["none", "1", "1,2", "1,2,3", "1,2,3,4"]
    assert found["freeze:none"] == MAML
    for count, label in enumerate(labels[1:]):
        names = adapting(DEEP, found[label].inner.adapts)
        wanted = [n for n in DEEP.parameters if not any(n.startswith(f"body.{k + 1}.") for k in range(count))]
        assert list(names) == wanted


@pytest.mark.parametrize(("first", "last"), [(1, 1), (2, 3), (1, 4), (5, 5), (1, 5)])
def test_frozen_layers_stay_and_the_others_move(classes, first, last):
    theta, episodes = start(DEEP), classes(shape=(1, 16, 16))
    chosen = freeze(DEEP, method(steps=2), first, last)
    path = adapt_tasks(DEEP, theta, episodes, chosen)
    frozen = DEEP.layers[first - 1 : last]
    for name, layer in DEEP.parameters.items():
        moved = [float((at[name] - theta.net[name]).abs().max()) for at in path]
        assert moved[0] == 0
        assert (min(moved[1:]) > 0) == (layer not in frozen), name
        assert (max(moved[1:]) > 0) == (layer not in frozen), name


def test_freezing_adds_to_what_is_frozen_already():
    chosen = freeze(NET, freeze(NET, METHODS["anil"], 1, 1), 3, 3)
    assert adapting(NET, chosen.inner.adapts) == ()


def test_freezing_the_body_is_adapting_the_head_exactly(classes):
    theta, episodes, full = start(NET), classes(tasks=4, query=5), method(steps=3)
    frozen, head = freeze(NET, full, 1, 2), only(full, "head.*")
    for one, two in zip(adapt_tasks(NET, theta, episodes, frozen), adapt_tasks(NET, theta, episodes, head)):
        assert all(torch.equal(one[n], two[n]) for n in one)
    table = evaluate(NET, theta, episodes, {"frozen": frozen, "head": head}, steps="every")
    frozen_values, head_values = (table[table.variant == label].value.to_numpy() for label in ("frozen", "head"))
    assert (frozen_values == head_values).all()


@pytest.mark.parametrize(("word", "prefix"), [("head", "head."), ("body", "body."), ("adapt:body.2.*", "body.2.")])
def test_the_named_part_adapts_as_in_the_twin(classes, word, prefix):
    theta, episodes = start(NET), classes(tasks=2)
    (chosen,) = variants(NET, method(steps=2), word).values()
    path = adapt_tasks(NET, theta, episodes, chosen)
    for b in range(2):
        wanted, _ = slow_path(
            lambda at, x: forward(TWIN, at, x),
            theta.net,
            episodes.support_x[b],
            episodes.support_y[b],
            adapts=[n for n in theta.net if n.startswith(prefix)],
            rate=lambda name, step: LR,
            steps=2,
            loss="cross_entropy",
            graph=False,
        )
        for step in range(3):
            close({n: v[b] for n, v in path[step].items()}, wanted[step], 1e-10)


def test_zero_at_test_starts_from_a_zeroed_head(classes):
    theta, episodes = start(NET), classes()
    path = adapt_tasks(NET, theta, episodes, zero_at_test(method(steps=1)))
    for name in ("head.weight", "head.bias"):
        assert theta.net[name].abs().max() > 0.01
        assert torch.count_nonzero(path[0][name]) == 0
    assert path[1]["head.weight"].abs().max() > 1e-3
    assert all(torch.equal(path[0][n], theta.net[n].expand_as(path[0][n])) for n in theta.net if "head" not in n)
    kept = adapt_tasks(NET, theta, episodes, method(steps=1))
    assert torch.equal(kept[0]["head.weight"][1], theta.net["head.weight"])


def attention(support, labels, query, way):
    """Class scores [R, N] by loops: softmax over support items of the cosine, summed over the items of a class."""
    scores = []
    for q in query:
        powers = [math.exp(float(q @ s) / math.sqrt(float(q @ q) * float(s @ s))) for s in support]
        scores.append([sum(p for p, y in zip(powers, labels) if y == j) / sum(powers) for j in range(way)])
    return torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize("norm", ["batch", "support"])
@pytest.mark.parametrize("shot", [1, 3])
def test_nil_is_attention_on_the_unadapted_features(classes, shot, norm):
    theta, episodes = start(NET), classes(tasks=4, shot=shot, query=6)
    chosen = nil(method(steps=3, norm=norm))
    tasks, path = inner_paths(NET, theta, episodes, chosen, stage="test", track="none")
    assert len(path) == 1
    found = tasks.query_logits(path[0])
    table = evaluate(NET, theta, episodes, {"nil": chosen})
    assert list(table.step) == [0] * 4
    accuracies = []
    for b in range(4):
        support = features(TWIN, theta.net, episodes.support_x[b])
        query = features(TWIN, theta.net, episodes.query_x[b], episodes.support_x[b] if norm == "support" else None)
        scores = attention(support, episodes.support_y[b].tolist(), query, 3)
        torch.testing.assert_close(found[b].exp(), scores, rtol=0, atol=1e-10)
        hits = scores.argmax(1) == episodes.query_y[b]
        assert table.value[b] == pytest.approx(float(hits.double().mean()), abs=1e-6)
        accuracies.append(float(table.value[b]))
        if shot == 1:
            nearest = [max(range(3), key=lambda i, q=q: float(q @ support[i] / support[i].norm())) for q in query]
            assert scores.argmax(1).tolist() == nearest
    assert 1 / 3 < sum(accuracies) / 4 < 1


def test_layers_without_parameters_are_frozen_anyway(classes):
    """Recorded layers may own nothing: freezing them is no mistake and changes nothing."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3))
    net = wrap(module, "4", layers=("0", "1", "2"))
    assert net.layers == ("0", "1", "2", "4")
    names = {label: adapting(net, m.inner.adapts) for label, m in prefixes(net, method()).items()}
    every, head = ("0.weight", "0.bias", "4.weight", "4.bias"), ("4.weight", "4.bias")
    assert names == {"none": every, "1": head, "1,2": head, "1,2,3": head}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("xyz", f"variants: the variant must be a known one, got 'xyz'; did you mean {', '.join(WORDS)}?"),
        (
            "keep,zero_at_tets",
            "variants: the variant must be a known one, got 'zero_at_tets'; did you mean zero_at_test?",
        ),
        ("", f"variants: the variant must be a known one, got ''; did you mean {', '.join(WORDS)}?"),
        ("adapt", "variants: the variant must be a known one, got 'adapt'; did you mean adapt:PATTERN?"),
        ("heads", "variants: the variant must be a known one, got 'heads'; did you mean head?"),
        ("freeze:a-b", "variants: freeze must name layers as in freeze:1-3, got 'freeze:a-b'; count from 1"),
        ("freeze:1-", "variants: freeze must name layers as in freeze:1-3, got 'freeze:1-'; count from 1"),
        ("freeze:-1", "variants: freeze must name layers as in freeze:1-3, got 'freeze:-1'; count from 1"),
        ("freeze:²", "variants: freeze must name layers as in freeze:1-3, got 'freeze:²'; count from 1"),
        ("freeze:0-1", "freeze: layers must lie in 1-3, got 0-1; the layers are conv1, conv2, head"),
        ("freeze:2-4", "freeze: layers must lie in 1-3, got 2-4; the layers are conv1, conv2, head"),
        ("freeze:2-1", "freeze: layers must lie in 1-3, got 2-1; the layers are conv1, conv2, head"),
    ],
)
def test_words_that_are_not_there(words, message):
    with pytest.raises(UserError) as error:
        variants(NET, MAML, words)
    assert str(error.value) == message


def test_nil_needs_class_probabilities():
    with pytest.raises(UserError) as error:
        variants(NET, Method(loss="mse"), "nil")
    assert str(error.value) == ("method: the cosine readout gives class probabilities, got loss mse; use cross_entropy")


def test_a_pattern_that_selects_nothing(classes):
    (chosen,) = variants(NET, MAML, "adapt:conv9").values()
    with pytest.raises(UserError) as error:
        evaluate(NET, start(NET), classes(), {"adapt:conv9": chosen})
    assert str(error.value) == (
        "adapts: every pattern must select a parameter, got 'conv9'; "
        "the layers are conv1, conv2, head, the roles body.* and head.*"
    )


def test_what_adapts_must_have_a_learned_rate(classes):
    """ANIL with learned rates has none for the body."""
    anil = Method(inner=Inner(steps=1, test_steps=1, adapts=("head.*",), rates="layer_step"))
    (chosen,) = variants(NET, anil, "body").values()
    with pytest.raises(UserError, match="learned rate"):
        evaluate(NET, start(NET, anil), classes(), {"body": chosen})


def test_names_come_in_a_list_too():
    assert variants(NET, MAML, ["keep", "freeze:1"]) == variants(NET, MAML, "keep,freeze:1")
