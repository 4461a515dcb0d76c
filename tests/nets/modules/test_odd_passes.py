"""Forward passes that no answer could be right for are told in one line; whole and complex parameters stay."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.weight_change import weight_distance
from mamlprobe.probe.contrast.decomposition import decompose

SHAPE = (1, 3, 3)


class Base(nn.Module):
    """A body and a head, and whatever a test adds."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Tanh()), nn.Linear(5, 3)
        self.more()

    def more(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x))


class Renormed(Base):
    def forward(self, x: Tensor) -> Tensor:
        self.fc.weight.data = torch.renorm(self.fc.weight.data, 2, 0, 0.1)
        return super().forward(x)


class Clamped(Base):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.body[1].weight.clamp_(-0.1, 0.1)
        return super().forward(x)


class MaxNorm(Base):
    def more(self) -> None:
        self.words = nn.Embedding(9, 9, max_norm=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.words(x.flatten(1).abs().long().clamp(max=8)).mean(1))


class Rerun(Base):
    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(checkpoint(self.body, x, use_reentrant=self.reentrant))


class Reentrant(Rerun):
    reentrant = True


class Scaled(Base):
    def more(self) -> None:
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * super().forward(x)


class Skip(Base):
    def more(self) -> None:
        self.skip = nn.Parameter(torch.zeros(9, 3))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x.flatten(1) @ self.skip


class Later(Base):
    """Times ten behind a head of zeros: equal to it by its numbers alone."""

    def more(self) -> None:
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        return 10 * super().forward(x)


REFUSED = {
    Renormed: "writes into fc.weight",
    Clamped: "writes into body.1.weight",
    MaxNorm: "writes into words.weight",
    Rerun: "torch.utils.checkpoint",
    Reentrant: "torch.utils.checkpoint",
    Scaled: "the head must be the module's last layer",
    Skip: "the head must be the module's last layer",
    Later: "the head must be the module's last layer",
}


@pytest.mark.parametrize("name", ["maml", "anil"])
@pytest.mark.parametrize("kind", REFUSED)
def test_refused(classes, kind, name):
    torch.manual_seed(0)
    module, episodes = kind().double(), classes(shape=SHAPE)
    before = {key: value.clone() for key, value in module.state_dict().items()}

    def used() -> None:
        net = wrap(module, "fc", inputs=SHAPE)
        evaluate(net, init(net, seed=0), episodes, {"keep": METHODS[name]})

    with pytest.raises(UserError, match=REFUSED[kind]):
        used()
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in before.items())


class Turned(Base):
    """An order of the inputs as a parameter of whole numbers, and one number that scales."""

    def more(self) -> None:
        self.order = nn.Parameter(torch.arange(9).flip(0), requires_grad=False)
        self.size = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.size * self.body(x.flatten(1)[:, self.order]))


def test_whole_numbers_and_single_ones(classes):
    torch.manual_seed(0)
    net, episodes = wrap(Turned().double(), "fc", inputs=SHAPE), classes(shape=SHAPE)
    theta = init(net, seed=0).to(dtype=torch.float32).to(dtype=torch.float64)
    assert theta.net["order"].dtype == torch.int64
    gradients, _ = meta_gradient(net, theta, episodes, METHODS["maml"])
    assert not gradients["order"].any()
    assert gradients["size"].abs() > 0
    table = weight_distance(net, theta, episodes, METHODS["maml"])
    assert set(table["layer"]) == set(net.parameters.values())
    assert (table["value"] > 0).all()


def test_fixed_parameters_have_no_terms(classes):
    torch.manual_seed(0)
    module = Base().double()
    module.body.requires_grad_(False)
    net, episodes = wrap(module, "fc", inputs=SHAPE), classes(shape=SHAPE)
    theta = init(net, seed=0)
    method = replace(METHODS["fomaml"], inner=replace(METHODS["fomaml"].inner, steps=2))
    found, _ = meta_gradient(net, theta, episodes, method)
    total = decompose(net, theta, episodes, method).total
    assert set(total) == {"body.1.weight", "body.1.bias"}
    assert all(torch.equal(total[name].mean(0), found[name]) for name in total)


class Aside(Base):
    """An auxiliary head that runs behind the head."""

    def more(self) -> None:
        self.aside = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.body(x)
        return self.fc(z), self.aside(z)


def test_what_runs_behind_the_head_is_no_layer(classes):
    torch.manual_seed(0)
    net = wrap(Aside().double(), "fc", inputs=SHAPE)
    assert "aside" not in net.layers
    evaluate(net, init(net, seed=0), classes(shape=SHAPE), {"keep": METHODS["maml"]})
    with pytest.raises(UserError, match="layers must run before the head, got 'aside' behind 'fc'"):
        wrap(Aside().double(), "fc", layers=["body", "aside"], inputs=SHAPE)
