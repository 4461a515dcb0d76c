"""Parameters by name: flat dicts, and the patterns that select among them."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.nets.net import Built, Net, Params

ROLES = ("head.*", "body.*")
"""Patterns that are always roles, also where the module has a part of that name."""


def adapting(net: Net, patterns: Iterable[str]) -> tuple[str, ...]:
    """Select parameters by patterns; return their names in the net's order, without those that are fixed.

    A pattern is a shell pattern on the parameter's name, on its role (``head.*``, ``body.*``) or on its layer's name,
    or the name of a part that it lies in; that of a layer stands for all that belongs to the layer. One with a leading
    ``!`` takes away what the patterns before it selected.

    Raises:
        UserError: a pattern that selects nothing, or fixed parameters alone; a head that is selected without the
            weight that it shares with the body, or the other way round.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        hit = {name for name, layer in net.parameters.items() if _lies(net, name, layer, pattern.removeprefix("!"))}
        if not hit:
            advice = f"the layers are {', '.join(net.layers)}, the roles body.* and head.*"
            raise UserError("adapts", "every pattern must select a parameter", repr(pattern), advice)
        if hit <= net.fixed and not pattern.startswith("!"):
            must = f"{pattern!r} must select a parameter that may adapt"
            raise UserError(
                "adapts", must, "parameters with requires_grad=False alone", "set requires_grad before wrap"
            )
        chosen = chosen - hit if pattern.startswith("!") else chosen | hit
    chosen -= net.fixed
    head, shared = (any(name in chosen for name in names) for names in (head_names(net), net.lent))
    if head != shared and net.lent and head_names(net):
        must = f"a head that shares {net.lent[0]} with the body must adapt with it, or not at all"
        raise UserError("adapts", must, "one of the two", "untie the weight, or let both adapt")
    return tuple(name for name in net.parameters if name in chosen)


def _lies(net: Net, name: str, layer: str, word: str) -> bool:
    """Tell whether the parameter belongs to the layer or part of that name, or matches the pattern."""
    if word in net.layers:
        return word == layer
    return name.startswith(word + ".") or any(fnmatchcase(each, word) for each in _labels(net, name, layer, word))


def _labels(net: Net, name: str, layer: str, word: str) -> tuple[str, ...]:
    """Return the names that a pattern is matched with; not the layer's for a wrapped parameter outside its layer."""
    if word in ROLES:
        return (net.roles(name),)
    owned = isinstance(net, Built) or name.startswith(layer + ".")
    return (name, net.roles(name), layer) if owned else (name, net.roles(name))


def head_names(net: Net) -> tuple[str, ...]:
    """Return the names of the head's parameters, the weight before the bias, whatever the order of registration."""
    names = tuple(name for name in net.parameters if net.roles(name).startswith("head."))
    return names[::-1] if [name.rpartition(".")[2] for name in names] == ["bias", "weight"] else names


def unchanged_entries(net: Net, names: Iterable[str]) -> tuple[str, ...]:
    """Return the entries whose input does not depend on the named parameters: up to the first layer that owns one."""
    place = {layer: number for number, layer in enumerate(net.layers)}
    first = min((place.get(net.parameters[name], -1) for name in names), default=len(place))
    return tuple(entry for entry in net.entries if place[entry] <= first) if first > 0 else ()


def layer_range(net: Net, begin: str | None, end: str | None) -> tuple[int, int]:
    """Return the numbers, from 0, of the first layer of a pass and of the first one after it.

    Raises:
        UserError: a layer that is no entry.
    """
    for layer in (each for each in (begin, end) if each is not None and each not in net.entries):
        raise unknown("pass", "entry", layer, net.entries)
    first, last = (None if layer is None else net.layers.index(layer) for layer in (begin, end))
    return first or 0, len(net.layers) if last is None else last


def add_task_axis(params: Mapping[str, Tensor]) -> Params:
    """Add a leading task axis of size 1 to all parameters (shared by all tasks)."""
    return {name: value.unsqueeze(0) for name, value in params.items()}


def expand_tasks(params: Mapping[str, Tensor], tasks: int, names: Iterable[str]) -> Params:
    """Return `params` (with task axis), the named ones expanded to each of B tasks (a view)."""
    chosen = set(names)
    return {name: value.expand(tasks, *value.shape[1:]) if name in chosen else value for name, value in params.items()}


def by_task(value: Tensor) -> Tensor:
    """Flatten a tensor [B, ...] to the numbers of each task [B, P]; a scalar for each task gives P = 1."""
    return value.reshape(value.shape[0], -1)


def flatten(params: Mapping[str, Tensor], names: Iterable[str] | None = None) -> Tensor:
    """Put the numbers of the named tensors [B, ...], or of all of them, next to each other [B, P]."""
    return torch.cat([by_task(params[name]) for name in (params if names is None else names)], dim=1)


def map_tensors(function: Callable[[Tensor], Tensor], params: Mapping[str, Tensor]) -> Params:
    """Apply `function` to every tensor of the dict."""
    return {name: function(value) for name, value in params.items()}


def as_params(x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
    """Convert floating x to the precision of the parameters, if they have a single one."""
    kind = precision(params)
    return x.to(kind) if x.is_floating_point() and kind is not None else x


def precision(params: Mapping[str, Tensor]) -> torch.dtype | None:
    """Return the precision of the parameters, if they have a single one."""
    kinds = {value.dtype for value in params.values() if value.is_floating_point()}
    return next(iter(kinds)) if len(kinds) == 1 else None
