"""Copies of a user's module: a private one, whatever attributes it has, and one of that for each thread."""

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
"""A module's tables of registered parameters, buffers and submodules."""

OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes that every module has."""


class _Detached(TorchFunctionMode):
    """Inside, `deepcopy` also copies tensors that torch refuses to copy: non-leaf ones, detached, and lazy ones."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and is_lazy(args[0]):
            make: Any = type(args[0])
            return make(args[0].requires_grad, args[0].data.device, args[0].data.dtype)
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def innermost(module: nn.Module) -> nn.Module:
    """Return the module without its wrappers: `DataParallel`, `DistributedDataParallel` and ``torch.compile``."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := module._modules.get("_orig_mod"), nn.Module):
            module = inner
        else:
            return module


class _AnyBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm of any number of axes: what `SyncBatchNorm` is in one process."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def private(module: nn.Module) -> tuple[nn.Module, frozenset[str]]:
    """Copy the module without wrappers, in evaluation mode and without gradients; return its fixed parameters too.

    Fixed parameters are those that had ``requires_grad=False`` before. The module itself is left as it is.

    Its other attributes are copied too where Python can; what it cannot copy, as a lock or an open file, is shared.

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
    return copy.train().eval(), fixed  # train() first: some parts cache what they compute from their parameters


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    with _Detached():
        for part in reversed(list(module.modules())):
            if innermost(part) is not part:
                memo[id(part)] = deepcopy(innermost(part), memo)
        try:
            copy: nn.Module = deepcopy(module, memo)
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise UserError(
                "wrap", "the module must be one that copy.deepcopy can copy", got, "take out what it keeps"
            ) from error
    return copy


def _uncopyable(module: nn.Module) -> dict[int, Any]:
    """Build a memo of `deepcopy` under which the attributes that cannot be copied stay the same objects."""
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
    """Make another module of the same tensors: what a pass swaps or sets on one is not seen on the other."""
    shared = {id(value): value for value in (*module.parameters(), *module.buffers())}
    with _Detached():
        try:
            return deepcopy(module, dict[int, Any](shared))
        except Exception:
            return deepcopy(module, _uncopyable(module) | shared)


def buffers_as(module: nn.Module, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the module's buffers; those in its parameters' precision are converted to the precision of `params`."""
    old, now = precision(dict(module.named_parameters())), precision(params)
    follow = old != now and None not in (old, now)
    return {name: value.to(now) if follow and value.dtype == old else value for name, value in module.named_buffers()}


def lazy_parameters(module: nn.Module) -> list[str]:
    """List the lazy parameters and buffers by name: a first pass has yet to set their shapes."""
    return [name for name, value in (*module.named_parameters(), *module.named_buffers()) if is_lazy(value)]


class Stock(Generic[Item]):
    """A pool of items for threads: each thread borrows one for itself; a new one is made when none is free."""

    def __init__(self, make: Callable[[], Item]) -> None:
        self._make = make
        self._free: list[Item] = []

    @contextmanager
    def one(self) -> Iterator[Item]:
        """Lend an item to one thread for the length of the block."""
        try:
            item = self._free.pop()  # atomic in Python: no two threads get the same item
        except IndexError:
            item = self._make()
        try:
            yield item
        finally:
            self._free.append(item)
