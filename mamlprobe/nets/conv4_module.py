"""Modules that compute what `Conv4` does run on its blocks: which those are is found by numbers, never believed."""

import os
from collections.abc import Callable
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.nets.conv4_check import Plain, found_by_numbers
from mamlprobe.nets.conv4_shapes import Known
from mamlprobe.nets.modules.trial import Trial
from mamlprobe.nets.params import ForwardPass, Moments, Net, Params, as_params, layer_range


class Recognised:
    """A net made of a module that may be known to be another; what is not known is done by the module itself."""

    module: torch.nn.Module
    head_name: str
    parameters: dict[str, str]
    layers: tuple[str, ...]
    known_as: Known | None = None
    """What it is, on inputs of the shape that `wrap` tried."""
    _by_shape: dict[tuple[int, ...], Known | None]
    _shapes: dict[str, tuple[int, ...]]
    _inner: dict[tuple[str, tuple[int, ...]], Known]
    """By entry and the shape of a row of its input, told by passes that ended there."""
    _lock: Lock
    plainly: Plain
    _meet: Callable[[Params, Tensor], None]

    def recognise(self, trial: Trial | None) -> None:
        """Finds out whether the module is known; without a trial it is not."""
        self._by_shape, self._shapes, self._inner = {}, {}, {}
        if trial is None or set(trial.uses) != set(self.parameters):
            return
        values = dict(self.module.named_parameters())
        self._shapes = {name: tuple(values[name].shape) for name in trial.uses}
        self.known_as = self._by_shape[trial.row] = self._found(trial.row)

    def _found(self, image: tuple[int, ...]) -> Known | None:
        """What the module is on rows of this shape, if that is known."""
        device = next(self.module.parameters()).device
        try:
            with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
                found = found_by_numbers(self.plainly, self._shapes, image, self.head_name, device)
                return None if found is None else found.between(self.layers, self.parameters)
        except Exception:
            return None  # the module does not run on such rows, as a pass will tell

    def _known(self, x: Tensor) -> Known | None:
        """What the module is on inputs like x [B, R, ...]; asked for once a shape."""
        if not self._at_work(x) or x.ndim != 5:
            return None
        image = tuple(x.shape[2:])
        if image not in self._by_shape:
            with self._lock:
                if image not in self._by_shape:
                    self._by_shape[image] = self._found(image)
        return self._by_shape[image]

    def _known_from(self, begin: str, x: Tensor) -> Known | None:
        """What the module is on what a pass of it by blocks gave that ended there; None where none has."""
        return self._inner.get((begin, tuple(x.shape[2:]))) if self._at_work(x) else None

    def _at_work(self, x: Tensor) -> bool:
        """Whether what is known is used for such inputs: not under autocast, nor with ``MAMLPROBE_BLOCKS=off``."""
        if self.known_as is None or not x.is_floating_point():
            return False
        return os.environ.get("MAMLPROBE_BLOCKS") != "off" and not torch.is_autocast_enabled(x.device.type)

    def known_head(self, features: Tensor) -> Known | None:
        """What computes the head of features [B, R, F] for all tasks together, if that is known."""
        return self.known_as if self._at_work(features) and features.ndim == 3 else None

    def together(self, x: Tensor) -> bool:
        """Whether a brief pass of inputs like x [B, R, ...] computes the tasks together, or one after the other."""
        return self._known(x) is not None

    @property
    def full(self) -> Net:
        """The same net for those who ask for layers: every pass is one of the module itself."""
        return cast(Net, Full(cast(Net, self)))

    def brief(
        self,
        params: Params,
        x: Tensor,
        *,
        moments: Moments | None = None,
        collect: bool = False,
        begin: str | None = None,
        end: str | None = None,
    ) -> ForwardPass:
        """As a call, by the blocks of what the module is known as, where it is; then without layers before the head.

        Raises:
            UserError: as a call.
        """
        net = cast(Net, self)
        layer_range(net, begin, end)
        rows = as_params(x, params)
        known = self._known(rows) if begin is None else self._known_from(begin, rows)
        if known is not None and known.covers(moments, begin, end):
            if begin is None:
                self._meet(params, rows)
            try:
                found = known(params, rows, moments=moments, collect=collect, begin=begin, end=end)
            except UserError:
                pass  # the module says it by the names of its own parts
            else:
                if end in known.entries:
                    self._inner[end or "", tuple(found.features.shape[2:])] = known
                return found
        return net(params, x, moments=moments, collect=collect, begin=begin, end=end)


class Full:
    """A net whose passes are all calls."""

    def __init__(self, net: Net) -> None:
        self.net, self.full = net, self

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["net"], name)

    def __call__(self, params: Params, x: Tensor, **how: Any) -> ForwardPass:
        """A pass of the net."""
        return self.net(params, x, **how)

    def brief(self, params: Params, x: Tensor, **how: Any) -> ForwardPass:
        """The same."""
        return self.net(params, x, **how)

    def together(self, x: Tensor) -> bool:
        """Never."""
        return False
