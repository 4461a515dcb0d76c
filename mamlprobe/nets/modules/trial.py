"""One recorded pass of a module: in which order its parts run, and which parameters they use."""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils import checkpoint
from torch.utils._pytree import tree_leaves

from mamlprobe.base.errors import UserError
from mamlprobe.nets.modules.copies import buffers_as, twin
from mamlprobe.nets.modules.feature_axis import MOVES, Layout, layout_of, rows_first, taken_as

TURNS = tuple(getattr(Tensor, name).__get__ for name in ("T", "mT", "H", "mH"))
"""Properties that transpose a tensor."""


@dataclass(kw_only=True)
class Trial:
    """A record of one pass; a place is the index of an operation or of the end of a call in it, from 0."""

    row: tuple[int, ...] = ()
    """Shape of a row of its inputs."""
    ends: dict[str, list[int]] = field(default_factory=dict)
    """Module -> places of the ends of its calls."""
    follows: dict[str, str] = field(default_factory=dict)
    """Module -> the one whose output is its input, directly or through operations on that alone."""
    uses: dict[str, int] = field(default_factory=dict)
    """Parameter -> place of its first use."""
    layouts: dict[str, Layout] = field(default_factory=dict)
    """Module -> which axis of its output is features, and how many there are."""
    taken: dict[str, Layout] = field(default_factory=dict)
    """Module -> which axis of its output is features to the part that takes it as input."""
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Module -> shape of the input of its last call."""
    keywords: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Module -> keywords of the tensors in its last call, an empty string for each positional one."""
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Module -> shape of the output of its last call."""
    rowless: set[str] = field(default_factory=set)
    """Modules whose outputs have no axis of rows, as when pixels or windows are on it."""
    random: bool = False
    """Whether random numbers were drawn."""
    written: str = ""
    """A parameter that the pass wrote into."""
    rerun: bool = False
    """Whether a part is to run again in the backward pass (``torch.utils.checkpoint``)."""
    strangers: bool = False
    """Whether parameters of the original module were used instead of the copy's."""

    def end(self, name: str, head: str) -> int:
        """Return where the module's last call before the head's end ends, else its last call; -1 if it never ran."""
        last = self.ends.get(head, [1 << 60])[-1]
        places = self.ends.get(name, [-1])
        return max((place for place in places if place <= last), default=places[-1])

    def behind(self, name: str, head: str) -> bool:
        """Tell whether the first call of the module ends after the last call of the head."""
        return head in self.ends and self.ends.get(name, [-1])[0] > self.ends[head][-1]


class _Watch(TorchFunctionMode):
    """Records from all operations those that use a parameter, and those that move axes."""

    def __init__(self, trial: Trial, names: Mapping[int, str], strangers: Collection[int], rows: int) -> None:
        super().__init__()
        self.trial, self.names, self.strangers, self.rows = trial, names, strangers, rows
        self.place, self.moves = 0, 0
        self.last: Layout | None = None
        self.chain: Tensor | None = None
        self.chained = ""
        self.ended: tuple[Tensor, list[str]] | None = None
        """The last output of a module, and the nested modules that returned this very tensor."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in TURNS or getattr(func, "__name__", "") in MOVES:
            self.moves += 1
            self.last = None if self.last is None else self.last.moved()
        inputs = []
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor):
                name = self.names.get(id(value))
                if name is None:
                    inputs.append(value)
                else:
                    self.trial.uses.setdefault(name, self.place)
            self.trial.strangers |= isinstance(value, nn.Parameter) and id(value) in self.strangers
            self.trial.random |= isinstance(value, torch.Generator)
        self.place += 1
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and len(inputs) == 1 and inputs[0] is self.chain:
            self.chain = result
        return result


def look(module: nn.Module, params: Mapping[str, Tensor], rows: Tensor, *, strangers: Collection[int] = ()) -> Trial:
    """Record a pass of the module on the rows [R, ...], without graph; the module is left as it is.

    `strangers` are the ``id`` of tensors that the pass should not use.

    Raises:
        UserError: the module draws random numbers.
        Exception: whatever the module raises.
    """
    other, trial = twin(module), Trial(row=tuple(rows.shape[1:]))
    copies = {name: value.detach().clone() for name, value in params.items()}
    watch = _Watch(trial, {id(value): name for name, value in copies.items()}, strangers, len(rows))
    moves: dict[str, int] = {}
    for name, part in other.named_modules():
        if name:
            part.register_forward_pre_hook(_begin(watch, name, moves), with_kwargs=True)
            part.register_forward_hook(_end(watch, name, moves))
    originals = buffers_as(module, copies)
    buffers = {name: value.to(rows.device, copy=True) for name, value in originals.items()}
    before = _draws()
    with torch.no_grad(), _reruns(trial), watch:
        functional_call(other, {**copies, **buffers}, (rows.clone(),))
    trial.random |= _draws() != before
    trial.written = next((n for n, v in copies.items() if v._version or _differ(v, params[n])), "")
    return trial


@contextmanager
def _reruns(trial: Trial) -> Iterator[None]:
    """Note calls of ``torch.utils.checkpoint`` inside the block."""
    kinds = ("CheckpointFunction", "_checkpoint_without_reentrant_generator")
    originals = {name: getattr(checkpoint, name) for name in kinds}

    def first(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        trial.rerun = True
        return function(*args)

    def other(*args: Any, **kwargs: Any) -> Any:
        trial.rerun = True
        return originals[kinds[1]](*args, **kwargs)

    checkpoint.CheckpointFunction = SimpleNamespace(apply=first)  # type: ignore[misc, assignment]
    checkpoint._checkpoint_without_reentrant_generator = other
    try:
        yield
    finally:
        for name, value in originals.items():
            setattr(checkpoint, name, value)


def _differ(a: Tensor, b: Tensor) -> bool:
    """Tell whether two tensors differ in shape or values; NaNs are equal to each other."""
    return a.shape != b.shape or bool(((a != b) & ((a == a) | (b == b))).any())


def _draws() -> tuple[object, ...]:
    """Return the states of the random generators of torch, Python and numpy."""
    python_state, (name, keys, *rest) = random.getstate(), np.random.get_state(legacy=True)  # noqa: NPY002
    return torch.random.get_rng_state().numpy().tobytes(), python_state, name, np.asarray(keys).tobytes(), *rest


def refuse_odd(trial: Trial) -> None:
    """Refuse a module whose passes are not functions of its inputs and parameters.

    Raises:
        UserError: it draws random numbers, writes into its parameters, runs parts again in the backward pass, or calls
            parts of the module that it was copied from.
    """
    if trial.written:
        must, advice = "a forward pass must leave the parameters as they are", "constrain a copy of it, or leave it out"
        raise UserError("wrap", must, f"one that writes into {trial.written} (max_norm, clamp_, weight.data)", advice)
    if trial.rerun:
        must, advice = (
            "a forward pass must keep what its derivative needs",
            "switch it off: recompute=True saves memory",
        )
        raise UserError("wrap", must, "one under torch.utils.checkpoint", advice)
    if trial.strangers:
        must, advice = "a forward pass must call the module's own parts", "write it as a method of its class"
        raise UserError("wrap", must, "a function that holds the parts of another", advice)
    if trial.random:
        must = "the module must give the same for the same input in evaluation mode"
        advice = "call F.dropout with training=self.training, and give noise as an input or a buffer"
        raise UserError("wrap", must, "a forward pass that draws random numbers", advice)


def refuse_changing(logits: Tensor, again: Tensor) -> None:
    """Refuse a module whose second pass gives other logits than the first, beyond rounding.

    Raises:
        UserError: it does.
    """
    near = min(1e3 * torch.finfo(logits.dtype).eps, 1e-2)
    if logits.shape != again.shape or not torch.allclose(logits, again, rtol=near, atol=near, equal_nan=True):
        must = "the module must give the same for the same input in evaluation mode"
        advice = "keep what a pass changes in attributes of the module, which are put back, or leave it out"
        raise UserError("wrap", must, "other logits in a second pass", advice)


def _begin(watch: _Watch, name: str, moves: dict[str, int]) -> Any:
    def hook(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        value = first_tensor((*args, *kwargs.values()))
        given = [("", each) for each in args] + list(kwargs.items())
        watch.trial.keywords[name] = tuple(word for word, each in given if isinstance(each, Tensor))
        moves[name] = watch.moves
        if value is not None:
            watch.trial.inputs[name] = tuple(value.shape)
            if value is watch.chain:
                watch.trial.follows[name] = watch.chained
            taken = taken_as(part, value)
            if taken is not None and watch.ended is not None and watch.ended[0] is value:
                watch.trial.taken.update(dict.fromkeys(watch.ended[1], taken))

    return hook


def _end(watch: _Watch, name: str, moves: Mapping[str, int]) -> Any:
    def hook(part: nn.Module, args: tuple[Any, ...], output: object) -> None:
        watch.trial.ends.setdefault(name, []).append(watch.place)
        watch.place += 1
        value = tensor_of_rows(part, output, watch.rows)
        watch.chain, watch.chained = value, name
        if value is not None:
            watch.trial.outputs[name] = tuple(value.shape)
            same = watch.ended[1] if watch.ended is not None and watch.ended[0] is value else []
            watch.ended = value, [*same, name]
            if rows_first(part, value, watch.rows) is None:
                watch.trial.rowless.add(name)
            layout = layout_of(part, value, moved=watch.moves > moves[name])
            watch.last = watch.last if layout is None else layout
            if watch.last is not None:
                watch.trial.layouts[name] = watch.last

    return hook


def row_axes(trial: Trial, rows: int, layers: Collection[str], again: Callable[[], Trial]) -> dict[str, int]:
    """Find the axis of the rows in outputs and inputs of the layers: the one that grows with the number of rows.

    It is -1 if none grows: then an axis is of that length by chance. `again` records a pass of one row more. It is run
    for tensors of three axes or more, one of the first two as long as there are rows, but not for layers with channels
    first. Of layers missing in the answer, as when the module fails with one row more, the sizes must decide.
    """

    def shapes(of: Trial) -> dict[str, tuple[int, ...]]:
        given = {f"input of {name}": of.inputs[name] for name in layers if name in of.inputs}
        return given | {name: of.outputs[name] for name in layers if name in of.outputs}

    known = {name for name, layout in trial.layouts.items() if layout.sure and layout.axis == 1}
    asked = {n: s for n, s in shapes(trial).items() if len(s) > 2 and rows in s[:2] and n not in known}
    try:
        longer = shapes(again()) if asked else {}
    except Exception:
        longer = {}
    axes = {name: -1 for name, shape in shapes(trial).items() if rows not in shape[:2]}
    for name, shape in asked.items():
        other = longer.get(name, ())
        if len(other) == len(shape):
            grown = [axis for axis in (0, 1) if (shape[axis], other[axis]) == (rows, rows + 1)]
            if len(grown) < 2:
                axes[name] = grown[0] if grown else -1
    return axes


def first_tensor(values: Iterable[Any]) -> Tensor | None:
    """Return the first tensor in these values and their contents, or None."""
    return next((leaf for leaf in tree_leaves(list(values)) if isinstance(leaf, Tensor)), None)


def tensor_of_rows(part: nn.Module, output: object, rows: int) -> Tensor | None:
    """Return the first tensor in a module's output that has an axis of rows, or the first of all if none has."""
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    return next((leaf for leaf in leaves if rows_first(part, leaf, rows) is not None), next(iter(leaves), None))
