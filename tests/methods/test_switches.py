"""A switch must be seen to switch: every field of a method changes the numbers it should, and no others."""

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import from_dict, to_dict
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.schedules import resolve
from mamlprobe.methods.settings import (
    AFFINES,
    HEADS,
    INNER_OPTIMIZERS,
    LOSSES,
    OPTIMIZERS,
    PAIRS,
    RATES,
    READOUTS,
    RULES,
    SCHEDULES,
    STATISTICS,
    TERMS,
    Inner,
    Norm,
    Outer,
)
from mamlprobe.nets.conv4 import conv4
from mamlprobe.training.learner import Learner

NET = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
BASE = Method(inner=Inner(steps=2, test_steps=2, lr=0.25))
REPTILE = {"inner.order": 1, "outer.rule": "reptile"}
IMPLICIT = {"inner.proximal": 2.0, "outer.rule": "implicit"}
HEAD_ONLY = {"inner.adapts": ("head.*",), "inner.steps": 1}
CONTRASTIVE = {**HEAD_ONLY, "outer.rule": "contrastive"}

SWITCHES: dict[str, list[tuple[dict[str, Any], Any, set[str]]]] = {
    # field: (other fields, the field's other value, where a number changes)
    "inner.steps": [({}, 3, {"train"}), ({"inner.rates": "layer_step"}, 3, {"start", "train"})],
    "inner.test_steps": [({}, 1, {"path", "test"})],
    "inner.lr": [
        ({}, 0.125, {"train", "path", "test"}),
        ({"inner.rates": "parameter"}, 0.125, {"start", "train", "path", "test"}),
    ],
    "inner.adapts": [
        ({}, ("head.*",), {"train", "path", "test"}),
        ({}, ("*", "!conv1"), {"train", "path", "test"}),
        ({}, (), {"train", "path", "test"}),
    ],
    "inner.order": [({}, 1, {"train"})],
    "inner.first_order_updates": [({}, 5, {"train"})],
    "inner.rates": [({}, word, {"start", "train"}) for word in RATES[1:]],
    "inner.optimizer": [(REPTILE, "adam", {"train", "path", "test"})],
    "inner.batch": [({}, 3, {"train", "path", "test"}), (REPTILE, 3, {"train", "path", "test"})],
    "inner.proximal": [({}, 2.0, {"train", "path", "test"}), (IMPLICIT, 1.0, {"train", "path", "test"})],
    "head": [
        ({}, "zero_once", {"start"}),
        ({}, "zero_each_update", {"start", "train", "path", "test"}),
        ({}, "zero_at_test", {"path", "test"}),
        ({}, "prototype", {"train", "path", "test"}),
    ],
    "head_scale": [({}, 0.5, {"start"})],
    "readout": [
        ({}, "cosine", {"train", "test"}),
        ({}, "prototype", {"train", "test"}),
        ({}, "siamese", {"start", "train", "test"}),
    ],
    "step_weights": [({}, (0.5, 0.5), {"train"})],
    "multi_step_updates": [({}, 5, {"train"})],
    "norm.statistics": [
        ({}, "support", {"train", "test"}),
        ({}, "running", {"moments", "path", "test"}),
        ({}, "per_step", {"moments", "path", "test"}),
        ({}, "per_step_unused", {"moments"}),
        ({"norm.statistics": "per_step_unused"}, "per_step", {"path", "test"}),
    ],
    "norm.affine": [({"inner.adapts": ("*", "!*.norm.*")}, "per_step", {"start", "train", "path", "test"})],
    "loss": [({}, "mse", {"train", "path", "test"})],
    "outer.rule": [
        ({"inner.order": 1}, "reptile", {"train"}),
        ({"inner.proximal": 2.0}, "implicit", {"train"}),
        (HEAD_ONLY, "contrastive", set()),  # with all terms it is the same in closed form
    ],
    "outer.cg_steps": [(IMPLICIT, 1, {"train"})],
    "outer.schedule": [({}, word, {"update"}) for word in SCHEDULES[1:]],
    "outer.final_lr": [({"outer.schedule": word}, 1e-4, {"update"}) for word in SCHEDULES[1:]],
    "outer.optimizer": [({}, "sgd", {"update"})],
    "outer.lr": [({}, 0.01, {"update"})],
    "outer.clip": [({"outer.optimizer": "sgd"}, 1e-3, {"update"})],
    "outer.trains": [
        ({}, ("body.*",), {"train"}),
        ({}, (), {"train"}),
        (REPTILE, ("*", "!conv1"), {"train"}),
        (CONTRASTIVE, ("body.*",), {"train"}),
    ],
    "outer.terms": [
        *((CONTRASTIVE, tuple(each for each in TERMS if each != term), {"train"}) for term in TERMS),
        (CONTRASTIVE, (), {"train"}),
    ],
    "outer.pairs": [(CONTRASTIVE, "same", {"train"})],
}
LABELS = {"name"}
"""Fields that are there to be read by people."""


def leaves(value: object, prefix: str = "") -> dict[str, Any]:
    """Every field of a dataclass and of those within it, by dotted name."""
    found: dict[str, Any] = {}
    for each in fields(value):
        inner, name = getattr(value, each.name), prefix + each.name
        found |= leaves(inner, name + ".") if is_dataclass(inner) else {name: inner}
    return found


def changed(method: Method, values: dict[str, Any]) -> Method:
    for name, value in values.items():
        group, _, field = name.rpartition(".")
        part = replace(getattr(method, group) if group else method, **{field: value})
        method = replace(method, **{group: part}) if group else part
    return method


def numbers(method: Method, base: Method, episodes) -> dict[str, list[torch.Tensor]]:
    """All that a method's numbers are: where it starts and, from one start for both methods, what it does there.

    In the fourth of ten updates; what belongs to a point of the path differs from point to point.
    """
    own = init(NET, seed=0, method=method).to(dtype=torch.float64)
    theta = init(NET, seed=0, method=base).to(dtype=torch.float64)
    points = torch.tensor([0.3, 0.1, 0.5], dtype=torch.float64).unsqueeze(1)
    extra = {n: v + points if n.startswith("steps.") else v for n, v in own.extra.items()}
    moments = {n: v + (points if v.ndim == 2 else 0.3) for n, v in own.moments.items()}
    theta = replace(theta, rates=own.rates, moments=moments, extra=extra)
    now = resolve(method, update=3, updates=10)
    gradients, readings = meta_gradient(NET, theta, episodes, now)
    tasks, path = inner_paths(NET, theta, episodes, method, stage="test", track="none")
    learner = Learner(NET, theta, replace(base, outer=method.outer))
    learner.step({n: torch.full_like(v, 0.1) for n, v in learner.leaves.items()}, {}, lr=now.outer.lr)
    return {
        "start": list(own.learned.values()),
        "train": [*gradients.values(), readings.losses],
        "moments": list(readings.moments.values()),
        "path": [v for at in adapt_tasks(NET, theta, episodes, method) for v in at.values()],
        "test": [tasks.query_logits(path[-1]), tasks.query_losses(path[-1])],
        "update": [learner.theta.net[name] for name in theta.net],
    }


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return len(one) == len(two) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(one, two)
    )


def test_every_field_has_its_switch():
    assert set(leaves(Method())) == set(SWITCHES) | LABELS


@pytest.mark.parametrize(
    ("field", "others", "value", "where"), [(field, *case) for field, cases in SWITCHES.items() for case in cases]
)
def test_switch(classes, field, others, value, where):
    base = changed(BASE, others)
    assert leaves(base)[field] != value
    before, after = (numbers(m, base, classes()) for m in (base, changed(base, {field: value})))
    assert {name for name in before if not same(before[name], after[name])} == where


def test_every_word_is_switched_to():
    """Registries of words and the table above name the same words."""
    words = {
        "norm.statistics": STATISTICS,
        "norm.affine": AFFINES,
        "inner.rates": RATES,
        "inner.optimizer": INNER_OPTIMIZERS,
        "head": HEADS,
        "readout": READOUTS,
        "loss": LOSSES,
        "outer.rule": RULES,
        "outer.pairs": PAIRS,
        "outer.schedule": SCHEDULES,
        "outer.optimizer": OPTIMIZERS,
    }
    for field, known in words.items():
        known = set(known) - {"relation"}  # a network on maps: tests/learn/test_readout.py
        assert {case[1] for case in SWITCHES[field]} | {leaves(BASE)[field]} == known


VARIANTS = {
    **METHODS,
    **{
        f"{field} {value}": changed(BASE, {**others, field: value})
        for field, cases in SWITCHES.items()
        for others, value, _ in cases
    },
    "all": changed(
        BASE,
        {
            "name": "x",
            "inner.steps": 3,
            "inner.test_steps": 1,
            "inner.lr": 0.1,
            "inner.adapts": ("*", "!*.norm.*"),
            "inner.rates": "layer_step",
            "inner.batch": 3,
            "inner.proximal": 0.5,
            "inner.first_order_updates": 7,
            "head": "zero_once",
            "head_scale": 0.5,
            "readout": "siamese",
            "step_weights": (0.5, 0.25, 0.25),
            "norm.statistics": "per_step",
            "norm.affine": "per_step",
            "outer.optimizer": "sgd",
            "outer.lr": 0.01,
            "outer.schedule": "cosine",
            "outer.final_lr": 1e-5,
            "outer.clip": 10.0,
            "outer.trains": ("*", "!head.*"),
        },
    ),
    "parts": changed(
        BASE, {**CONTRASTIVE, "outer.terms": ("noise",), "outer.pairs": "same", "outer.trains": ["body.*"]}
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_through_json_and_back(name):
    method = VARIANTS[name]
    text = json.dumps(to_dict(method))
    assert from_dict(Method, json.loads(text)) == method
    assert set(leaves(method)) == set(leaves(from_dict(Method, json.loads(text))))
    assert isinstance(from_dict(Method, json.loads(text)).inner.adapts, tuple)
    assert isinstance(from_dict(Method, json.loads(text)).step_weights, tuple)
    assert isinstance(from_dict(Method, json.loads(text)).outer.terms, tuple)
    assert isinstance(from_dict(Method, json.loads(text)).outer.trains, tuple)


def test_absent_fields_keep_their_defaults():
    assert from_dict(Method, {}) == Method()
    assert from_dict(Method, {"inner": {"steps": 3}}) == Method(inner=Inner(steps=3))
    assert from_dict(Method, {"outer": {"clip": 10, "lr": 1}}) == Method(outer=Outer(clip=10.0, lr=1.0))
    assert from_dict(Method, {"norm": {"statistics": "support"}}) == Method(norm=Norm(statistics="support"))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"iner": {}}, "config: the field must be a known one, got 'iner'; did you mean inner"),
        ({"inner": {"step": 3}}, "config.inner: the field must be a known one, got 'step'; did you mean steps"),
        ({"inner": {"steps": 3.0}}, "config.inner.steps: the value must be of type int, got 3.0; change it"),
        (
            {"inner": {"steps": True}},
            "config.inner.steps: the value must be of type int, got True; change it",
        ),
        ({"inner": {"lr": "0.1"}}, "config.inner.lr: the value must be of type float, got '0.1'; change it"),
        ({"inner": {"lr": None}}, "config.inner.lr: the value must be of type float, got None; change it"),
        (
            {"inner": {"adapts": "head.*"}},
            "config.inner.adapts: the value must be of type list, got 'head.*'; change it",
        ),
        ({"inner": {"adapts": [1]}}, "config.inner.adapts[0]: the value must be of type str, got 1; change it"),
        ({"norm": "batch"}, "config.norm: settings must be a table of fields, got str; see config.json of a run"),
        ({"inner": {"order": 3}}, "method: inner.order must be 1 or 2, got 3; 2 is MAML, 1 is FOMAML"),
    ],
)
def test_strict(values, line):
    with pytest.raises(UserError) as caught:
        from_dict(Method, values)
    assert str(caught.value).startswith(line)
