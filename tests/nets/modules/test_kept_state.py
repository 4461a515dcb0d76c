"""What a pass changes in what a module keeps is put back, wherever it lies; what cannot be is told."""

import itertools
from collections import Counter, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.modules.copies import twin
from mamlprobe.nets.modules.kept_state import State
from mamlprobe.nets.wrap import wrap
from tests.oracles import close
from tests.zoo import tasks_for

EPISODES = tasks_for("mlp", tasks=4)
METHOD = replace(METHODS["maml"], inner=replace(METHODS["maml"].inner, steps=2, test_steps=2, lr=0.2))


@dataclass
class Record:
    calls: int = 0
    seen: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Slots:
    calls: int = 0


class Plain:
    def __init__(self) -> None:
        self.calls, self.inside = 0, {"record": Record()}


Pair = namedtuple("Pair", "calls")


def grow(list_):
    list_.append(1)
    return len(list_)


def add(place, key):
    place[key] += 1
    return place[key]


def count(thing):
    thing.calls += 1
    return thing.calls


KEPT = {  # how it begins, and what a pass does with it: gives the number of the pass
    "list of lists": (lambda: [[0], [0]], lambda kept: grow(kept[1]) - 1),
    "list set": (lambda: [[0]], lambda kept: add(kept[0], 0)),
    "dict of lists": (lambda: {"a": []}, lambda kept: grow(kept["a"])),
    "dict of dicts": (lambda: {"a": {"b": 0}}, lambda kept: add(kept["a"], "b")),
    "lists in a tuple": (lambda: ([], 1), lambda kept: grow(kept[0])),
    "named tuple": (lambda: Pair([]), lambda kept: grow(kept.calls)),
    "deques": (lambda: {"a": deque(maxlen=50)}, lambda kept: grow(kept["a"])),
    "sets": (lambda: [set()], lambda kept: kept[0].add(len(kept[0])) or len(kept[0])),
    "default dict": (lambda: defaultdict(lambda: [0]), lambda kept: add(kept["a"], 0)),
    "counters": (lambda: {"a": Counter(b=0)}, lambda kept: add(kept["a"], "b")),
    "ordered": (lambda: OrderedDict(a=[0]), lambda kept: add(kept["a"], 0)),
    "user dict": (lambda: UserDict(a=0), lambda kept: add(kept, "a")),
    "user list": (lambda: UserList([]), grow),
    "dataclass": (Record, count),
    "list in a dataclass": (Record, lambda kept: grow(kept.seen)),
    "dataclass with slots": (Slots, count),
    "dataclasses in a list": (lambda: [Record()], lambda kept: count(kept[0])),
    "namespace": (lambda: SimpleNamespace(calls=0), count),
    "object": (Plain, count),
    "object in an object": (Plain, lambda kept: count(kept.inside["record"])),
    "tensors in a list": (lambda: [[torch.zeros(())]], lambda kept: float(kept[0][0].add_(1))),
    "array": (lambda: np.zeros(1), lambda kept: float(add(kept, 0))),
    "arrays": (lambda: {"a": np.zeros(1)}, lambda kept: float(add(kept["a"], 0))),
}


class Module(nn.Module):
    """Divides its logits by the number of its passes."""

    def __init__(self, kept, number) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(36, 5), nn.Linear(5, 3)
        self.kept, self.number = kept, number

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.body(x.flatten(1))) / self.number(self.kept))


class Private(Module):
    """The same in a private attribute."""

    def __init__(self, kept, number) -> None:
        super().__init__(None, None)
        self._kept, self._number = kept, number

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.body(x.flatten(1))) / self._number(self._kept))


@pytest.mark.parametrize("kind", [Module, Private])
@pytest.mark.parametrize("name", KEPT)
def test_each_pass_is_the_first(name, kind):
    make, number = KEPT[name]
    torch.manual_seed(0)
    module, plain = kind(make(), number).double(), Module(None, lambda kept: 1).double()
    plain.load_state_dict(module.state_dict())
    net = wrap(module, "fc")
    theta = init(net, seed=0)
    wanted = evaluate(wrap(plain, "fc"), theta, EPISODES, {"a": METHOD})
    assert all(evaluate(net, theta, EPISODES, {"a": METHOD}, chunk=chunk).equals(wanted) for chunk in (1, 2, 4))
    found = (meta_gradient(each, theta, EPISODES, METHOD)[0] for each in (net, wrap(plain, "fc")))
    close(*found)
    assert number(make()) == number(module.__dict__["_kept" if kind is Private else "kept"])  # the user's own


def test_what_is_put_back_is_the_very_thing():
    """Also what holds itself, what lies there twice, and the parts of torch with lists of their own."""
    inner = [1, 2]
    kept = {"a": inner, "b": inner, "lstm": None}
    kept["self"] = kept
    module = nn.Sequential(nn.LSTM(3, 4))
    module.kept = kept
    held = twin(module)
    state, first = State(held), held.kept["a"]
    held.kept["a"].clear()
    held.kept["b"] = None
    held.kept["new"] = 1
    state.restore()
    assert held.kept["a"] is held.kept["b"] is first
    assert first == [1, 2]
    assert held.kept["self"] is held.kept
    assert "new" not in held.kept
    assert kept["a"] is inner
    assert all(a is b for a, b in zip(held[0]._flat_weights, held[0].parameters(), strict=True))
    assert all(a is b for a, b in zip(held.parameters(), module.parameters(), strict=True))


PASSES = itertools.count(1)


class Everywhere:
    calls = 0


def of_class(kept) -> int:
    Everywhere.calls += 1
    return Everywhere.calls


def drawn(kept) -> float:
    return 1 + kept.random()


OUT_OF_REACH = {
    "iterator": (itertools.count(1), next),
    "of the file": (None, lambda kept: next(PASSES)),
    "of a class": (None, of_class),
    "numpy's generator": (np.random.default_rng(0), drawn),
}


@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_what_cannot_be_put_back_is_told(name):
    torch.manual_seed(0)
    net = wrap(Module(*OUT_OF_REACH[name]).double(), "fc")
    theta = init(net, seed=0)
    with pytest.raises(UserError, match="must give the same for the same input in evaluation mode") as caught:
        evaluate(net, theta, EPISODES, {"a": METHOD})
    assert "got other logits in a second pass; keep what a pass changes in attributes" in str(caught.value)
