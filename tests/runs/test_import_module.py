import pytest
import torch
from safetensors.torch import save_file

from mamlprobe.base.errors import UserError
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.import_weights import import_state_dict, write_run

SOURCE = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 36, 3)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).flatten(1) * self.scale)
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A module with weights and running moments that its constructor would not give."""
    name = f"small_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    made = __import__(name).Small()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in made.parameters():
            value.copy_(torch.randn(value.shape, generator=generator))
        made.norm.running_mean.copy_(torch.randn(4, generator=generator))
        made.norm.running_var.copy_(torch.rand(4, generator=generator) + 0.5)
    return made, f"{name}:Small"


def agrees(path, small, tmp_path):
    """The imported run's net with its running moments is the module in evaluation mode."""
    made, name = small
    experiment, theta = import_state_dict(path, module=name, head="fc", image=(1, 8, 8))
    assert (experiment.recipe, experiment.way, experiment.updates) == ("state_dict", 3, 0)
    run = load_run(write_run(experiment, theta, tmp_path / "run", source=path).path, module=type(made))
    net, theta = run.net(), run.theta()
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    params, moments = ({n: v.unsqueeze(0) for n, v in part.items()} for part in (theta.net, theta.moments))
    torch.testing.assert_close(net(params, x.unsqueeze(0), moments=moments).logits[0], made.eval()(x))
    assert len(moments) == 2


WRAPPINGS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer": {"lr": 0.1}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "nested prefix": lambda state: {"state_dict": {f"net.module.{name}": value for name, value in state.items()}},
    "old torch": lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS.values(), ids=WRAPPINGS)
def test_the_import_is_the_module(small, tmp_path, wrapping):
    path = tmp_path / "net.pth"
    torch.save(wrapping(small[0].state_dict()), path)
    agrees(path, small, tmp_path)


def test_safetensors_too(small, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(small[0].state_dict(), path)
    agrees(path, small, tmp_path)


def test_names_and_shapes_that_do_not_fit_are_all_named(small, tmp_path):
    made, name = small
    path = tmp_path / "net.pt"

    def message(state):
        torch.save(state, path)
        with pytest.raises(UserError) as caught:
            import_state_dict(path, module=name, head="fc")
        return str(caught.value)

    state = made.state_dict()
    fewer = {each: value for each, value in state.items() if each not in ("conv.bias", "norm.running_mean")}
    start, end = "import state_dict: the file must hold the net's tensors, got one ", "; name the net it was made with"
    assert message(fewer) == f"{start}without conv.bias, norm.running_mean{end}"
    assert message({**state, "extra": torch.ones(1)}) == f"{start}with an unknown extra{end}"
    other = {**fewer, "fc.bias": torch.ones(7), "extra": torch.ones(1)}
    wanted = "without conv.bias, norm.running_mean; with an unknown extra; with fc.bias [7] instead of [3]"
    assert message(other) == f"{start}{wanted}{end}"
