"""Outer rules of one's own: what they give is what is learned, through kills too, and nothing else passes."""

import sys
from dataclasses import replace

import pytest
import torch

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.folder import load_run
from mamlprobe.training import loop
from mamlprobe.training.loop import train, train_together
from tests.training.conftest import blobs, seeds_of, twelve_updates
from tests.zoo import ZOO

SMALL = replace(twelve_updates(), validation_tasks=0)


def halved(net, theta, episodes, method):
    """Half of the usual gradient."""
    gradients, readings = mp.meta_gradient(net, theta, episodes, method)
    return {name: value / 2 for name, value in gradients.items()}, readings


def usual(net, theta, episodes, method):
    return mp.meta_gradient(net, theta, episodes, method)


def plain_sgd(lr):
    return replace(SMALL, method=replace(SMALL.method, outer=mp.Outer(optimizer="sgd", lr=lr)))


def weights(run):
    return run.theta().net


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_half_the_gradient_at_twice_the_rate_is_the_usual_training_to_the_bit(pool, tmp_path):
    expected = train(plain_sgd(0.25), tmp_path / "a", pool=pool, progress=False)
    run = train(plain_sgd(0.5), tmp_path / "b", pool=pool, progress=False, rule=halved)
    assert same(weights(run), weights(expected))
    assert not same(weights(run), weights(train(plain_sgd(0.5), tmp_path / "c", pool=pool, progress=False)))
    assert run.env["rule"] == "halved"
    assert "rule" not in expected.env


@pytest.mark.parametrize("words", [{"rates": "parameter"}, {"order": 1}])
def test_the_usual_gradient_as_a_rule_changes_nothing(pool, tmp_path, words):
    experiment = replace(SMALL, method=replace(SMALL.method, inner=replace(SMALL.method.inner, **words)))
    expected = train(experiment, tmp_path / "a", pool=pool, progress=False)
    run = train(experiment, tmp_path / "b", pool=pool, progress=False, rule=usual)
    assert same(run.theta().learned, expected.theta().learned)
    assert run.log.equals(expected.log)


def test_a_killed_training_goes_on_to_the_same_bits_and_with_no_other_rule(pool, tmp_path, monkeypatch):
    whole = train(SMALL, tmp_path / "a", pool=pool, progress=False, rule=halved)
    steps, update = iter(range(7)), loop._update

    def dying(*arguments):
        if next(steps, None) is None:
            raise SystemExit
        update(*arguments)

    monkeypatch.setattr(loop, "_update", dying)
    with pytest.raises(SystemExit):
        train(SMALL, tmp_path / "b", pool=pool, progress=False, rule=halved)
    monkeypatch.undo()
    (folder,) = (tmp_path / "b").iterdir()
    assert load_run(folder).updates()[-1] == 4
    for other in (None, usual):
        with pytest.raises(UserError, match=r"must go on with the outer rule it began with.*give rule=halved"):
            train(SMALL, tmp_path / "b", pool=pool, progress=False, rule=other)
    with pytest.raises(UserError, match="outer rule it began with"):
        train_together(seeds_of(SMALL, 0, 1), tmp_path / "b", pool=pool, progress=False)
    run = train(SMALL, tmp_path / "b", pool=pool, progress=False, rule=halved)
    assert same(weights(run), weights(whole))
    with pytest.raises(UserError, match=r"got none; give rule=halved"):
        train(SMALL, tmp_path / "a", pool=pool, progress=False)


def test_a_run_of_the_package_is_not_taken_over(pool, tmp_path):
    train(SMALL, tmp_path, pool=pool, progress=False)
    with pytest.raises(UserError, match=r"got halved; leave out rule="):
        train(SMALL, tmp_path, pool=pool, progress=False, rule=halved)


def spoiled(change):
    """A rule whose gradients and readings are changed."""

    def rule(net, theta, episodes, method):
        return change(*mp.meta_gradient(net, theta, episodes, method))

    return rule


WRONG = {
    "only gradients": (lambda g, r: g, "must return gradients by name and readings"),
    "a list": (lambda g, r: (list(g.values()), r), "must return gradients by name and readings"),
    "a loss": (lambda g, r: (g, r.loss), "must return readings behind the gradients, got a Tensor"),
    "one missing": (lambda g, r: ({"body.1.conv.weight": 0}, r), r"a gradient of .* of shape .* got none"),
    "one too many": (
        lambda g, r: ({**g, "head.wieght": r.loss}, r),
        r"must be a known one, got 'head.wieght'.*head.weight",
    ),
    "another shape": (lambda g, r: ({n: v[None] for n, v in g.items()}, r), r"must return a gradient of .* of shape"),
    "another kind of number": (
        lambda g, r: ({n: v.double() for n, v in g.items()}, r),
        r"a gradient of .* in torch.float32 on cpu, got torch.float64 on cpu; return value.to\(theta.learned",
    ),
    "nothing moves": (lambda g, r: ({n: v * 0 for n, v in g.items()}, r), "must not be zero everywhere"),
    "not finite": (
        lambda g, r: ({n: v / 0 for n, v in g.items()}, r),
        "the training loss must be finite",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_gradient_ends_in_one_line(pool, tmp_path, name):
    change, message = WRONG[name]
    with pytest.raises(UserError, match=message):
        train(SMALL, tmp_path, pool=pool, progress=False, rule=spoiled(change))


def test_a_rule_has_a_name_and_its_own_options(pool, tmp_path):
    with pytest.raises(UserError, match="an outer rule must have a name"):
        train(SMALL, tmp_path, pool=pool, progress=False, rule=lambda *four: mp.meta_gradient(*four))
    for words in ({"chunk": 1}, {"recompute": True}, {"graph": True}):
        (option,) = words
        with pytest.raises(UserError, match=f"use {option} in the rule"):
            train(SMALL, tmp_path, pool=pool, progress=False, rule=halved, **words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["residual", "transformer", "lstm"])
def test_modules_of_ones_own_are_trained_by_a_rule_too(tmp_path, monkeypatch, set_threads, kind):
    set_threads(2)
    (tmp_path / "zoo_net.py").write_text(
        f"import torch\nfrom tests.zoo import made\n\n\ndef net():\n    return made({kind!r}, torch.float32)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "zoo_net", raising=False)
    spec = NetSpec(kind="module", module="zoo_net:net", head=ZOO[kind].head)
    words = {"progress": False, "pool": blobs(side=6)}
    expected = train(replace(plain_sgd(0.25), net=spec), tmp_path / "a", **words)
    run = train(replace(plain_sgd(0.5), net=spec), tmp_path / "b", rule=halved, **words)
    assert same(weights(run), weights(expected))
    assert not same(weights(run), run.theta(update=0).net)
