"""One pass of a module that is looked at: in which order its parts run, and which parameters they use."""

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
"""Properties that turn a tensor."""


@dataclass(kw_only=True)
class Trial:
    """What a pass showed; places count its events from 0."""

    row: tuple[int, ...] = ()
    """Shape of a row of its inputs."""
    ends: dict[str, list[int]] = field(default_factory=dict)
    """Module -> places of the ends of its calls."""
    follows: dict[str, str] = field(default_factory=dict)
    """Module -> the one whose output it was given, be it through operations on that alone."""
    uses: dict[str, int] = field(default_factory=dict)
    """Parameter -> place of its first use."""
    layouts: dict[str, Layout] = field(default_factory=dict)
    """Module -> which axis of its output is features, and how many there are."""
    taken: dict[str, Layout] = field(default_factory=dict)
    """Module -> which axis of its output the part that it is given to takes for features."""
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Module -> shape of the input of its last call."""
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Module -> the words by which its last call was given tensors, empty for those by place."""
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Module -> shape of the output of its last call."""
    rowless: set[str] = field(default_factory=set)
    """Modules whose outputs have no axis of rows, as those of pixels or windows have not."""
    random: bool = False
    """Whether numbers were drawn."""
    written: str = ""
    """A parameter that the pass wrote into."""
    rerun: bool = False
    """Whether a part is to run again in the backward pass (``torch.utils.checkpoint``)."""
    strangers: bool = False
    """Whether parameters of the module that was copied were used, in place of the copy's."""

    def end(self, name: str, head: str) -> int:
        """Where the module ends its last call, of those before the head ends its own if there are any; -1: nowhere."""
        last = self.ends.get(head, [1 << 60])[-1]
        places = self.ends.get(name, [-1])
        return max((place for place in places if place <= last), default=places[-1])

    def behind(self, name: str, head: str) -> bool:
        """Whether the module ends for the first time behind the last call of the head."""
        return head in self.ends and self.ends.get(name, [-1])[0] > self.ends[head][-1]


class _Watch(TorchFunctionMode):
    """Sees every operation: those that use a parameter, and those that move axes."""

    def __init__(self, trial: Trial, names: Mapping[int, str], strangers: Collection[int], rows: int) -> None:
        super().__init__()
        self.trial, self.names, self.strangers, self.rows = trial, names, strangers, rows
        self.place, self.moves = 0, 0
        self.last: Layout | None = None
        self.chain: Tensor | None = None
        self.chained = ""
        self.ended: tuple[Tensor, list[str]] | None = None
        """What the last module gave, and the modules that gave just that, one in the other."""

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
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and len(inputs) == 1 and inputs[0] is self.chain:
            self.chain = found
        return found


def look(module: nn.Module, params: Mapping[str, Tensor], rows: Tensor, *, strangers: Collection[int] = ()) -> Trial:
    """What a pass of the module on the rows [R, ...] shows, without graph; the module is left as it is.

    `strangers` are the ``id`` of tensors that should have no part in it.

    Raises:
        UserError: the module draws random numbers.
        Exception: whatever the module raises.
    """
    other, trial = twin(module), Trial(row=tuple(rows.shape[1:]))
    own = {name: value.detach().clone() for name, value in params.items()}
    watch = _Watch(trial, {id(value): name for name, value in own.items()}, strangers, len(rows))
    moves: dict[str, int] = {}
    for name, part in other.named_modules():
        if name:
            part.register_forward_pre_hook(_begin(watch, name, moves), with_kwargs=True)
            part.register_forward_hook(_end(watch, name, moves))
    kept = buffers_as(module, own)
    buffers = {name: value.to(rows.device, copy=True) for name, value in kept.items()}
    before = _draws()
    with torch.no_grad(), _reruns(trial), watch:
        functional_call(other, {**own, **buffers}, (rows.clone(),))
    trial.random |= _draws() != before
    trial.written = next((n for n, v in own.items() if v._version or _differ(v, params[n])), "")
    return trial


@contextmanager
def _reruns(trial: Trial) -> Iterator[None]:
    """Inside, calls of ``torch.utils.checkpoint`` are noted."""
    kinds = ("CheckpointFunction", "_checkpoint_without_reentrant_generator")
    kept = {name: getattr(checkpoint, name) for name in kinds}

    def first(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        trial.rerun = True
        return function(*args)

    def other(*args: Any, **words: Any) -> Any:
        trial.rerun = True
        return kept[kinds[1]](*args, **words)

    checkpoint.CheckpointFunction = SimpleNamespace(apply=first)  # type: ignore[misc, assignment]
    checkpoint._checkpoint_without_reentrant_generator = other
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(checkpoint, name, value)


def _differ(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold other values; one that is not a number equals another."""
    return a.shape != b.shape or bool(((a != b) & ((a == a) | (b == b))).any())


def _draws() -> tuple[object, ...]:
    """Where the generators of torch, Python and numpy stand."""
    words, (name, keys, *rest) = random.getstate(), np.random.get_state(legacy=True)  # noqa: NPY002
    return torch.random.get_rng_state().numpy().tobytes(), words, name, np.asarray(keys).tobytes(), *rest


def refuse_odd(trial: Trial) -> None:
    """Refuses a module whose passes are not functions of its inputs and parameters.

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
    """Refuses a module whose second pass gives other logits than the first, beyond the last digits.

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
        watch.trial.words[name] = tuple(word for word, each in given if isinstance(each, Tensor))
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
            found = layout_of(part, value, moved=watch.moves > moves[name])
            watch.last = watch.last if found is None else found
            if watch.last is not None:
                watch.trial.layouts[name] = watch.last

    return hook


def row_axes(trial: Trial, rows: int, layers: Collection[str], again: Callable[[], Trial]) -> dict[str, int]:
    """Axis of the rows in what the layers give, and in what they are given: that which grows with another row.

    -1 where none does: an axis is as long by chance. Asked for outputs of three axes and more of which one of the first
    two is as long as there are rows, but for those with channels first: `again` looks at a pass of one row more. Those
    that are not in the answer, as where the module takes no other number of rows, are to be told by their sizes.
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
    found = {name: -1 for name, shape in shapes(trial).items() if rows not in shape[:2]}
    for name, shape in asked.items():
        other = longer.get(name, ())
        if len(other) == len(shape):
            grown = [axis for axis in (0, 1) if (shape[axis], other[axis]) == (rows, rows + 1)]
            if len(grown) < 2:
                found[name] = grown[0] if grown else -1
    return found


def first_tensor(values: Iterable[Any]) -> Tensor | None:
    """The first tensor in these values, in the order of what they hold."""
    return next((leaf for leaf in tree_leaves(list(values)) if isinstance(leaf, Tensor)), None)


def tensor_of_rows(part: nn.Module, output: object, rows: int) -> Tensor | None:
    """The first tensor in a module's output that has an axis of rows; the first of all where none has."""
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    return next((leaf for leaf in leaves if rows_first(part, leaf, rows) is not None), next(iter(leaves), None))
