"""A module that is a `Conv4` in its own words: guessed by the shapes of its parameters, taken by its numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.nets.conv4 import DOWNS, ORDERS, Conv4, linear
from mamlprobe.nets.params import Moments, Params, Pass

PARTS = {
    1: ("conv.weight",),
    2: ("conv.weight", "conv.bias"),
    3: ("conv.weight", "norm.weight", "norm.bias"),
    4: ("conv.weight", "conv.bias", "norm.weight", "norm.bias"),
}
"""What the parameters of a block are by how many it has, in the order of their use."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A `Conv4` that computes what a module does, on images of one shape."""

    net: Conv4
    names: Mapping[str, str]
    """Parameter of the `Conv4` -> the module's, where it has one."""
    norms: tuple[str, ...]
    """What the moments of each block's norm are called in the module."""
    head_name: str

    @property
    def words(self) -> str:
        """What it is, for a person."""
        net = self.net
        return f"conv4: {net.blocks} blocks of {net.filters} filters, {net.order}, {net.down}"

    def covers(self, moments: Moments | None) -> bool:
        """Whether every norm has moments there, or there are none."""
        return moments is None or all(f"{norm}.{word}" in moments for norm in self.norms for word in ("mean", "var"))

    def __call__(
        self, params: Params, x: Tensor, *, moments: Moments | None, collect: bool, end: str | None = None
    ) -> Pass:
        """The pass of the module, without the layers before the head.

        Raises:
            UserError: as `Conv4`.
        """
        own = {f"body.{number}.norm": norm for number, norm in enumerate(self.norms, 1)}
        if moments is not None:
            pairs = [(f"{ours}.{word}", f"{norm}.{word}") for ours, norm in own.items() for word in ("mean", "var")]
            moments = {ours: moments[name] for ours, name in pairs}
        last = None if end is None else "head"
        found = self.net(self._params(params), x, moments=moments, collect=collect, end=last)
        seen: Moments = {}
        if collect:
            for name, value in found.moments.items():
                norm, _, word = name.rpartition(".")
                seen[f"{own[norm]}.{word}"] = value
        logits = {self.head_name: found.logits} if end is None else {}
        return Pass(layers=logits, features=found.features.flatten(2), moments=seen)

    def _params(self, params: Params) -> Params:
        """Those of the `Conv4`: convs have no bias where the module's have none, and norms leave it at 1 and 0."""
        found: Params = {}
        for name in self.net.parameters:
            if name in self.names:
                found[name] = params[self.names[name]]
            else:
                like = params[next(iter(self.names.values()))]
                made = torch.ones if name.endswith("norm.weight") else torch.zeros
                found[name] = made(1, self.net.filters, dtype=like.dtype, device=like.device)
        return found

    def head(self, params: Params, features: Tensor) -> Tensor:
        """Logits [B, R, N] of features [B, R, F]."""
        bias = self.names.get("head.bias")
        return linear(features, params[self.names["head.weight"]], None if bias is None else params[bias])


def candidates(shapes: Mapping[str, tuple[int, ...]], image: tuple[int, ...], head: str) -> Iterator[Known]:
    """What the module could be, by the shapes of its parameters in the order of their first use.

    What its norms are called is not known. Which activations and pools lie between, nothing but numbers can tell.
    """
    names = _names(shapes)
    if not names or len(image) != 3:
        return
    blocks = sum(name.endswith("conv.weight") for name in names)
    filters = shapes[names["body.1.conv.weight"]][0]
    way, width = shapes[names["head.weight"]]
    for order, down in product(ORDERS, DOWNS):
        words: dict[str, Any] = {"filters": filters, "blocks": blocks, "order": order, "down": down}
        try:
            net = Conv4(image=(image[0], image[1], image[2]), way=way, head_bias="head.bias" in names, **words)
        except UserError:  # the images are too small
            continue
        if net.features == width and _fit(net, {name: shapes[own] for name, own in names.items()}):
            yield Known(net=net, names=names, norms=(), head_name=head)


def _fit(net: Conv4, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the shapes are those of the net's parameters."""
    wanted = net.init(torch.Generator())[0]
    return all(tuple(wanted[name].shape) == shape for name, shape in shapes.items())


def _names(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Parameter of a `Conv4` -> the one of these that could be it; empty where they are of another net."""
    groups: list[list[str]] = []
    for name, shape in shapes.items():
        if len(shape) in (2, 4):
            groups.append([name])
        elif len(shape) == 1 and groups:
            groups[-1].append(name)
        else:
            return {}
    ranks = [len(shapes[group[0]]) for group in groups]
    if len(ranks) < 2 or ranks != [4] * (len(ranks) - 1) + [2] or max(map(len, groups)) > 4 or len(groups[-1]) > 2:
        return {}
    *body, last = groups
    found = {
        f"body.{number}.{part}": name
        for number, group in enumerate(body, 1)
        for part, name in zip(PARTS[len(group)], group, strict=True)
    }
    return found | dict(zip(("head.weight", "head.bias"), last, strict=False))
