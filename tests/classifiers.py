"""The zoo: classifiers of torchvision and of timm with random weights, for images as small as each takes."""

from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

WAY = 3

OPERATORS = "nms", "qnms"
"""Of those that torchvision adds to torch, the ones that its import asks for: its build for GPUs has none on a CPU."""

_KEPT: list[torch.library.Library] = []


@cache
def package(name: str) -> ModuleType:
    """torchvision, or another package that imports it; the test is skipped where one of them is not installed."""
    for each in dict.fromkeys(("torchvision", name)):
        if find_spec(each) is None:
            pytest.skip(f"{each} is not installed")
    if not _KEPT and not hasattr(torch.ops.torchvision, "nms"):
        _KEPT.append(torch.library.Library("torchvision", "DEF"))  # operators last as long as it does
        for operator in OPERATORS:
            _KEPT[0].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return import_module(name)


@dataclass(frozen=True, kw_only=True)
class Zoo:
    """A net of the zoo."""

    name: str
    head: str
    side: int = 32
    """Height and width of its images."""
    words: dict[str, Any] = field(default_factory=dict)
    """For its constructor."""
    source: str = "torchvision"
    maker: str = ""
    """Its class, where that is called in place of the function of the name, to make it narrower or less deep."""

    def build(self) -> nn.Module:
        """The net in float64, its random weights always the same."""
        torch.manual_seed(0)
        if self.source == "timm":
            module: nn.Module = package("timm").create_model(self.name, num_classes=WAY, **self.words)
        else:
            module = getattr(package("torchvision").models, self.maker or self.name)(num_classes=WAY, **self.words)
        if self.name in WIDE:
            first, second, last = (part for part in module.classifier if isinstance(part, nn.Linear))
            for part, size in (first, (64, first.in_features)), (second, (64, 64)), (last, (WAY, 64)):
                part.weight = nn.Parameter(torch.randn(size) / size[1] ** 0.5)
                part.bias = nn.Parameter(torch.randn(size[0]))
        return module.double()


WIDE = "alexnet", "vgg11"
"""Nets with linear layers of tens of millions of weights, which are made narrower."""


def _torchvision(name: str, head: str, side: int = 32, *, maker: str = "", **words: Any) -> Zoo:
    return Zoo(name=name, head=head, side=side, words=words, maker=maker)


def _timm(name: str, head: str = "head.fc", side: int = 32, **words: Any) -> Zoo:
    return Zoo(name=name, head=head, side=side, words=words, source="timm")


MAXVIT = {"input_size": (64, 64), "stem_channels": 16, "partition_size": 2, "block_channels": [24, 40, 48, 64]}
MAXVIT |= {"block_layers": [1, 1, 1, 1], "head_dim": 8, "stochastic_depth_prob": 0.2}
SWIN = {"patch_size": [4, 4], "embed_dim": 24, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8], "window_size": [7, 7]}
VIT = {"image_size": 32, "patch_size": 16, "num_layers": 4, "num_heads": 12, "hidden_dim": 192, "mlp_dim": 384}

NETS = (
    _torchvision("alexnet", "classifier.6", 64),
    _torchvision("convnext_tiny", "classifier.2"),
    _torchvision("densenet121", "classifier", maker="DenseNet", block_config=(2, 3, 4, 2)),
    _torchvision("efficientnet_b0", "classifier.1"),
    _torchvision("googlenet", "fc", init_weights=False),
    _torchvision("inception_v3", "fc", 75, init_weights=False),
    _torchvision("maxvit_t", "classifier.5", 64, maker="MaxVit", **MAXVIT),
    _torchvision("mnasnet0_5", "classifier.1"),
    _torchvision("mobilenet_v2", "classifier.1", width_mult=0.5),
    _torchvision("mobilenet_v3_small", "classifier.3"),
    _torchvision("regnet_x_400mf", "fc"),
    _torchvision("regnet_y_400mf", "fc"),
    _torchvision("resnet18", "fc"),
    _torchvision("resnet50", "fc", width_per_group=16),
    _torchvision("shufflenet_v2_x0_5", "fc"),
    _torchvision("squeezenet1_1", "classifier"),
    _torchvision("swin_t", "head", maker="SwinTransformer", **SWIN),
    _torchvision("swin_v2_t", "head"),
    _torchvision("vgg11", "classifier.6"),
    _torchvision("vit_b_16", "heads.head", maker="VisionTransformer", **VIT),
    _timm("botnet26t_256", img_size=32),
    _timm("cait_xxs24_224", "head", img_size=32),
    _timm("convit_tiny", "head", img_size=32),
    _timm("convnextv2_atto"),
    _timm("deit_tiny_patch16_224", "head", img_size=32),
    _timm("dla46_c", "fc"),
    _timm("edgenext_xx_small"),
    _timm("efficientvit_b0", "head.classifier.4"),
    _timm("efficientvit_m0", "head.linear"),
    _timm("fastvit_t8"),
    _timm("fasternet_t0", "classifier"),
    _timm("ghostnet_050", "classifier"),
    _timm("gmlp_ti16_224", "head", img_size=32),
    _timm("hardcorenas_a", "classifier"),
    _timm("hiera_tiny_224", img_size=32),
    _timm("inception_next_atto", "head.fc2"),
    _timm("lambda_resnet26t"),
    _timm("lcnet_050", "classifier"),
    _timm("levit_128s", "head.linear", img_size=32, distilled=False),
    _timm("mambaout_femto"),
    _timm("mixer_s32_224", "head", img_size=32),
    _timm("mixnet_s", "classifier"),
    _timm("mobilevit_xxs"),
    _timm("mobilevitv2_050"),
    _timm("nest_tiny", "head", img_size=32),
    _timm("pit_ti_224", "head", img_size=32),
    _timm("poolformer_s12"),
    _timm("pvt_v2_b0", "head"),
    _timm("repvgg_a0"),
    _timm("resmlp_12_224", "head", img_size=32),
    _timm("resnest14d", "fc"),
    _timm("resnet10t", "fc"),
    _timm("seresnet18", "fc"),
    _timm("shvit_s1", "head.l"),
    _timm("starnet_s050", "head"),
    _timm("test_byobnet"),
    _timm("test_coatnet", img_size=32),
    _timm("test_convnext"),
    _timm("test_convnext2"),
    _timm("test_convnext3"),
    _timm("test_efficientnet", "classifier"),
    _timm("test_efficientnet_evos", "classifier"),
    _timm("test_efficientnet_gn", "classifier"),
    _timm("test_efficientnet_ln", "classifier"),
    _timm("test_mambaout"),
    _timm("test_maxvit", img_size=32),
    _timm("test_nfnet"),
    _timm("test_resnet", "fc"),
    _timm("test_vit", "head", img_size=32),
    _timm("test_vit2", "head", img_size=32),
    _timm("test_vit3", "head", img_size=32),
    _timm("test_vit4", "head", img_size=32),
    _timm("test_vit_relpos", "head", img_size=32),
    _timm("tiny_vit_5m_224"),
    _timm("tnt_s_legacy_patch16_224", "head", img_size=32, depth=4),
    _timm("vit_tiny_patch16_224", "head", img_size=32),
    _timm("xcit_nano_12_p16_224", "head", img_size=32),
)
"""Those that work."""

REFUSED = (
    (_timm("deit_tiny_distilled_patch16_224", "head", img_size=32), "the head must be the module's last layer"),
    (_timm("efficientformerv2_s0", "head", img_size=32), "the head must be the module's last layer"),
    (_torchvision("squeezenet1_0", "classifier.1"), "the head must be the module's last layer"),
)
"""Those that are refused, and the line."""
