"""The zoo: classifiers of torchvision and of timm with random weights, for images as small as each takes."""

from dataclasses import dataclass, field
from functools import cache
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
    pytest.importorskip("torchvision.version", reason="torchvision is not installed")
    if not _KEPT and not hasattr(torch.ops.torchvision, "nms"):
        _KEPT.append(torch.library.Library("torchvision", "DEF"))  # operators last as long as it does
        for operator in OPERATORS:
            _KEPT[0].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    found: ModuleType = pytest.importorskip(name, reason=f"{name} is not installed")
    return found


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
    slow: bool = False
    """Whether its test takes longer than ten seconds."""

    def build(self) -> nn.Module:
        """The net in float64, its random weights always the same."""
        torch.manual_seed(0)
        if self.source == "timm":
            module: nn.Module = package("timm").create_model(self.name, num_classes=WAY, **self.words)
        else:
            module = getattr(package("torchvision").models, self.name)(num_classes=WAY, **self.words)
        return module.double()


def _torchvision(name: str, head: str, side: int = 32, *, slow: bool = False, **words: Any) -> Zoo:
    return Zoo(name=name, head=head, side=side, words=words, slow=slow)


def _timm(name: str, head: str = "head.fc", side: int = 32, **words: Any) -> Zoo:
    return Zoo(name=name, head=head, side=side, words=words, source="timm")


NETS = (
    _torchvision("alexnet", "classifier.6", 64),
    _torchvision("convnext_tiny", "classifier.2"),
    _torchvision("densenet121", "classifier", block_config=(2, 3, 4, 2)),
    _torchvision("efficientnet_b0", "classifier.1"),
    _torchvision("efficientnet_v2_s", "classifier.1"),
    _torchvision("googlenet", "fc", init_weights=False),
    _torchvision("inception_v3", "fc", 75, init_weights=False),
    _torchvision("maxvit_t", "classifier.5", 224, slow=True),
    _torchvision("mnasnet0_5", "classifier.1"),
    _torchvision("mobilenet_v2", "classifier.1", width_mult=0.5),
    _torchvision("mobilenet_v3_small", "classifier.3"),
    _torchvision("regnet_x_400mf", "fc"),
    _torchvision("regnet_y_400mf", "fc"),
    _torchvision("resnet18", "fc"),
    _torchvision("resnet50", "fc", width_per_group=16),
    _torchvision("shufflenet_v2_x0_5", "fc"),
    _torchvision("squeezenet1_1", "classifier"),
    _torchvision("swin_t", "head"),
    _torchvision("swin_v2_t", "head"),
    _torchvision("vgg11", "classifier.6"),
    _torchvision("vit_b_16", "heads.head", 224, slow=True),
    _timm("botnet26t_256"),
    _timm("cait_xxs24_224", "head", img_size=32),
    _timm("convit_tiny", "head", img_size=32),
    _timm("convmixer_768_32", "head", depth=4),
    _timm("convnextv2_atto"),
    _timm("convnextv2_femto"),
    _timm("deit_tiny_patch16_224", "head", img_size=32),
    _timm("dla46_c", "fc"),
    _timm("edgenext_xx_small"),
    _timm("efficientvit_b0", "head.classifier.4"),
    _timm("efficientvit_m0", "head.linear"),
    _timm("fastvit_t8"),
    _timm("fasternet_t0", "classifier"),
    _timm("ghostnet_050", "classifier"),
    _timm("gmlp_ti16_224", "head", img_size=32, num_blocks=4),
    _timm("hardcorenas_a", "classifier"),
    _timm("hiera_tiny_224", img_size=32),
    _timm("inception_next_atto", "head.fc2"),
    _timm("lambda_resnet26t"),
    _timm("lcnet_050", "classifier"),
    _timm("levit_128s", "head.linear", img_size=32, distilled=False),
    _timm("mambaout_femto"),
    _timm("mixer_s32_224", "head", img_size=32),
    _timm("mixnet_s", "classifier"),
    _timm("mobileone_s0"),
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
    _timm("sequencer2d_s"),
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
    _timm("tiny_vit_5m_224", img_size=32),
    _timm("tnt_s_legacy_patch16_224", "head", img_size=32, depth=4),
    _timm("vit_tiny_patch16_224", "head", img_size=32),
    _timm("xcit_nano_12_p16_224", "head", img_size=32),
)
"""Those that work."""

REFUSED = (
    (_timm("deit_tiny_distilled_patch16_224", "head", img_size=32), "the head must be the module's last layer"),
    (_timm("efficientformerv2_s0", "head"), "the head must be the module's last layer"),
    (_torchvision("squeezenet1_0", "classifier.1"), r"the head 'classifier.1' must give logits \[R, N\]"),
)
"""Those that are refused, and the line."""
