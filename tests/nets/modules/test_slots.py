"""A pass fills the places of a module's tensors and gives them back."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from mamlprobe.nets.modules.slots import Places

CPU = torch.device("cpu")


class Tied(nn.Module):
    """One weight in two places, a buffer that a pass writes into, and one that two parts share."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.b.weight = self.a.weight
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("scale", torch.full((4,), 0.5))
        self.fc.register_buffer("scale", self.scale)
        self.register_buffer("absent", None)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.fc(self.b(torch.tanh(self.a(x))) * self.scale + self.fc.scale) * self.calls


def drawn(module, dtype=torch.float32):
    source = torch.Generator().manual_seed(1)
    return {n: torch.randn(v.shape, generator=source, dtype=dtype) for n, v in module.named_parameters()}


def test_what_lies_there_is_what_functional_call_puts_there():
    module, x = Tied(), torch.randn(2, 4)
    before, params = {n: v.clone() for n, v in module.state_dict().items()}, drawn(module)
    own = dict(module.named_parameters())
    with Places(module).filled(params, CPU):
        found = module(x)
        assert module.b.weight is module.a.weight is params["a.weight"]
    assert all(value is own[name] for name, value in module.named_parameters())
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)
    wanted = functional_call(module, {**params, "calls": torch.zeros(()), "scale": before["scale"].clone()}, (x,))
    assert torch.equal(found, wanted)


def test_places_are_given_back_after_an_error():
    module = Tied()
    own = dict(module.named_parameters())
    with pytest.raises(RuntimeError), Places(module).filled(drawn(module), CPU):
        module(torch.randn(2, 5))
    assert all(value is own[name] for name, value in module.named_parameters())
    assert module.calls == 0


def test_buffers_follow_the_parameters_to_another_precision():
    module = Tied()
    with Places(module).filled(drawn(module, torch.float64), CPU):
        assert module(torch.randn(2, 4, dtype=torch.float64)).dtype == torch.float64
        assert module.scale.dtype == torch.float64
        assert module.fc.scale is module.scale
    assert module.scale.dtype == torch.float32
