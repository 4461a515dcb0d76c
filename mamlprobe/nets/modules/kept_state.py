"""What a module keeps beside its tensors and submodules, put back after each pass."""

from collections import deque
from collections.abc import Iterable
from copy import copy
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mamlprobe.nets.modules.copies import OF_TORCH

ATOMS = (str, bytes, int, float, complex, type(None))
"""What cannot change."""

LIBRARIES = ("builtins", "torch", "numpy", "threading", "logging", "functools", "weakref", "io")
"""Where classes come from whose objects stay as they are."""


class State:
    """What a module keeps beside parameters, buffers and submodules, to be put back after a pass.

    Features kept for a later look, counters, hidden states, in whatever lists, dicts and plain objects: a pass starts
    as the first one did, and keeps no graph.
    """

    def __init__(self, module: nn.Module) -> None:
        self._attributes: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._slots: list[tuple[object, dict[str, Any]]] = []
        self._held: list[tuple[Any, Any]] = []
        self._tensors: list[tuple[Tensor, Tensor, int]] = []
        self._arrays: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        tensors = (*module.parameters(), *module.buffers())
        self._seen: dict[int, Any] = {id(value): value for value in (*module.modules(), *tensors)}
        for part in module.modules():
            self._attributes.append((vars(part), dict(vars(part))))
            for name, value in vars(part).items():
                if name not in OF_TORCH:
                    self._keep(value)
        self._seen.clear()

    def _keep(self, value: Any) -> None:
        """Remembers what it holds, and what that holds."""
        inside: Iterable[Any] = ()
        if id(value) in self._seen or isinstance(value, ATOMS):
            return
        self._seen[id(value)] = value
        if isinstance(value, list | dict | set | deque):
            self._held.append((value, copy(value)))
            inside = value.values() if isinstance(value, dict) else value
        elif isinstance(value, tuple | frozenset):
            inside = value
        elif isinstance(value, Tensor):
            if _free(value):
                self._tensors.append((value, value.detach().clone(), value._version))
        elif isinstance(value, np.ndarray):
            self._arrays.append((value, value.copy()))
        elif _plain(value):
            slots = {name: getattr(value, name) for name in _slots(value) if hasattr(value, name)}
            if slots:
                self._slots.append((value, slots))
            if hasattr(value, "__dict__"):
                self._attributes.append((vars(value), dict(vars(value))))
            inside = [*slots.values(), *getattr(value, "__dict__", {}).values()]
        for each in list(inside):
            self._keep(each)

    def restore(self) -> None:
        """Puts back what was set or added."""
        for now, saved in self._attributes:
            if len(now) != len(saved):
                for name in now.keys() - saved.keys():
                    del now[name]
            for name, value in saved.items():
                if now.get(name) is not value:
                    now[name] = value
        for thing, slots in self._slots:
            for name, value in slots.items():
                if getattr(thing, name, None) is not value:
                    object.__setattr__(thing, name, value)
        for value, contents in self._held:
            if not _same(value, contents):
                value.clear()
                (value.update if isinstance(value, dict | set) else value.extend)(contents)
        for array, before in self._arrays:
            if not np.array_equal(array, before):
                array[...] = before
        for place, (tensor, numbers, version) in enumerate(self._tensors):
            if tensor._version != version:
                with torch.no_grad():
                    tensor.detach_().copy_(numbers)
                self._tensors[place] = tensor, numbers, tensor._version


def _plain(value: object) -> bool:
    """Whether it is an object of a class of the user's own, which Python copies by its attributes."""
    kind = type(value)
    if isinstance(value, type | nn.Module) or kind.__module__.split(".")[0] in LIBRARIES:
        return False
    ways = ("__reduce__", "__reduce_ex__", "__getstate__")
    usual = all(getattr(kind, way, None) is getattr(object, way, None) for way in ways)
    usual |= is_dataclass(value) or isinstance(value, SimpleNamespace)
    return usual and not hasattr(kind, "__deepcopy__") and (hasattr(value, "__dict__") or bool(_slots(value)))


def _slots(value: object) -> list[str]:
    """Names of the attributes that lie in slots."""
    found = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    names = [name for each in found for name in ((each,) if isinstance(each, str) else each)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _free(value: object) -> bool:
    """Whether it is a tensor that can be written into, of a module that registered it nowhere."""
    return isinstance(value, Tensor) and not is_lazy(value) and not value.is_inference() and not value._is_view()


def _same(value: Any, contents: Any) -> bool:
    """Whether a collection holds the very things that it held."""
    if len(value) != len(contents):
        return False
    if isinstance(value, set):
        return bool(value == contents)
    pairs = zip(value.items(), contents.items(), strict=True) if isinstance(value, dict) else None
    if pairs is not None:
        return all(name == other and here is there for (name, here), (other, there) in pairs)
    return all(here is there for here, there in zip(value, contents, strict=True))
