"""Modules that are a `Conv4` under other names: guessed by parameter shapes, confirmed by numbers (`conv4_check`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.nets.conv4 import Conv4, linear
from mamlprobe.nets.net import ForwardPass, Moments, Params
from mamlprobe.nets.spec import DOWNS, ORDERS

PARTS = {
    1: ("conv.weight",),
    2: ("conv.weight", "conv.bias"),
    3: ("conv.weight", "norm.weight", "norm.bias"),
    4: ("conv.weight", "conv.bias", "norm.weight", "norm.bias"),
}
"""The parameters of a block by their number, in the order of their use."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A `Conv4` that computes what a module does, on images of one shape."""

    net: Conv4
    names: Mapping[str, str]
    """Parameter of the `Conv4` -> the module's, where it has one."""
    norms: tuple[str, ...]
    """The name of each block's norm in the module, as in its moments."""
    head_name: str
    entries: Mapping[str, str] = field(default_factory=dict)
    """The module's layer -> the block that begins there, except the first block and the head."""

    def between(self, layers: Sequence[str], owners: Mapping[str, str]) -> "Known":
        """Return this with its `entries` among the module's layers, of which the head is last; `owners` as in a net."""
        place = {layer: number for number, layer in enumerate(layers)}
        blocks = self.net.layers[:-1]
        places = [{place[owners[self.names[n]]] for n in self._of_block(block) if n in self.names} for block in blocks]
        entries = {
            entry: block
            for entry in layers[1:-1]
            for number, block in enumerate(blocks[1:], 1)
            if max(set.union(*places[:number])) < place[entry] <= min(set.union(*places[number:]))
        }
        return replace(self, entries=entries)

    def _of_block(self, block: str) -> list[str]:
        return [name for name, layer in self.net.parameters.items() if layer == block]

    @property
    def description(self) -> str:
        """Describe the net in one line, for a person."""
        net = self.net
        return f"conv4: {net.blocks} blocks of {net.filters} filters, {net.order}, {net.down}"

    def covers(self, moments: Moments | None, begin: str | None = None, end: str | None = None) -> bool:
        """Tell whether `moments` is None or has those of every norm from one entry to the other."""
        first, last = (None if each is None else self.entries.get(each) for each in (begin, end))
        norms = self.norms[slice(*(None if each is None else self.net.layers.index(each) for each in (first, last)))]
        return moments is None or all(f"{norm}.{word}" in moments for norm in norms for word in ("mean", "var"))

    def __call__(
        self,
        params: Params,
        x: Tensor,
        *,
        moments: Moments | None = None,
        collect: bool = False,
        begin: str | None = None,
        end: str | None = None,
    ) -> ForwardPass:
        """Compute the module's pass, or that between two entries, without the layers before the head.

        Raises:
            UserError: as `Conv4`.
        """
        norms = {f"body.{number}.norm": norm for number, norm in enumerate(self.norms, 1)}
        if moments is not None:
            pairs = [(f"{ours}.{word}", f"{norm}.{word}") for ours, norm in norms.items() for word in ("mean", "var")]
            moments = {ours: moments[name] for ours, name in pairs if name in moments}
        places = {**self.entries, self.head_name: "head"}
        first, last = (None if layer is None else places[layer] for layer in (begin, end))
        result = self.net(self._params(params), x, moments=moments, collect=collect, begin=first, end=last)
        seen: Moments = {}
        if collect:
            for name, value in result.moments.items():
                norm, _, word = name.rpartition(".")
                seen[f"{norms[norm]}.{word}"] = value
        logits = {self.head_name: result.logits} if end is None else {}
        features = result.features if end in self.entries else result.features.flatten(2)
        return ForwardPass(layers=logits, features=features, moments=seen)

    def _params(self, params: Params) -> Params:
        """Return the `Conv4`'s parameters: biases the module lacks are 0, missing norms have scale 1 and shift 0."""
        filled: Params = {}
        for name in self.net.parameters:
            if name in self.names:
                filled[name] = params[self.names[name]]
            else:
                like = params[next(iter(self.names.values()))]
                made = torch.ones if name.endswith("norm.weight") else torch.zeros
                filled[name] = made(1, self.net.filters, dtype=like.dtype, device=like.device)
        return filled

    def head(self, params: Params, features: Tensor) -> Tensor:
        """Compute logits [B, R, N] of features [B, R, F]."""
        bias = self.names.get("head.bias")
        return linear(features, params[self.names["head.weight"]], None if bias is None else params[bias])


def candidates(shapes: Mapping[str, tuple[int, ...]], image: tuple[int, ...], head: str) -> Iterator[Known]:
    """Yield the nets that the module could be, by the shapes of its parameters in the order of their first use.

    The names of its norms are not known. Its activations and pools can be identified by numbers alone.
    """
    names = _names(shapes)
    if not names or len(image) != 3:
        return
    blocks = sum(name.endswith("conv.weight") for name in names)
    filters = shapes[names["body.1.conv.weight"]][0]
    way, width = shapes[names["head.weight"]]
    for order, down in product(ORDERS, DOWNS):
        options: dict[str, Any] = {"filters": filters, "blocks": blocks, "order": order, "down": down}
        try:
            net = Conv4(image=(image[0], image[1], image[2]), way=way, head_bias="head.bias" in names, **options)
        except UserError:  # the images are too small
            continue
        if net.features == width and _fit(net, {name: shapes[theirs] for name, theirs in names.items()}):
            yield Known(net=net, names=names, norms=(), head_name=head)


def _fit(net: Conv4, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether the shapes are those of the net's parameters."""
    wanted = net.init(torch.Generator())[0]
    return all(tuple(wanted[name].shape) == shape for name, shape in shapes.items())


def _names(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Map each parameter of a `Conv4` to the one of these that could be it; empty if they are of another net."""
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
    body_names = {
        f"body.{number}.{part}": name
        for number, group in enumerate(body, 1)
        for part, name in zip(PARTS[len(group)], group, strict=True)
    }
    return body_names | dict(zip(("head.weight", "head.bias"), last, strict=False))
