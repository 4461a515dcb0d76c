"""Attributes of a module other than its tensors and submodules, restored after each pass."""

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
"""Types whose values cannot change."""

LIBRARIES = ("builtins", "torch", "numpy", "threading", "logging", "functools", "weakref", "io")
"""Packages whose objects are left as they are."""


class State:
    """Attributes of a module other than parameters, buffers and submodules, to be restored after a pass.

    Stored features, counters and hidden states, also those in lists, dicts and plain objects: every pass starts from
    the same state as the first, and leaves no graph in memory.
    """

    def __init__(self, module: nn.Module) -> None:
        self._attributes: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._slots: list[tuple[object, dict[str, Any]]] = []
        self._collections: list[tuple[Any, Any]] = []
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
        """Remember the contents of a value, and theirs in turn."""
        inside: Iterable[Any] = ()
        if id(value) in self._seen or isinstance(value, ATOMS):
            return
        self._seen[id(value)] = value
        if isinstance(value, list | dict | set | deque):
            self._collections.append((value, copy(value)))
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
        """Restore what was set or added since."""
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
        for value, contents in self._collections:
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
    """Tell whether it is an object of a class that the user wrote, which Python copies by its attributes."""
    kind = type(value)
    if isinstance(value, type | nn.Module) or kind.__module__.split(".")[0] in LIBRARIES:
        return False
    ways = ("__reduce__", "__reduce_ex__", "__getstate__")
    usual = all(getattr(kind, way, None) is getattr(object, way, None) for way in ways)
    usual |= is_dataclass(value) or isinstance(value, SimpleNamespace)
    return usual and not hasattr(kind, "__deepcopy__") and (hasattr(value, "__dict__") or bool(_slots(value)))


def _slots(value: object) -> list[str]:
    """List the names of the attributes in ``__slots__``."""
    declared = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    names = [name for each in declared for name in ((each,) if isinstance(each, str) else each)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _free(value: object) -> bool:
    """Tell whether it is a tensor that can be written into, and is no view."""
    return isinstance(value, Tensor) and not is_lazy(value) and not value.is_inference() and not value._is_view()


def _same(value: Any, contents: Any) -> bool:
    """Tell whether a collection contains the same objects as before."""
    if len(value) != len(contents):
        return False
    if isinstance(value, set):
        return bool(value == contents)
    pairs = zip(value.items(), contents.items(), strict=True) if isinstance(value, dict) else None
    if pairs is not None:
        return all(name == other and now is before for (name, now), (other, before) in pairs)
    return all(now is before for now, before in zip(value, contents, strict=True))
