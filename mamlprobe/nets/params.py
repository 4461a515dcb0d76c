"""Parameters by name: flat dicts, and the patterns that select among them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from mamlprobe.base.described import described
from mamlprobe.base.errors import UserError, unknown

FLOATS: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
"""Type and device of a net's initial tensors, whatever torch's defaults."""

Params = dict[str, Tensor]
"""Tensors by parameter name. Inside a net each has a leading task axis, of size B, or 1 where all tasks share it."""

Moments = dict[str, Tensor]
"""``<norm>.mean`` and ``<norm>.var`` [B or 1, C] of every batch norm, biased variance."""


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """What one forward pass returns: every named layer that ran [B, R, ...] in order, the last being the logits."""

    __repr__ = described

    layers: dict[str, Tensor]
    features: Tensor
    """Input of the head [B, R, F], or of the layer before which the pass ended."""
    moments: Moments = field(default_factory=dict)
    """Moments of the inputs of every batch norm, filled when asked for."""

    @property
    def logits(self) -> Tensor:
        """Return the output of the last layer [B, R, N], if the pass did not end before it."""
        return next(reversed(self.layers.values()))


class Net(Protocol):
    """A function from parameters and inputs to named activations, for all tasks of a batch at once."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the names of the layers in order; the last is the head."""
        ...

    @property
    def entries(self) -> tuple[str, ...]:
        """Return the layers before which a pass can end and with whose input another can begin, in order.

        Layers from an entry on use nothing of those before it except that input.
        """
        ...

    @property
    def parameters(self) -> dict[str, str]:
        """Map parameter name -> layer name, in order."""
        ...

    @property
    def fixed(self) -> frozenset[str]:
        """Return the parameters that neither adapt nor are meta-learned."""
        ...

    @property
    def lent(self) -> tuple[str, ...]:
        """Return the parameters of the body that the head uses too."""
        ...

    @property
    def by_row(self) -> tuple[str, ...]:
        """Return the norms with running moments whose own statistics are those of each row, not of a set."""
        ...

    @property
    def linear(self) -> bool:
        """Tell whether the logits are W f + b of the head's weight [N, F] and, if it has one, bias [N]."""
        ...

    @property
    def slope_at_zero(self) -> bool:
        """Tell whether the logits have a gradient for some weight of the head when all of them are zero."""
        ...

    @property
    def full(self) -> "Net":
        """Return the same net with all layers recorded: its `brief` passes are calls."""
        ...

    @property
    def rowwise(self) -> bool:
        """Tell whether a row's outputs depend on that row alone, so that sets can share a pass; False if not known."""
        ...

    def together(self, x: Tensor) -> bool:
        """Tell whether a `brief` pass of inputs like x [B, R, ...] computes tasks together, or one after the other."""
        ...

    def feature_axis(self, layer: str, shape: Sequence[int]) -> int:
        """Return the axis of the features in activations [B, R, ...] of the layer, which have this shape.

        Raises:
            UserError: it is not known.
        """
        ...

    def roles(self, name: str) -> str:
        """Return the parameter's name by role: ``body.*`` or ``head.*``."""
        ...

    def init(self, generator: torch.Generator) -> tuple[Params, Moments]:
        """Draw initial parameters and moments, without task axis."""
        ...

    def __call__(
        self,
        params: Params,
        x: Tensor,
        *,
        moments: Moments | None = None,
        collect: bool = False,
        begin: str | None = None,
        end: str | None = None,
    ) -> ForwardPass:
        """Compute named activations of inputs x [B, R, ...].

        Batch norms use the statistics of x per task, or `moments` if given; `collect` fills `ForwardPass.moments`. With
        the entry `begin`, x is the input of that layer; with the entry `end`, that layer and those after it do not run,
        and its input is `ForwardPass.features`.

        Raises:
            UserError: a layer that is no entry.
        """
        ...

    def brief(
        self,
        params: Params,
        x: Tensor,
        *,
        moments: Moments | None = None,
        collect: bool = False,
        begin: str | None = None,
        end: str | None = None,
    ) -> ForwardPass:
        """Compute a call of which only logits, features and moments are used: layers before the head may be missing.

        Raises:
            UserError: as a call.
        """
        ...

    def head(self, params: Params, features: Tensor) -> Tensor:
        """Compute logits [B, R, N] of features [B, R, F]: the last layer alone."""
        ...


class Built:
    """Common parts of this package's nets: tasks together, a linear head of their own, channels first."""

    fixed: frozenset[str] = frozenset()
    lent: tuple[str, ...] = ()
    by_row: tuple[str, ...] = ()
    linear = True
    slope_at_zero = True
    rowwise = False

    @property
    def full(self) -> Self:
        """Return the net itself: it records all layers."""
        return self

    def together(self, x: Tensor) -> bool:
        """Return True."""
        return True

    def brief(self: Any, params: Params, x: Tensor, **how: Any) -> ForwardPass:
        """Compute a call."""
        result: ForwardPass = self(params, x, **how)
        return result

    def feature_axis(self, layer: str, shape: Sequence[int]) -> int:
        """Return the axis of the features in activations [B, R, ...] of the layer: that of the channels."""
        return 2


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
