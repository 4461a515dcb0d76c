"""What a look at a pass tells, and the modules that it refuses."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import init
from mamlprobe.nets.modules.trial_inputs import tried
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap
from tests.zoo import ZOO, made


class Noisy(nn.Module):
    """A net whose features go through a function; its inputs can be guessed, or not."""

    def __init__(self, through, known: bool) -> None:
        super().__init__()
        self.body, self.fc, self.through, self.known = nn.Linear(36, 5), nn.Linear(5, 3), through, known
        self.draws = torch.Generator()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1) if self.known else x.reshape(len(x), 2, 36).sum(1)
        return self.fc(self.through(self, torch.tanh(self.body(rows))))


def passed(module: nn.Module, x: Tensor) -> Tensor:
    """Logits of a first pass."""
    net = wrap(module, "fc")
    return net(add_task_axis(init(net, seed=0).net), x).logits


RANDOM = {
    "dropout": lambda m, z: F.dropout(z, 0.5),
    "noise": lambda m, z: z + torch.randn_like(z),
    "a generator of its own": lambda m, z: z + torch.randn(z.shape, generator=m.draws, dtype=z.dtype),
    "drawn in place": lambda m, z: z + torch.zeros_like(z).normal_(generator=m.draws),
    "numpy": lambda m, z: z * np.random.rand(),  # noqa: NPY002
    "Python": lambda m, z: z * random.random(),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", RANDOM)
def test_random_passes_are_refused(name, known):
    module, x = Noisy(RANDOM[name], known).double(), torch.ones(1, 4, 36 if known else 72).double()
    assert (tried(module) is None) != known
    with pytest.raises(UserError) as caught:
        passed(module, x)
    assert str(caught.value) == (
        "wrap: the module must give the same for the same input in evaluation mode, got a forward pass that draws "
        "random numbers; call F.dropout with training=self.training, and give noise as an input or a buffer"
    )


def test_dropout_that_knows_the_mode_is_none():
    module = Noisy(lambda m, z: F.dropout(z, 0.5, training=m.training), known=True).double()
    net = wrap(module, "fc")
    assert net(add_task_axis(init(net, seed=0).net), torch.ones(1, 4, 36).double()).logits.shape == (1, 4, 3)
    assert module.training


@pytest.mark.parametrize("known", [True, False])
def test_a_function_that_holds_the_parts_of_another_is_refused(known):
    """Also where inputs are not guessed: then at the first pass."""
    module = Noisy(lambda m, z: z, known).double()
    inside = module.forward
    module.forward = lambda x: module.fc(torch.relu(module.body(x if known else x[:, :36])))
    assert inside != module.forward
    if not known:
        kept = module.forward

        def forward(x: Tensor) -> Tensor:
            assert x.shape[1] == 72
            return kept(x)

        module.forward = forward
    with pytest.raises(UserError, match="a forward pass must call the module's own parts"):
        passed(module, torch.ones(1, 4, 36 if known else 72).double())


@pytest.mark.parametrize("name", ZOO)
def test_a_look_leaves_random_numbers_and_module_alone(name):
    module = made(name).eval()
    before = torch.random.get_rng_state()
    seen, kept = [vars(part).copy() for part in module.modules()], module.state_dict()
    kept = {key: value.clone() for key, value in kept.items()}
    tried(module)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, kept[key]) for key, value in module.state_dict().items())
    for part, words in zip(module.modules(), seen):
        assert all(vars(part)[word] is value for word, value in words.items())


def test_an_example_or_its_shape_tells_what_is_not_guessed():
    module = Noisy(lambda m, z: z, known=False)
    x = torch.ones(3, 72)
    for inputs in (x, (72,), x[:1], x.double()):
        assert wrap(module, "fc", inputs=inputs).known is not None
    with pytest.raises(UserError, match=r"must run on float32 inputs of shape \[R, 71\]"):
        wrap(module, "fc", inputs=(71,))
