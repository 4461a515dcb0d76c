"""Copies of a user's module: one of our own, whatever it keeps, and as many of that as work at the same time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from mamlprobe.base.errors import UserError
from mamlprobe.nets.params import precision

Item = TypeVar("Item")

TABLES = ("_parameters", "_buffers", "_modules")
"""Where a module keeps what it registered."""

OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes that every module has."""


class _Detached(TorchFunctionMode):
    """Inside, tensors are copied that torch alone refuses to: those that a graph made, without it, and lazy ones."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and is_lazy(args[0]):
            make: Any = type(args[0])
            return make(args[0].requires_grad, args[0].data.device, args[0].data.dtype)
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def innermost(module: nn.Module) -> nn.Module:
    """The module in its shells: `DataParallel`, `DistributedDataParallel`, and what ``torch.compile`` returns."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := module._modules.get("_orig_mod"), nn.Module):
            module = inner
        else:
            return module


class _AnyBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm of whatever number of axes: what a synchronised one is in one process."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def private(module: nn.Module) -> tuple[nn.Module, frozenset[str]]:
    """A copy without shells, in evaluation mode and without gradients, and the parameters that had none before.

    The module itself is left as it is.

    What the module keeps beside its tensors is copied too, where Python can: a lock or an open file is shared.

    Raises:
        UserError: a scripted module, or one that cannot be copied.
    """
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            got = f"{name or 'the module'} made by torch.jit"
            raise UserError(
                "wrap", "the module must be plain torch, open to hooks", got, "wrap the module it came from"
            )
    memo: dict[int, Any] = {}
    try:
        copy = _copied(module, memo)
    except Exception:
        copy = _copied(module, _uncopyable(module))
    fixed = frozenset(name for name, value in copy.named_parameters() if not value.requires_grad)
    for part in copy.modules():
        if isinstance(part, nn.SyncBatchNorm):
            part.__class__ = _AnyBatchNorm  # type: ignore[assignment]
    for parameter in copy.parameters():
        if not is_lazy(parameter):
            parameter.requires_grad_(False)
    return copy.train().eval(), fixed  # some parts keep what they made of their parameters until they train again


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    with _Detached():
        for part in reversed(list(module.modules())):
            if innermost(part) is not part:
                memo[id(part)] = deepcopy(innermost(part), memo)
        try:
            found: nn.Module = deepcopy(module, memo)
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise UserError(
                "wrap", "the module must be one that copy.deepcopy can copy", got, "take out what it keeps"
            ) from error
    return found


def _uncopyable(module: nn.Module) -> dict[int, Any]:
    """A memo of `deepcopy` under which the attributes that cannot be copied stay the same objects."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in TABLES:
                try:
                    with _Detached():
                        deepcopy(value)
                except Exception:
                    memo[id(value)] = value
    return memo


def twin(module: nn.Module) -> nn.Module:
    """Another module of the same tensors: what a pass swaps, sets or keeps on one is not seen on the other."""
    shared = {id(value): value for value in (*module.parameters(), *module.buffers())}
    with _Detached():
        try:
            return deepcopy(module, dict[int, Any](shared))
        except Exception:
            return deepcopy(module, _uncopyable(module) | shared)


def buffers_as(module: nn.Module, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The module's buffers; those in the precision of its parameters follow them to another one."""
    own, now = precision(dict(module.named_parameters())), precision(params)
    follow = own != now and None not in (own, now)
    return {name: value.to(now) if follow and value.dtype == own else value for name, value in module.named_buffers()}


def lazy_parameters(module: nn.Module) -> list[str]:
    """Names of the parameters and buffers whose shapes a first pass has yet to tell."""
    return [name for name, value in (*module.named_parameters(), *module.named_buffers()) if is_lazy(value)]


class Stock(Generic[Item]):
    """Things of which whoever works has one of its own; made when none is free."""

    def __init__(self, make: Callable[[], Item]) -> None:
        self._make = make
        self._free: list[Item] = []

    @contextmanager
    def one(self) -> Iterator[Item]:
        """One that nobody else has, for the length of the block."""
        try:
            item = self._free.pop()  # one step for Python: no two threads are given the same
        except IndexError:
            item = self._make()
        try:
            yield item
        finally:
            self._free.append(item)
