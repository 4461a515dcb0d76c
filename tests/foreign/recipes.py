"""Small nets of other projects' layouts, computed here by torch's functions alone, and the files they would save."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.foreign.load_foreign import Foreign, load_foreign
from mamlprobe.nets.net import ForwardPass
from mamlprobe.nets.params import add_task_axis

Layers = list[tuple]
C, POOL, RELU, NORM = ("conv", 1, 1), ("pool", 2), ("relu",), ("norm",)
CNRP = [C, NORM, RELU, POOL]
CRNP = [C, RELU, NORM, POOL]
UNPADDED = [("conv", 1, 0), NORM, RELU, POOL]
STRIDED = [("conv", 2, 1), NORM, RELU]


@dataclass
class Recipe:
    """A family's net: its layers block by block, and its names."""

    names: Callable[[int], tuple[str, str]]
    """Block number from 0 -> names of the conv (or linear layer) and the norm."""
    layers: Callable[[int], Layers] = lambda number: CNRP
    head: str | None = "classifier"
    blocks: int = 4
    filters: int = 4
    image: tuple[int, ...] = (3, 84, 84)
    end: str = "flatten"
    eps: float = 1e-5
    moments: bool = True
    bias: bool = True
    dtype: torch.dtype = torch.float32
    options: dict = field(default_factory=dict)
    """What import is told."""

    def made(self, seed: int = 0) -> "Made":
        random = torch.Generator().manual_seed(seed)

        def draw(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
            return (torch.randn(*shape, generator=random) * scale + shift).to(self.dtype)

        state, parts, wide = {}, [], self.image[0]
        linear = self.layers(0)[0][0] == "linear"
        wide = self.image[0] * self.image[1] * self.image[2] if linear else wide
        for number in range(self.blocks):
            conv, norm = self.names(number)
            side = next((layer[3] for layer in self.layers(number) if layer[0] == "conv" and len(layer) > 3), 3)
            shape = (self.filters, wide) if linear else (self.filters, wide, side, side)
            own = {f"{conv}.weight": draw(*shape, scale=0.5)}
            if self.bias:
                own[f"{conv}.bias"] = draw(self.filters)
            own |= {f"{norm}.weight": draw(self.filters, scale=0.3, shift=1), f"{norm}.bias": draw(self.filters)}
            own[f"{norm}.running_mean"] = draw(self.filters)
            own[f"{norm}.running_var"] = draw(self.filters).abs() + 0.5
            parts.append(own)
            state |= own
            wide = self.filters
        made = Made(self, state, parts)
        if self.head is not None:
            width = made.features(torch.zeros(2, *self.image, dtype=torch.float64), running=True).shape[1]
            state |= {f"{self.head}.weight": draw(5, width), f"{self.head}.bias": draw(5)}
        return made


@dataclass
class Made:
    """A net with weights."""

    recipe: Recipe
    state: dict[str, Tensor]
    parts: list[dict[str, Tensor]]

    @property
    def saved(self) -> dict[str, Tensor]:
        """The state dict, as the family saves it."""
        kept = {n: v for n, v in self.state.items() if self.recipe.moments or "running" not in n}
        return dict(kept)

    def features(self, x: Tensor, *, running: bool) -> Tensor:
        z = x.double()
        for number, own in enumerate(self.parts):
            weight, *bias = [v.double() for n, v in own.items() if n.startswith(self.recipe.names(number)[0] + ".")]
            scale, shift, mean, var = [
                v.double() for n, v in own.items() if n.startswith(self.recipe.names(number)[1] + ".")
            ]
            for kind, *numbers in self.recipe.layers(number):
                if kind == "conv":
                    z = F.conv2d(z, weight, *bias, stride=numbers[0], padding=numbers[1])
                elif kind == "linear":
                    z = F.linear(z.flatten(1), weight, *bias)
                elif kind == "norm":
                    kept = (mean, var) if running else (None, None)
                    z = F.batch_norm(z, *kept, scale, shift, training=not running, eps=self.recipe.eps)
                elif kind == "pool":
                    z = F.max_pool2d(z, 2, numbers[0])
                else:
                    z = F.leaky_relu(z, numbers[0]) if numbers else F.relu(z)
        return z.mean((2, 3)) if self.recipe.end == "mean" else z.flatten(1)

    def logits(self, x: Tensor, *, running: bool = False) -> Tensor:
        head = self.recipe.head
        return F.linear(
            self.features(x, running=running),
            self.state[f"{head}.weight"].double(),
            self.state[f"{head}.bias"].double(),
        )


def two_names(first: str, second: str, base: int = 0, step: int = 1) -> Callable[[int], tuple[str, str]]:
    return lambda number: (first.format(base + step * number), second.format(base + step * number))


CHARACTERS = (1, 28, 28)

RECIPES = {
    "learn2learn CNN4": Recipe(two_names("features.{}.conv", "features.{}.normalize")),
    "learn2learn OmniglotCNN": Recipe(
        two_names("base.{}.conv", "base.{}.normalize"), lambda n: STRIDED, image=CHARACTERS, end="mean"
    ),
    "learn2learn OmniglotFC": Recipe(
        two_names("features.1.{}.linear", "features.1.{}.normalize"),
        lambda n: [("linear",), NORM, RELU],
        image=CHARACTERS,
        eps=1e-3,
        filters=8,
        moments=False,
    ),
    "torchmeta's examples or BOIL": Recipe(
        two_names("features.{}.0", "features.{}.1"), image=CHARACTERS, moments=False
    ),
    "pytorch-maml (Deleu)": Recipe(two_names("features.layer{}.conv", "features.layer{}.norm", 1), moments=False),
    "MAML++": Recipe(
        two_names("classifier.layer_dict.conv{}.conv", "classifier.layer_dict.conv{}.norm_layer"),
        lambda n: [C, NORM, ("relu", 0.01), POOL],
        head="classifier.layer_dict.linear",
    ),
    "pytorch-maml (Rakelly)": Recipe(
        two_names("features.conv{}", "features.bn{}", 1), lambda n: UNPADDED, head="fc", blocks=3, image=CHARACTERS
    ),
    "higher's Omniglot example": Recipe(
        lambda n: (str(4 * n), str(4 * n + 1)), lambda n: UNPADDED, head="13", blocks=3, image=CHARACTERS
    ),
    "few-shot (Knagg) MAML": Recipe(
        two_names("conv{}.0", "conv{}.1", 1), head="logits", image=CHARACTERS, dtype=torch.float64
    ),
    "SimpleShot Conv4": Recipe(two_names("module.conv{}.0", "module.conv{}.1", 1), head="logits"),
    "A Closer Look at Few-Shot Classification, Conv4 or Conv6": Recipe(
        two_names("feature.trunk.{}.C", "feature.trunk.{}.BN"),
        lambda n: CNRP if n < 4 else CNRP[:-1],
        blocks=6,
    ),
    "PyTorch-MAML (fmu2)": Recipe(two_names("encoder.conv{}.conv", "encoder.conv{}.bn", 1), head="linear"),
    "LibFewShot Conv64F or Conv32F": Recipe(
        two_names("emb_func.layer{}.0", "emb_func.layer{}.1", 1), head="classifier.layers.0"
    ),
    "parallel-metalearn": Recipe(two_names("conv{}", "bn{}", 1), head="fc"),
    "unknown": Recipe(two_names("part{}.c", "part{}.n"), head="out", image=(1, 32, 32)),
}
"""Families with a head whose state dict follows from its names alone."""

ENCODERS = {
    "prototypical networks (Snell, and others of that layout)": Recipe(
        two_names("encoder.{}.0", "encoder.{}.1"), head=None, image=CHARACTERS
    ),
    "few-shot (Knagg) prototypical network": Recipe(
        two_names("{}.0", "{}.1"), head=None, image=CHARACTERS, dtype=torch.float64
    ),
    "Learning to Compare, feature encoder": Recipe(
        two_names("layer{}.0", "layer{}.1", 1),
        lambda n: UNPADDED if n < 2 else CNRP[:-1],
        head=None,
        image=CHARACTERS,
    ),
    "MetaOptNet, ProtoNet's encoder": Recipe(
        two_names("encoder.{}.block.0", "encoder.{}.block.1"), head=None, bias=False
    ),
}
"""Encoders without a head."""


R2D2 = Recipe(
    two_names("block{}.0", "block{}.1", 1),
    lambda n: [C, NORM, POOL, ("relu", 0.1)] if n < 3 else [C, NORM, POOL],
    head=None,
)
"""Its features are joined from the last two blocks, which `features` does not do."""


def numbered_state(made: Made) -> dict[str, Tensor]:
    """The tensors as ``vars.k`` and ``vars_bn.k``."""
    weights = [v for own in made.parts for n, v in own.items() if "running" not in n]
    moments = [v for own in made.parts for n, v in own.items() if "running" in n]
    weights += [made.state[f"{made.recipe.head}.{each}"] for each in ("weight", "bias")]
    state = {f"vars.{number}": value for number, value in enumerate(weights)}
    return state | {f"vars_bn.{number}": value for number, value in enumerate(moments)}


def rows(recipe: Recipe) -> Tensor:
    return torch.randn(6, *recipe.image, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def imported(path: Path, recipe: Recipe, state: dict[str, Tensor], **options: Any) -> Foreign:
    """What is read of a file of this state dict."""
    torch.save(state, path)
    return load_foreign(path, **{**recipe.options, **options})


def passed(found: Foreign, x: Tensor, *, running: bool = False) -> ForwardPass:
    """The forward pass of what was imported, in float64."""
    theta = found.theta.to(dtype=torch.float64)
    moments = add_task_axis(theta.moments) if running else None
    return found.net(add_task_axis(theta.net), x[None], moments=moments)


def relation_state(channels: int, *, out: int = 1, seed: int = 5) -> dict[str, Tensor]:
    """The state dict of a relation network on maps of so many channels, `out` by `out` pixels at its end."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for layer, wide in (("layer1", 2 * channels), ("layer2", channels)):
        state[f"{layer}.0.weight"] = 0.3 * torch.randn(channels, wide, 3, 3, generator=random)
        state[f"{layer}.0.bias"] = torch.randn(channels, generator=random)
        state[f"{layer}.1.weight"] = 1 + 0.3 * torch.randn(channels, generator=random)
        state |= {f"{layer}.1.{at}": torch.randn(channels, generator=random) for at in ("bias", "running_mean")}
        state[f"{layer}.1.running_var"] = 0.5 + torch.rand(channels, generator=random)
    for layer, shape in (("fc1", (8, channels * out * out)), ("fc2", (1, 8))):
        state[f"{layer}.weight"] = torch.randn(shape, generator=random)
        state[f"{layer}.bias"] = torch.randn(shape[0], generator=random)
    return state
