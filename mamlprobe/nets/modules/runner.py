"""A pass of one task through a copy of a user's module: layer outputs are recorded, norms follow the regime."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.instancenorm import _InstanceNorm

from mamlprobe.base.errors import UserError
from mamlprobe.nets.differentiated import derived_twice
from mamlprobe.nets.modules.copies import twin
from mamlprobe.nets.modules.cut_points import Stretch
from mamlprobe.nets.modules.feature_axis import rows_first
from mamlprobe.nets.modules.kept_state import State
from mamlprobe.nets.modules.slots import Places
from mamlprobe.nets.modules.trial import first_tensor, tensor_of_rows
from mamlprobe.nets.net import Moments
from mamlprobe.nets.operations.conv import taken
from mamlprobe.nets.operations.norms import Norms

TRACKED = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
"""Norms that can keep running statistics."""

BY_CHANNELS = (nn.GroupNorm, _InstanceNorm)
"""Norms that torch computes more slowly, and group norms not safely, with channels innermost in memory."""

NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
"""Messages of torch's allocators, in lower case."""


@dataclass(kw_only=True)
class Caught:
    """What was recorded in a pass of one task."""

    layers: dict[str, Tensor] = field(default_factory=dict)
    """Outputs [R, ...] in the order of the calls; the one before the head if a layer runs before and after it."""
    later: dict[str, Tensor] = field(default_factory=dict)
    """Outputs after the head, of layers that ran before it too."""
    inputs: list[Tensor] = field(default_factory=list)
    """The head's input, unchanged."""
    output: Any = None
    """What the module returned."""
    moments: Moments = field(default_factory=dict)
    """Moments of the norms, if they are collected."""


class _MathAttention:
    """Inside, attention is computed from primitives: its fused kernels, which are faster, have no second derivative.

    torch has one setting for all threads: the first that enters sets it, the last that leaves resets it.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._exits = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._exits.enter_context(sdpa_kernel(SDPBackend.MATH))
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._exits.close()


MATH_ATTENTION = _MathAttention()


def convolves(module: nn.Module) -> bool:
    """Tell whether the module has convolutions, and no norms that are bad with channels innermost in memory."""
    kinds = [type(part) for part in module.modules()]
    norms = any(issubclass(kind, BY_CHANNELS) for kind in kinds)
    return any(issubclass(kind, nn.Conv2d) for kind in kinds) and not norms


class Runner:
    """A copy of the module with hooks that record its layers. One pass at a time: each thread uses another runner."""

    def __init__(
        self,
        module: nn.Module,
        head: str,
        layers: Sequence[str],
        written: set[str],
        plain: set[Hashable],
        kernels: bool = True,
    ) -> None:
        self.module, self.head, self.layers = twin(module), head, layers
        self.written = written  # layers whose output a later operation writes into, shared by all runners of a net
        self.plain = plain  # kinds of inputs whose passes called no replaced function, such as a norm; shared too
        self.kernels = kernels  # whether faster operations may be used
        self.caught, self.norms, self.rows = Caught(), Norms(None, collect=False), 0
        self._versions: dict[str, tuple[Tensor, int]] = {}
        self.convolves = convolves(self.module)
        for name, part in self.module.named_modules():
            if name in layers or name == head:
                part.register_forward_hook(self._catch(name))
            if name == head:
                part.register_forward_pre_hook(self._take, with_kwargs=True)
            if isinstance(part, TRACKED):
                part.register_forward_pre_hook(self._announce(name, part.running_mean is None))
                part.register_forward_hook(self._announce(None, False))
        self.part, self.state = self.module.get_submodule(head), State(self.module)
        self.places, self.places_of_head = Places(self.module), Places(self.part)

    def run(
        self,
        params: Mapping[str, Tensor],
        rows: Tensor,
        moments: Moments | None,
        *,
        collect: bool,
        stretch: Stretch | None = None,
    ) -> Caught:
        """Run the module on the rows [R, ...] with these parameters and copies of its buffers.

        With a `stretch`, rows are the input of that part; outputs of layers outside of it are meaningless.

        An output that a later operation writes into is no longer the layer's output: the pass is repeated then, with
        copies of the outputs of such layers.

        Raises:
            UserError: the module fails on the rows, or gives a layer no rows.
        """
        self.rows = len(rows)
        stretch = stretch or Stretch()
        inputs = stretch.rows(rows)
        while True:
            with (
                self._pass(moments, collect, rows, params.values(), stretch.name),
                explaining_failures(self.module, inputs),
                self.places.filled(params, rows.device),
                stretch.within(self.module, rows),
            ):
                self.caught.output = self.module(self._given(inputs))
            late = {name for name, (value, version) in self._versions.items() if value._version != version}
            caught = self._let_go()
            if not late:
                return caught
            self.written |= late

    def run_head(
        self,
        params: Mapping[str, Tensor],
        features: Tensor,
        moments: Moments | None,
        *,
        collect: bool,
        word: str,
    ) -> tuple[Tensor, Moments]:
        """Run the head alone on its input, passed by that keyword or by position; return logits and moments."""
        self.rows, filled = len(features), self.places_of_head.filled(params, features.device)
        with (
            self._pass(moments, collect, features, params.values(), self.head),
            explaining_failures(self.module, features),
            filled,
        ):
            given = features.clone()
            logits = first_tensor((self.part(**{word: given}) if word else self.part(given),))
        assert logits is not None  # a pass of the whole module would have failed before
        return logits, self._let_go().moments

    def _given(self, rows: Tensor) -> Tensor:
        """Copy the input, as the module may write into it; images for convolutions on a CPU get channels innermost."""
        images = self.kernels and self.convolves and rows.ndim == 4 and taken(rows)
        return rows.clone(memory_format=torch.channels_last if images else torch.preserve_format)

    def _let_go(self) -> Caught:
        """Return the record of the pass and drop it from the runner."""
        caught, self.caught, self.norms = self.caught, Caught(), Norms(None, collect=False)
        self._versions = {}
        return caught

    @contextmanager
    def _pass(
        self, moments: Moments | None, collect: bool, given: Tensor, params: Iterable[Tensor], part: str = ""
    ) -> Iterator[None]:
        """Set up one pass: norms, attention, and the state to restore.

        If a pass of this kind has called no function that is replaced, function calls are not intercepted. They always
        are without gradients: torch's attention takes another path there if nothing intercepts it.
        """
        self.caught, self.norms = Caught(), Norms(moments, collect=collect, kernels=self.kernels)
        self._versions = {}
        kind = (part, given.shape, given.dtype)
        single = given.device.type == "cpu" and given.dtype != torch.float64  # float64 is chosen for its precision
        fused = single and not derived_twice()
        plain = kind in self.plain and torch.is_grad_enabled() and all(each.requires_grad for each in params)
        try:
            with nullcontext() if fused else MATH_ATTENTION, nullcontext() if plain else self.norms:
                yield
            if not self.norms.replaced:
                self.plain.add(kind)
        finally:
            self.caught.moments = self.norms.collected
            self.state.restore()

    def _record(self, name: str, value: Tensor) -> Tensor:
        """Return the tensor and note its version; return a copy if it is written into later or has no version."""
        if name in self.written or value.is_inference():
            return value.clone()
        self._versions[name] = value, value._version
        return value

    def _catch(self, name: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: tuple[Any, ...], output: object) -> None:
            value = output if isinstance(output, Tensor) else tensor_of_rows(part, output, self.rows)
            if value is None:
                got = type(output).__name__
                raise UserError("wrap", f"layer {name!r} must return a tensor", got, "name other layers")
            layers = self.caught.layers
            if name != self.head and name in layers and self.head in layers:
                self.caught.later[name] = self._record(name, value)
                return
            layers.pop(name, None)
            layers[name] = self._record(name, value)

        return hook

    def _take(self, part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        value = first_tensor((*args, *kwargs.values()))
        if value is None:
            raise UserError("wrap", f"the head {self.head!r} must be given a tensor", "none", "name another head")
        self.caught.inputs[:] = [self._record("input of " + self.head, value)]
        for name, late in self.caught.later.items():  # the head runs again: these layers ran before it
            self.caught.layers.pop(name)
            self.caught.layers[name] = late
        self.caught.later.clear()

    def _announce(self, name: str | None, untracked: bool) -> Callable[..., None]:
        def hook(part: nn.Module, *call: Any) -> None:
            self.norms.running, self.norms.untracked = name, untracked

        return hook


def of_rows(layer: str, part: nn.Module, output: Tensor, rows: int, axis: int | None = None) -> Tensor:
    """Return the layer's output with rows on the first axis.

    Raises:
        UserError: no axis is that of the rows.
    """
    value = rows_first(part, output, rows, axis)
    if value is None:
        must, advice = f"layer {layer!r} must give one entry for each of the {rows} rows", "name other layers"
        raise UserError("wrap", must, f"shape {list(output.shape)}", advice)
    return value


@contextmanager
def explaining_failures(module: nn.Module, rows: Tensor) -> Iterator[None]:
    """Turn an error of a module into a `UserError` of one line that says where it failed.

    Raises:
        UserError: it failed.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        if any(word in message.lower() for word in NO_MEMORY):
            raise
        place = _place(module, error)
        got = f"{type(error).__name__} in {place}: {message[:200]}"
        kind = str(rows.dtype).removeprefix("torch.")
        must = f"the module must run on {kind} inputs of shape [R, {', '.join(map(str, rows.shape[1:]))}]"
        advice = "give it inputs of the shape and kind it is made for (grey images have one channel), and nothing else"
        raise UserError("wrap", must, got, advice) from error


def _place(module: nn.Module, error: Exception) -> str:
    """Name the innermost part of the module that the error passed through."""
    names = {id(part): name for name, part in module.named_modules()}
    where, trace = "", error.__traceback__
    while trace is not None:
        name = names.get(id(trace.tb_frame.f_locals.get("self")))
        where = name or where
        trace = trace.tb_next
    return f"{where!r}" if where else "its forward pass"
