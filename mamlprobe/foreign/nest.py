"""The state dict in a checkpoint: the dict with most tensors, wherever it lies, and what stands beside it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

OPTIMIZERS = ("optim", "opt_state", "exp_avg", "momentum_buffer", "scheduler", "lr_sched")
"""What the names of an optimizer's tensors, or of where they lie, hold."""

PARTS = (("embedding", "head"), ("encoder_state_dict", "classifier_state_dict"), ("encoder", "classifier"))
"""Names of two dicts that are one net."""


@dataclass(frozen=True, kw_only=True)
class State:
    """The tensors of a net by name, in the file's order."""

    tensors: dict[str, Tensor]
    at: str = ""
    """Names of the dicts that hold them, parted by dots; empty if the file is the dict."""
    scalars: dict[str, Any] = field(default_factory=dict)
    """Numbers and words that lie beside them, or around them."""
    left_out: tuple[str, ...] = ()
    """What else has tensors."""


def find_state(tree: Any) -> State | None:
    """Find the dict with most tensors; None if there is no tensor.

    Two dicts that are one net, an encoder and its head, are joined. Optimizers are no nets.
    """
    if isinstance(tree, Tensor):
        return State(tensors={"weight": tree})
    places = [(at, tensors) for at, tensors in _dicts(tree, "") if not _optimizer(at, tensors)]
    places = _joined(places)
    if not places:
        return None
    at, tensors = max(places, key=lambda each: (len(each[1]), sum(x.numel() for x in each[1].values())))
    around = _entry(tree, at.split("|")[0].rpartition(".")[0]) if at else tree
    scalars: dict[str, Any] = {}
    for level in (tree, around, _entry(tree, at)):
        if isinstance(level, dict):
            scalars |= {name: each for name, each in level.items() if isinstance(each, (int, float, str))}
    others = [(other, tensors) for other, tensors in _dicts(tree, "") if other not in (at, *at.split("|"))]
    rest = [other for other, tensors in others if not _optimizer(other, tensors)]
    rest += ["an optimizer"] if len(rest) < len(others) else []
    return State(tensors=tensors, at=at.replace("|", " and "), scalars=scalars, left_out=tuple(rest))


def _dicts(tree: Any, at: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield every dict that holds tensors, or lists of them, with where it lies."""
    if not isinstance(tree, (dict, list)):
        return
    entries = tree.items() if isinstance(tree, dict) else ((str(n), each) for n, each in enumerate(tree))
    tensors: dict[str, Tensor] = {}
    for name, value in entries:
        if isinstance(value, Tensor):
            tensors[name] = value
        else:
            yield from _dicts(value, f"{at}.{name}" if at else name)
    if tensors:
        yield at, tensors


def _optimizer(at: str, tensors: dict[str, Tensor]) -> bool:
    return any(mark in at for mark in OPTIMIZERS) or all(any(mark in name for mark in OPTIMIZERS) for name in tensors)


def _joined(places: list[tuple[str, dict[str, Tensor]]]) -> list[tuple[str, dict[str, Tensor]]]:
    """Add the pairs of dicts that are one net."""
    by_place = dict(places)
    pairs = []
    for first, second in PARTS:
        for at in by_place:
            parent, _, last = at.rpartition(".")
            other = f"{parent}.{second}".lstrip(".")
            if last == first and other in by_place and not by_place[at].keys() & by_place[other].keys():
                pairs.append((f"{at}|{other}", {**by_place[at], **by_place[other]}))
    return [*places, *pairs]


def _entry(tree: Any, at: str) -> Any:
    for part in at.split(".") if at else ():
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree
