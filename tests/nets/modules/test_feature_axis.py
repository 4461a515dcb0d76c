"""A layer against its own features rotated is the same layer, whichever axis the features are."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import init
from mamlprobe.measure import cca
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.representation.activations import activations, as_rows
from mamlprobe.probe.representation.layer_similarity import similarity
from tests.zoo import orthogonal, tasks_for


class Sequence(nn.Module):
    """Tokens [R, T, D] through one part, be it told rows or sequences first."""

    def __init__(self, part: nn.Module, width: int, *, lead: bool = False, wide: int | None = None) -> None:
        super().__init__()
        self.embed, self.part, self.lead = nn.Linear(6, width), part, lead
        self.fc = nn.Linear(wide or width, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.embed(x.squeeze(1))
        z = self.part(z.transpose(0, 1) if self.lead else z)
        z = z[0] if isinstance(z, tuple) else z
        return self.fc(z.transpose(0, 1).mean(1) if self.lead else z.mean(1))


class Attend(nn.Module):
    """Self-attention with a shortcut."""

    def __init__(self, width: int, first: bool) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(width, 2, batch_first=first), nn.LayerNorm(width)

    def forward(self, z: Tensor) -> Tensor:
        return self.norm(z + self.attention(z, z, z)[0])


class ChannelsLast(nn.Module):
    """A conv whose maps are turned, and a layer on channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.part, self.norm, self.fc = nn.Conv2d(1, 4, 3), Turned(), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.part(self.conv(x))).mean((1, 2)))


class Turned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.lin(z.permute(0, 2, 3, 1)))


class Back(nn.Module):
    """Linear on channels last, given back with channels first, as blocks of ConvNeXt do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.lin = nn.Conv2d(5, 5, 3, padding=1, groups=5), nn.LayerNorm(5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return x + torch.tanh(self.lin(z)).permute(0, 3, 1, 2)


class Pooled(nn.Module):
    """Maps through one part, then their mean over space."""

    def __init__(self, stem: nn.Module, part: nn.Module, width: int) -> None:
        super().__init__()
        self.stem, self.part, self.fc = stem, part, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.part(self.stem(x)).flatten(2).mean(2))


class Channels(nn.Module):
    """Rows of an image as channels of a sequence."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(1)


def encoder(width: int, first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(width, 2, 9, batch_first=first)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


CASES = {
    "tokens": (lambda: Sequence(nn.Sequential(nn.Linear(8, 8), nn.GELU()), 8), 8),
    "as many tokens as features": (lambda: Sequence(nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6), nn.ReLU()), 6), 6),
    "attention": (lambda: Sequence(Attend(8, first=True), 8), 8),
    "attention, as many": (lambda: Sequence(Attend(6, first=True), 6), 6),
    "attention, sequences first": (lambda: Sequence(Attend(8, first=False), 8, lead=True), 8),
    "encoder": (lambda: Sequence(encoder(4, first=True), 4), 4),
    "encoder, sequences first": (lambda: Sequence(encoder(4, first=False), 4, lead=True), 4),
    "lstm": (lambda: Sequence(nn.LSTM(4, 5, batch_first=True), 4, wide=5), 5),
    "gru, sequences first": (lambda: Sequence(nn.GRU(4, 5), 4, lead=True, wide=5), 5),
    "rnn of both ways": (lambda: Sequence(nn.RNN(4, 3, bidirectional=True, batch_first=True), 4, wide=6), 6),
    "channels first": (lambda: Pooled(nn.Conv2d(1, 5, 3), nn.Sequential(nn.BatchNorm2d(5), nn.ReLU()), 5), 5),
    "channels first, as many": (lambda: Pooled(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), 4), 4),
    "channels first again": (lambda: Pooled(nn.Conv2d(1, 5, 3, padding=1), Back(), 5), 5),
    "groups": (lambda: Pooled(nn.Conv2d(1, 4, 3), nn.Sequential(nn.GroupNorm(2, 4), nn.MaxPool2d(2, 1)), 4), 4),
    "channels last": (ChannelsLast, 4),
    "conv1d": (lambda: Pooled(Channels(), nn.Sequential(nn.Conv1d(6, 6, 3, padding=1), nn.ReLU()), 6), 6),
}


@pytest.mark.parametrize("name", CASES)
def test_cca_with_its_own_features_rotated_is_one(name):
    """And with another axis rotated it is not."""
    make, width = CASES[name]
    torch.manual_seed(0)
    net = wrap(make().double(), "fc", layers=["part"], inputs=(1, 6, 6))
    theta, x = init(net, seed=0), torch.randn(2, 40, 1, 6, 6, dtype=torch.float64)
    maps = activations(net, theta, x)["part"]
    assert maps.shape[:2] == (2, 40)
    axis = net.feature_axis("part", maps.shape)
    assert maps.shape[axis] == width
    turned = (maps.movedim(axis, -1) @ orthogonal(width)).movedim(-1, axis)
    rows, others = as_rows(maps, "positions", axis)[0], as_rows(turned, "positions", axis)[0]
    assert rows.shape[1] == width
    assert cca(rows, others) == pytest.approx(1, abs=1e-6)
    place = next(other for other in range(2, maps.ndim) if other != axis)
    wrong = (maps.movedim(place, -1) @ orthogonal(maps.shape[place])).movedim(-1, place)
    assert cca(rows, as_rows(wrong, "positions", axis)[0]) < 0.99


@pytest.mark.parametrize("name", ["tokens", "encoder, sequences first", "channels last", "conv1d"])
def test_the_table_has_the_features_for_its_width(name):
    make, width = CASES[name]
    torch.manual_seed(0)
    net = wrap(make().double(), "fc", layers=["part"])
    method = replace(METHODS["maml"], inner=replace(METHODS["maml"].inner, test_steps=1))
    table = similarity(net, init(net, seed=0), tasks_for("mlp", tasks=2), method, measures=("cca_mean",))
    assert set(table[table["layer"] == "part"]["width"]) == {width}


class Bent(nn.Module):
    """Whose axes are moved where nobody can tell: as many tokens as features."""

    def __init__(self) -> None:
        super().__init__()
        self.part, self.fc = nn.Sequential(nn.Linear(6, 6), Turn()), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.part(x.squeeze(1)).mean(1))


class Turn(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z.transpose(1, 2))


def test_what_cannot_be_known_is_asked_for():
    torch.manual_seed(0)
    module, x = Bent().double(), torch.randn(1, 5, 1, 6, 6, dtype=torch.float64)
    net = wrap(module, "fc", layers=["part"])
    shape = net(add_task_axis(init(net, seed=0).net), x).layers["part"].shape
    with pytest.raises(UserError) as caught:
        net.feature_axis("part", shape)
    assert str(caught.value) == (
        "layers: it must be known which axis of layer 'part' is features, got an output of shape [R, 6, 6]; "
        'say features={"part": "first"} or "last" to wrap, or --features at import'
    )
    for words, axis in (({"part": "first"}, 2), ("first", 2), ({"*": "last"}, 3), ("last", 3)):
        assert wrap(module, "fc", layers=["part"], features=words).feature_axis("part", shape) == axis
    for words, line in (("firts", "axis of features"), ({"fc2": "first"}, "the layer must be a known one")):
        with pytest.raises(UserError, match=line):
            wrap(module, "fc", layers=["part"], features=words)


@pytest.mark.parametrize("rows", [5, 6, 7])
def test_as_many_rows_as_steps(rows):
    """Where sequences lead, rows are the axis that grows with them, also in parts that say nothing of it."""
    torch.manual_seed(0)

    class Led(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn, self.fc = nn.Linear(6, 4), nn.GRU(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.rnn(self.embed(x.squeeze(1).transpose(0, 1)))[0][-1])

    module = Led().double()
    net, x = wrap(module, "fc"), torch.randn(1, rows, 1, 6, 6, dtype=torch.float64)
    found = net(add_task_axis(init(net, seed=0).net), x).layers["embed"][0]
    torch.testing.assert_close(found, module.embed(x[0].squeeze(1)))
