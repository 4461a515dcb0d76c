"""Norms that a user wrote by hand, which no norm regime reaches: told by what a pass in training mode keeps of rows."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map

from mamlprobe.base.errors import UserError
from mamlprobe.nets.modules.copies import OF_TORCH, buffers_as, private
from mamlprobe.nets.operations.norms import Norms

State = dict[str, dict[str, Any]]
"""Part -> what it keeps, parameters and buffers among it, by name."""


def refuse_own_norms(module: nn.Module, params: Mapping[str, Tensor], rows: Tensor) -> None:
    """Refuses a module with a part that sets rows [R, ...] by their own statistics in training mode alone.

    Such a part keeps something of the rows in training mode; in evaluation mode its output hangs on what was kept, in
    training mode it does not. Norms of torch, and those that call its functions, follow the regime and are none.

    Raises:
        UserError: there is such a part.
    """
    passes = _Passes(module, params)
    try:
        kept, output = passes.run(rows, training=True)
        if not kept:
            return
        others, _ = passes.run(torch.zeros_like(rows), training=True)
        plain = passes.run(rows, training=False)[1]
        found = None
        for name, changed in kept.items():
            other = {**passes.start[name], **others.get(name, {})}
            own = {w: _shifted(passes.start[name][w]) for w, value in changed.items() if _other(value, other[w])}
            if not own or _alike(plain, passes.run(rows, training=False, change=(name, own))[1]):
                continue
            if _alike(output, passes.run(rows, training=True, change=(name, own))[1]):
                found = name, own
                break
    except Exception:
        return  # it does not run in training mode, as one that asks for labels then: nothing is known
    if found is None:
        return
    name, own = found
    part = type(module.get_submodule(name)).__name__
    got = f"{name or 'the module'} ({part}), which uses its own {', '.join(own)} in evaluation mode alone"
    advice = "call F.batch_norm in it, take torch.nn.BatchNorm2d, or use the batch's statistics in both modes"
    raise UserError("wrap", "a batch norm must follow the method's norm regime", got, advice)


class _Passes:
    """Passes in either mode, each of which starts from the same state."""

    def __init__(self, module: nn.Module, params: Mapping[str, Tensor]) -> None:
        self.module = module
        draws = torch.Generator().manual_seed(0)
        self.params = {name: _awake(value.detach(), draws) for name, value in params.items()}
        self.start = _state(self._copy(training=True), {**self.params, **buffers_as(module, self.params)})

    def _copy(self, *, training: bool) -> nn.Module:
        copy, _ = private(self.module)
        return copy.train() if training else copy

    def run(
        self, rows: Tensor, *, training: bool, change: tuple[str, Mapping[str, Any]] | None = None
    ) -> tuple[State, list[Any]]:
        """What the parts keep after a pass that they did not before, and what it returned.

        `change` is of a part's state before it.
        """
        copy, kept = self._copy(training=training), dict[str, dict[str, Any]]()
        buffers = {name: value.to(rows.device, copy=True) for name, value in buffers_as(copy, self.params).items()}
        tensors = {**{name: value.clone() for name, value in self.params.items()}, **buffers}
        for word, value in change[1].items() if change else ():
            full = f"{change[0]}.{word}".lstrip(".") if change else ""
            if full in tensors:
                tensors[full] = value.to(tensors[full])
            else:
                setattr(copy.get_submodule(change[0] if change else ""), word, value)
        copy.register_forward_hook(lambda *_: kept.update(_moved(self.start, _state(copy, dict.fromkeys(tensors)))))
        with torch.no_grad(), _same_draws(rows.device), Norms(None, collect=False):
            returned = functional_call(copy, tensors, (rows.clone(),))
        return kept, tree_leaves(returned)


def _state(module: nn.Module, tensors: Mapping[str, Tensor | None]) -> State:
    """What each part keeps of its own; of parameters and buffers those named, with these values if they have some."""
    found: State = {}
    for name, part in module.named_modules():
        own = {word: value for word, value in vars(part).items() if word not in OF_TORCH}
        for word, value in (*part._parameters.items(), *part._buffers.items()):
            full = f"{name}.{word}".lstrip(".")
            if full in tensors:
                own[word] = value if tensors[full] is None else tensors[full]
        found[name] = own
    return found


def _moved(before: State, after: State) -> State:
    """What holds other numbers afterwards."""
    found = {
        name: {word: value for word, value in own.items() if word in before[name] and _other(before[name][word], value)}
        for name, own in after.items()
        if name in before
    }
    return {name: own for name, own in found.items() if own}


def _other(a: Any, b: Any) -> bool:
    """Whether numbers that are no whole ones differ."""
    pairs = zip(_numbers(a), _numbers(b), strict=False)
    return any(x.shape != y.shape or not torch.equal(x, y.to(x)) for x, y in pairs)


def _numbers(value: Any) -> Iterator[Tensor]:
    for leaf in tree_leaves(value):
        if isinstance(leaf, float):
            yield torch.tensor(leaf, dtype=torch.float64, device="cpu")
        elif isinstance(leaf, Tensor) and leaf.is_floating_point():
            yield leaf


def _shifted(value: Any) -> Any:
    """Other numbers, positive where the first are: a variance stays one."""
    return tree_map(lambda leaf: 2 * leaf + 1 if next(_numbers(leaf), None) is not None else leaf, value)


def _alike(a: list[Any], b: list[Any]) -> bool:
    """Whether two outputs are equal but for the last digits."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if isinstance(x, Tensor) and isinstance(y, Tensor)]
    return all(torch.allclose(x, y, rtol=1e-4, atol=1e-6, equal_nan=True) for x, y in pairs)


def _awake(value: Tensor, draws: torch.Generator) -> Tensor:
    """The parameter, or small random numbers where all are zero: behind a zero no norm would be seen."""
    if not value.is_floating_point() or value.any():
        return value
    return (torch.randn(value.shape, generator=draws, device="cpu") / 8).to(value)


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    """Inside, random numbers are the same each time; behind it the generators stand where they stood."""
    cuda = [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []
    own = [(each, each.get_state()) for each in (torch.default_generator, *cuda)]
    words, keys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        for each, _ in own:
            each.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        yield
    finally:
        for each, state in own:
            each.set_state(state)
        random.setstate(words)
        np.random.set_state(keys)  # noqa: NPY002
