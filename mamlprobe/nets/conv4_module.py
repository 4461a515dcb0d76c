"""Modules that compute what `Conv4` does run on its blocks; they are recognised by their numbers alone."""

import os
from collections.abc import Callable
from threading import Lock
from typing import Any, Unpack, cast

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.nets.conv4_check import Plain, found_by_numbers
from mamlprobe.nets.conv4_shapes import Known
from mamlprobe.nets.modules.trial import Trial
from mamlprobe.nets.net import ForwardPass, Net, Params, PassOptions
from mamlprobe.nets.params import as_params, layer_range


class Recognised:
    """A net made of a module that may be known to be a `Conv4`; other passes are those of the module itself."""

    module: torch.nn.Module
    head_name: str
    parameters: dict[str, str]
    layers: tuple[str, ...]
    known_as: Known | None = None
    """The `Conv4` that it is on inputs of the shape that `wrap` tried."""
    _by_shape: dict[tuple[int, ...], Known | None]
    _shapes: dict[str, tuple[int, ...]]
    _inner: dict[tuple[str, tuple[int, ...]], Known]
    """By entry and the shape of a row of its input, filled by passes that ended there."""
    _lock: Lock
    plainly: Plain
    _meet: Callable[[Params, Tensor], None]

    def recognise(self, trial: Trial | None) -> None:
        """Find out whether the module is a known net; without a trial it is not."""
        self._by_shape, self._shapes, self._inner = {}, {}, {}
        if trial is None or set(trial.uses) != set(self.parameters):
            return
        values = dict(self.module.named_parameters())
        self._shapes = {name: tuple(values[name].shape) for name in trial.uses}
        self.known_as = self._by_shape[trial.row] = self._identify(trial.row)

    def _identify(self, image: tuple[int, ...]) -> Known | None:
        """Return the net that the module is on rows of this shape, or None."""
        device = next(self.module.parameters()).device
        try:
            with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
                known = found_by_numbers(self.plainly, self._shapes, image, self.head_name, device)
                return None if known is None else known.between(self.layers, self.parameters)
        except Exception:
            return None  # the module does not run on such rows: a pass will raise

    def _known(self, x: Tensor) -> Known | None:
        """Return the net that the module is on inputs like x [B, R, ...], or None; computed once for each shape."""
        if not self._at_work(x) or x.ndim != 5:
            return None
        image = tuple(x.shape[2:])
        if image not in self._by_shape:
            with self._lock:
                if image not in self._by_shape:
                    self._by_shape[image] = self._identify(image)
        return self._by_shape[image]

    def _known_from(self, begin: str, x: Tensor) -> Known | None:
        """Return the net whose pass by blocks ended before `begin` with features like x; None if none did."""
        return self._inner.get((begin, tuple(x.shape[2:]))) if self._at_work(x) else None

    def _at_work(self, x: Tensor) -> bool:
        """Tell whether blocks are used for such inputs: not under autocast, nor with ``MAMLPROBE_BLOCKS=off``."""
        if self.known_as is None or not x.is_floating_point():
            return False
        return os.environ.get("MAMLPROBE_BLOCKS") != "off" and not torch.is_autocast_enabled(x.device.type)

    def known_head(self, features: Tensor) -> Known | None:
        """Return the net that computes the head of features [B, R, F] for all tasks together, or None."""
        return self.known_as if self._at_work(features) and features.ndim == 3 else None

    def together(self, x: Tensor) -> bool:
        """Tell whether a brief pass of inputs like x [B, R, ...] computes tasks together, or one after the other."""
        return self._known(x) is not None

    @property
    def full(self) -> Net:
        """Return the same net with all layers recorded: every pass is one of the module itself."""
        return cast(Net, Full(cast(Net, self)))

    def brief(self, params: Params, x: Tensor, **how: Unpack[PassOptions]) -> ForwardPass:
        """Compute a call by the blocks of a known net, if there is one; then without layers before the head.

        Raises:
            UserError: as a call.
        """
        net = cast(Net, self)
        begin, end = how.get("begin"), how.get("end")
        layer_range(net, begin, end)
        rows = as_params(x, params)
        known = self._known(rows) if begin is None else self._known_from(begin, rows)
        if known is not None and known.covers(how.get("moments"), begin, end):
            if begin is None:
                self._meet(params, rows)
            try:
                result = known(params, rows, **how)
            except UserError:
                pass  # the module raises it with the names of its own parts
            else:
                if end in known.entries:
                    self._inner[end or "", tuple(result.features.shape[2:])] = known
                return result
        return net(params, x, **how)


class Full:
    """A net whose passes are all calls."""

    def __init__(self, net: Net) -> None:
        self.net, self.full = net, self

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["net"], name)

    def __call__(self, params: Params, x: Tensor, **how: Unpack[PassOptions]) -> ForwardPass:
        """Compute a pass of the net."""
        return self.net(params, x, **how)

    def brief(self, params: Params, x: Tensor, **how: Unpack[PassOptions]) -> ForwardPass:
        """Compute a pass of the net."""
        return self.net(params, x, **how)

    def together(self, x: Tensor) -> bool:
        """Return False: tasks run one after the other."""
        return False
