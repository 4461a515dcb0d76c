"""Building the net that a spec names."""

import inspect
import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.base.keys import key
from mamlprobe.nets.by_layers.layers_net import layers_module
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.maker import Maker, maker
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.net import Net
from mamlprobe.nets.spec import NetSpec
from mamlprobe.nets.wrap import Wrapped, wrap


def build(
    spec: NetSpec,
    *,
    way: int,
    image: tuple[int, ...] | None = None,
    seed: int = 0,
    buffers: Mapping[str, Tensor] | None = None,
    module: Maker | None = None,
) -> Net:
    """Build the net for N-way tasks on inputs of shape `image` (C, H, W; any for an mlp), by default the spec's own.

    A module is created with initial weights drawn from `seed`, and these `buffers` are copied in by name; the other
    kinds draw their weights in `init`. `module` makes it; without it the one that the spec names is imported, so give
    it where the spec was read from a file.

    Raises:
        UserError: an input shape that is absent or not the spec's, a module that cannot be imported or made, or that
            has no such buffers.
    """
    if spec.image is not None and image is not None and spec.image != tuple(image):
        raise UserError("net", f"net.image must be the data's shape {list(image)}", list(spec.image), "leave it unset")
    image = spec.image or image
    if spec.kind == "module":
        built = made(spec, seed, module)
        _fill(built, buffers or {})
        return wrapped(built, spec, image)
    if spec.kind == "layers":
        return _of_layers(spec, way, image, seed)
    if image is None:
        raise UserError("net", "the shape of the inputs must be known", "none", "set net.image to C, H, W")
    if spec.kind == "mlp":
        width = math.prod(image)
        return cast(Net, mlp(inputs=width, way=way, hidden=spec.hidden, activation=spec.activation, norm=spec.norm))
    if len(image) != 3:
        raise UserError("net", "a conv4 must see images", f"inputs of shape {list(image)}", "set net.kind to mlp")
    body = {"filters": spec.filters, "blocks": spec.blocks}
    return cast(Net, conv4(image=image, way=way, order=spec.order, down=spec.down, head_bias=spec.head_bias, **body))


def _of_layers(spec: NetSpec, way: int, image: tuple[int, ...] | None, seed: int) -> Wrapped:
    """Build and wrap a net that is written in words; layers are its blocks, ``conv1`` ... and ``head``."""
    if image is None or len(image) != 3:
        raise UserError(
            "net", "a net of layers must see images", f"inputs of shape {image}", "set net.image to C, H, W"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "init", "layers"))
        module = layers_module(spec.stack, image=image, way=way, bias=spec.head_bias)
    names = [f"conv{number + 1}" for number in range(len(spec.stack))]
    return wrap(module, "head", layers=names, inputs=image)


def wrapped(module: nn.Module, spec: NetSpec, image: tuple[int, ...] | None) -> Wrapped:
    """Wrap the module as a net by the spec's settings.

    Raises:
        UserError: as `wrap`.
    """
    output = int(spec.output) if spec.output.isdecimal() else spec.output or None
    shape = image if image is not None and len(image) == 3 else None
    options: dict[str, Any] = {"output": output, "inputs": shape, "features": spec.features or None}
    return wrap(module, spec.head, layers=spec.layers or None, **options)


def _fill(module: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    """Copy these buffers into the module.

    Raises:
        UserError: it has none of that name and shape.
    """
    existing = dict(module.named_buffers(remove_duplicate=False))
    for name, value in buffers.items():
        place = existing.get(name)
        if place is None or place.shape != value.shape or place.dtype != value.dtype:
            got = "none" if place is None else f"shape {list(place.shape)}, {place.dtype}"
            advice = "name the net that the weights were made with"
            raise UserError("net", f"the module must have a buffer {name} {list(value.shape)}", got, advice)
        existing[name].copy_(value)


def made(spec: NetSpec, seed: int = 0, make: Maker | None = None) -> nn.Module:
    """Create the spec's module with initial weights drawn from `seed`; torch's global generator is not changed.

    `make` does it; without it the class or function that the spec names is imported.

    Raises:
        UserError: a module that cannot be imported or made.
    """
    path = spec.module
    make = maker(path) if make is None else make
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        advice = "write a function or subclass that needs none and name that"
        raise UserError("net", f"{path} must be callable without arguments", str(error), advice) from None
    except ValueError:  # a class written in C has no signature to ask
        pass
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "init", path))
        module = make()
    if not isinstance(module, nn.Module):
        raise UserError("net", f"{path} must make an nn.Module", type(module).__name__, "name another")
    return module
