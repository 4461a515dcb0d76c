"""A pass can end before a layer and another begin with its input: in two parts what it is as a whole."""

import itertools

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets import conv4 as conv4_module
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.params import adapting, unchanged_entries
from mamlprobe.nets.wrap import wrap

torch.manual_seed(0)
NETS = {
    "fast": conv4(image=(1, 8, 8), way=3, filters=4, blocks=3),
    "general": conv4(image=(1, 8, 8), way=3, filters=4, blocks=3),
    "strided": conv4(image=(1, 8, 8), way=3, filters=4, blocks=3, order="conv-relu-bn", down="stride"),
    "mlp": mlp(inputs=64, way=3, hidden=(5, 4, 6), activation="tanh", norm="batch"),
    "module": wrap(
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(108, 3)), head="4"
    ),
}
SPLITS = [(name, entry) for name, net in NETS.items() for entry in net.entries]


def made(net, tasks):
    """Parameters [B or 1, ...] that need gradients, and moments [B, C], in float64."""
    source = torch.Generator().manual_seed(0)
    plain, moments = net.init(source)

    def drawn(value, count):
        return torch.randn(count, *value.shape, generator=source, dtype=torch.float64)

    params = {n: drawn(v, 1 if i % 3 == 0 else tasks).requires_grad_() for i, (n, v) in enumerate(plain.items())}
    return params, {n: drawn(v, tasks).abs() + 0.5 for n, v in moments.items()}


@pytest.mark.parametrize("regime", ["own", "given", "collect"])
@pytest.mark.parametrize(("name", "entry"), SPLITS)
def test_two_parts_are_the_whole(monkeypatch, name, entry, regime):
    """Layers, moments, and the slopes of everything, once and twice."""
    net = NETS[name]
    if name in ("fast", "general"):
        monkeypatch.setattr(conv4_module, "fast", lambda x: name == "fast")
    params, moments = made(net, 2)
    x = torch.randn(2, 4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    how = {"moments": moments if regime == "given" else None, "collect": regime == "collect"}
    first = net(params, x, end=entry, **how)
    second = net(params, first.features, begin=entry, **how)
    whole = net(params, x, **how)
    names = list(net.layers)
    assert names[: names.index(entry)] == list(first.layers)
    assert names[names.index(entry) :] == list(second.layers)
    torch.testing.assert_close({**first.layers, **second.layers}, whole.layers, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close({**first.moments, **second.moments}, whole.moments, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(second.features, whole.features, rtol=1e-12, atol=1e-12)
    found = []
    for logits in (second.logits, whole.logits):
        slopes = torch.autograd.grad(logits.square().mean(), params.values(), create_graph=True)
        again = torch.autograd.grad(sum(s.square().mean() for s in slopes), params.values())
        found.append([*slopes, *again])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_what_lies_between_two_entries(name):
    """From one entry to another only the layers between run."""
    net = NETS[name]
    params, _ = made(net, 2)
    x = torch.randn(2, 4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs = {entry: net(params, x, end=entry).features for entry in net.entries}
    for begin, end in itertools.combinations(net.entries, 2):
        found = net(params, inputs[begin], begin=begin, end=end)
        assert list(found.layers) == list(net.layers[net.layers.index(begin) : net.layers.index(end)])
        torch.testing.assert_close(found.features, inputs[end], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", ["begin", "end"])
@pytest.mark.parametrize(("name", "layer"), [("fast", "conv1"), ("mlp", "fc1"), ("module", "0"), ("general", "conv4")])
def test_other_layers_are_no_entries(name, layer, side):
    net = NETS[name]
    with pytest.raises(UserError, match=f"pass: the entry must be a known one, got '{layer}'; "):
        net(made(net, 1)[0], torch.zeros(1, 4, 1, 8, 8, dtype=torch.float64), **{side: layer})


@pytest.mark.parametrize(
    ("name", "patterns", "wanted"),
    [
        ("fast", (), ("conv2", "conv3", "head")),
        ("fast", ("head.bias",), ("conv2", "conv3", "head")),
        ("fast", ("body.3.norm.bias", "head"), ("conv2", "conv3")),
        ("fast", ("conv3", "conv2"), ("conv2",)),
        ("fast", ("*",), ()),
        ("fast", ("body.1.conv.bias",), ()),
        ("mlp", ("*", "!fc1"), ("fc2",)),
        ("module", ("4",), ("4",)),
        ("module", ("*", "!0"), ()),
    ],
)
def test_entries_before_what_adapts(name, patterns, wanted):
    assert unchanged_entries(NETS[name], adapting(NETS[name], patterns)) == wanted


class Scaled(nn.Module):
    """A parameter of the module itself belongs to no layer; where there is but one layer, that is the head."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(64))
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        return self.fc(self.scale * x.flatten(1))


def test_a_parameter_of_no_layer_comes_before_all():
    net = wrap(Scaled(), head="fc")
    assert unchanged_entries(net, ("fc.weight",)) == ("fc",)
    assert unchanged_entries(net, ("scale",)) == ()
