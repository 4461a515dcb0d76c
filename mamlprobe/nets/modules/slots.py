"""Where the tensors of a module are stored: looked up once, replaced for the length of a pass."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mamlprobe.nets.params import precision

Place = tuple[dict[str, Any], str]
"""A module's table of parameters or buffers, and the name there."""


class Places:
    """The places of a module's parameters and buffers; one pass at a time may fill them.

    A tensor that is stored in several places is replaced in all of them, as in ``torch.func.functional_call``, which
    looks the places up anew in every call.
    """

    def __init__(self, module: nn.Module) -> None:
        places: dict[int, list[Place]] = {}
        for part in module.modules():
            for table in (part._parameters, part._buffers):
                for name, value in table.items():
                    if value is not None:
                        places.setdefault(id(value), []).append((table, name))
        parameters = dict(module.named_parameters())
        self._precision = precision(parameters)
        self._parameters = {name: places[id(value)] for name, value in parameters.items()}
        self._buffers = [(value, places[id(value)]) for value in module.buffers()]

    @contextmanager
    def filled(self, params: Mapping[str, Tensor], device: torch.device) -> Iterator[None]:
        """Put these parameters into the module for the block, and copies of its buffers, which a pass may write into.

        Buffers in the precision of the module's parameters are converted to the precision of `params`.
        """
        before: list[tuple[Place, Tensor | None]] = []
        try:
            if self._buffers:
                now = precision(params)
                follow = self._precision != now and None not in (self._precision, now)
                for value, places in self._buffers:
                    kind = now if follow and value.dtype == self._precision else None
                    _fill(places, value.to(device, kind, copy=True), before)
            for name, value in params.items():
                _fill(self._parameters[name], value, before)
            yield
        finally:
            for (table, key), original in reversed(before):
                table[key] = original


def _fill(places: list[Place], value: Tensor, before: list[tuple[Place, Tensor | None]]) -> None:
    for place in places:
        table, name = place
        before.append((place, table[name]))
        table[name] = value
