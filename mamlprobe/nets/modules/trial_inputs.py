"""A trial pass of a module whose inputs are not known, on inputs of likely shapes."""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mamlprobe.nets.modules.trial import Trial, look

SIDES = (28, 32, 64, 84, 105, 224, 256)
"""Heights and widths to try on a module whose inputs are not known."""

LENGTH = 8
"""Tokens, or steps of a sequence, to try."""

MOST = 400_000_000
"""Most parameters of a module that is tried on guessed inputs."""


def tried(module: nn.Module, *, strangers: Collection[int] = ()) -> Trial | None:
    """Record a pass on inputs of a likely shape; return None if the module fails on all of them.

    Its purpose is the order in which parts run, which hardly depends on the shape.
    """
    params = dict(module.named_parameters())
    if sum(value.numel() for value in params.values()) > MOST:
        return None
    state = torch.random.get_rng_state()
    try:
        for rows in guesses(module):
            try:
                return look(module, params, rows, strangers=strangers)
            except Exception:
                continue
        return None
    finally:
        torch.random.set_rng_state(state)


def guesses(module: nn.Module) -> Iterator[Tensor]:
    """Yield inputs of two rows that the module's first parts with parameters could take."""
    floats = [value.dtype for value in module.parameters() if value.is_floating_point()]
    how: dict[str, Any] = {"dtype": floats[0] if floats else torch.float32, "device": "cpu"}
    kinds = [part for part in module.modules() if next(part.parameters(recurse=False), None) is not None]
    for part in kinds[:3]:
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
            channels = part.in_channels if isinstance(part, nn.Conv2d) else part.num_features
            for side in SIDES:
                yield torch.ones(2, channels, side, side, **how)
        elif isinstance(part, nn.Conv1d):
            yield torch.ones(2, part.in_channels, 64, **how)
        elif isinstance(part, nn.Embedding):
            yield torch.zeros(2, LENGTH, dtype=torch.long, device="cpu")
        elif isinstance(part, nn.Linear):
            yield from _flat(part.in_features, how)
        elif isinstance(part, nn.RNNBase):
            size = part.input_size
            for shape in ((2, LENGTH, size), (2, 1, LENGTH, size), (2, 1, size, size)):
                yield torch.ones(shape, **how)
        elif isinstance(part, nn.LayerNorm):
            yield torch.ones(2, *part.normalized_shape, **how)
            yield torch.ones(2, LENGTH, *part.normalized_shape, **how)


def _flat(width: int, how: dict[str, Any]) -> Iterator[Tensor]:
    """Yield inputs of two rows for a first linear layer of this width: flat, as square images, as sequences."""
    yield torch.ones(2, width, **how)
    for channels in (1, 3):
        side = round((width / channels) ** 0.5)
        if channels * side * side == width:
            yield torch.ones(2, channels, side, side, **how)
    yield torch.ones(2, LENGTH, width, **how)
    yield torch.ones(2, 1, width, width, **how)
    for side in (28, 32, 84):
        for channels in (1, 3):
            yield torch.ones(2, channels, side, side, **how)
