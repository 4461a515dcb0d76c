"""Norms that a user wrote by hand, which no norm regime reaches: found by the statistics that training mode stores."""

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
"""Part -> its attributes by name, parameters and buffers among them."""


def refuse_own_norms(module: nn.Module, params: Mapping[str, Tensor], rows: Tensor) -> None:
    """Refuse a module with a part that normalises rows [R, ...] by batch statistics in training mode only.

    Such a part stores a statistic of the rows in training mode; in evaluation mode its output depends on what was
    stored, in training mode it does not. Norms of torch, and those that call its functions, follow the regime and pass.

    Raises:
        UserError: there is such a part.
    """
    passes = _Passes(module, params)
    try:
        updates, output = passes.run(rows, training=True)
        if not updates:
            return
        others, _ = passes.run(torch.zeros_like(rows), training=True)
        plain = passes.run(rows, training=False)[1]
        culprit = None
        for name, changed in updates.items():
            other = {**passes.start[name], **others.get(name, {})}
            values = {w: _shifted(passes.start[name][w]) for w, value in changed.items() if _other(value, other[w])}
            if not values or _alike(plain, passes.run(rows, training=False, change=(name, values))[1]):
                continue
            if _alike(output, passes.run(rows, training=True, change=(name, values))[1]):
                culprit = name, values
                break
    except Exception:
        return  # it does not run in training mode, perhaps because it needs labels then: nothing is known
    if culprit is None:
        return
    name, values = culprit
    part = type(module.get_submodule(name)).__name__
    got = f"{name or 'the module'} ({part}), which uses its own {', '.join(values)} in evaluation mode alone"
    advice = "call F.batch_norm in it, take torch.nn.BatchNorm2d, or use the batch's statistics in both modes"
    raise UserError("wrap", "a batch norm must follow the method's norm regime", got, advice)


class _Passes:
    """Passes in training or evaluation mode that all start from the same state."""

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
        """Run a pass; return the attributes of parts that it changed, and the tensors that it returned.

        `change` is a part and the attributes to set on it before the pass.
        """
        copy, updates = self._copy(training=training), dict[str, dict[str, Any]]()
        buffers = {name: value.to(rows.device, copy=True) for name, value in buffers_as(copy, self.params).items()}
        tensors = {**{name: value.clone() for name, value in self.params.items()}, **buffers}
        for word, value in change[1].items() if change else ():
            full = f"{change[0]}.{word}".lstrip(".") if change else ""
            if full in tensors:
                tensors[full] = value.to(tensors[full])
            else:
                setattr(copy.get_submodule(change[0] if change else ""), word, value)
        copy.register_forward_hook(lambda *_: updates.update(_moved(self.start, _state(copy, dict.fromkeys(tensors)))))
        with torch.no_grad(), _same_draws(rows.device), Norms(None, collect=False):
            returned = functional_call(copy, tensors, (rows.clone(),))
        return updates, tree_leaves(returned)


def _state(module: nn.Module, tensors: Mapping[str, Tensor | None]) -> State:
    """Collect each part's attributes, and the parameters and buffers in `tensors`, with its values unless None."""
    state: State = {}
    for name, part in module.named_modules():
        attributes = {word: value for word, value in vars(part).items() if word not in OF_TORCH}
        for word, value in (*part._parameters.items(), *part._buffers.items()):
            full = f"{name}.{word}".lstrip(".")
            if full in tensors:
                attributes[word] = value if tensors[full] is None else tensors[full]
        state[name] = attributes
    return state


def _moved(before: State, after: State) -> State:
    """Select the attributes whose floating-point numbers differ afterwards."""
    changes = {
        name: {
            word: value
            for word, value in attributes.items()
            if word in before[name] and _other(before[name][word], value)
        }
        for name, attributes in after.items()
        if name in before
    }
    return {name: attributes for name, attributes in changes.items() if attributes}


def _other(a: Any, b: Any) -> bool:
    """Tell whether floating-point numbers in two values differ."""
    pairs = zip(_numbers(a), _numbers(b), strict=False)
    return any(x.shape != y.shape or not torch.equal(x, y.to(x)) for x, y in pairs)


def _numbers(value: Any) -> Iterator[Tensor]:
    for leaf in tree_leaves(value):
        if isinstance(leaf, float):
            yield torch.tensor(leaf, dtype=torch.float64, device="cpu")
        elif isinstance(leaf, Tensor) and leaf.is_floating_point():
            yield leaf


def _shifted(value: Any) -> Any:
    """Return other numbers, positive where these are: a variance stays a valid one."""
    return tree_map(lambda leaf: 2 * leaf + 1 if next(_numbers(leaf), None) is not None else leaf, value)


def _alike(a: list[Any], b: list[Any]) -> bool:
    """Tell whether two outputs are equal up to rounding."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if isinstance(x, Tensor) and isinstance(y, Tensor)]
    return all(torch.allclose(x, y, rtol=1e-4, atol=1e-6, equal_nan=True) for x, y in pairs)


def _awake(value: Tensor, draws: torch.Generator) -> Tensor:
    """Return the parameter, or small random numbers if all are zero: a zero weight would hide a norm before it."""
    if not value.is_floating_point() or value.any():
        return value
    return (torch.randn(value.shape, generator=draws, device="cpu") / 8).to(value)


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    """Seed all generators of random numbers inside the block; restore their states after it."""
    cuda = [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []
    states = [(each, each.get_state()) for each in (torch.default_generator, *cuda)]
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        for each, _ in states:
            each.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        yield
    finally:
        for each, state in states:
            each.set_state(state)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
