"""What every net is, and what the built ones have in common: shown on each kind of net."""

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.net import FLOATS, ForwardPass, Net
from mamlprobe.nets.wrap import wrap

BUILT = {
    "conv4": conv4(image=(1, 8, 8), way=3, filters=4, blocks=2),
    "mlp": mlp(inputs=64, way=3, hidden=(5, 4), norm="batch"),
}
MODULE = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
NETS = {**BUILT, "module": wrap(MODULE, "4", inputs=(1, 8, 8))}


def drawn(net) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Parameters and moments of two tasks, and images."""
    source = torch.Generator().manual_seed(0)
    params, moments = net.init(source)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    own = {name: draw(2, *value.shape) for name, value in params.items()}
    return own, {name: draw(2, *value.shape).abs() + 0.5 for name, value in moments.items()}, draw(2, 4, 1, 8, 8)


@pytest.mark.parametrize("name", NETS)
def test_each_kind_has_all_that_a_net_has(name):
    net = NETS[name]
    members = [word for word in vars(Net) if not word.startswith("_")]
    assert {"layers", "entries", "parameters", "brief", "head", "feature_axis"} <= set(members)
    assert [word for word in members if not hasattr(net, word)] == []
    assert set(net.parameters.values()) <= set(net.layers)
    assert set(net.entries) <= set(net.layers)
    assert list(net.init(torch.Generator())[0]) == list(net.parameters)
    assert {net.roles(word).partition(".")[0] for word in net.parameters} == {"body", "head"}


@pytest.mark.parametrize("name", NETS)
def test_the_logits_are_the_last_layer_and_the_heads_of_the_features(name):
    """As a linear map of them, where the net says that it is one."""
    net = NETS[name]
    params, _, x = drawn(net)
    passed = net(params, x)
    assert list(passed.layers) == list(net.layers)
    assert passed.logits is passed.layers[net.layers[-1]]
    weight, bias = (params[word] for word in net.parameters if net.roles(word).startswith("head."))
    assert net.linear
    assert net.slope_at_zero
    wanted = torch.einsum("brf,bnf->brn", passed.features, weight) + bias.unsqueeze(1)
    torch.testing.assert_close(passed.logits, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BUILT)
def test_a_brief_pass_of_a_built_net_is_a_call_with_the_same_options(name):
    net = BUILT[name]
    params, moments, x = drawn(net)
    entry = net.entries[0]
    features = net(params, x, end=entry).features
    for rows, how in (
        (x, {}),
        (x, {"moments": moments}),
        (x, {"collect": True}),
        (x, {"end": entry, "collect": True}),
        (features, {"begin": entry, "moments": moments}),
    ):
        found, wanted = net.brief(params, rows, **how), net(params, rows, **how)
        torch.testing.assert_close(found.layers, wanted.layers, rtol=0, atol=0)
        torch.testing.assert_close(found.features, wanted.features, rtol=0, atol=0)
        torch.testing.assert_close(found.moments, wanted.moments, rtol=0, atol=0)
    given, own = (net.brief(params, x, moments=each).logits for each in (moments, None))
    assert not torch.allclose(given, own)


@pytest.mark.parametrize("name", BUILT)
def test_built_nets_record_all_layers_and_compute_tasks_together(name):
    """A row's outputs depend on other rows, by the norms: they are not said to be rowwise."""
    net = BUILT[name]
    params, _, x = drawn(net)
    assert net.full is net
    assert net.together(x)
    assert not net.rowwise
    assert not torch.allclose(net(params, x[:, :2]).logits, net(params, x).logits[:, :2])
    whole = net(params, x)
    for task in range(2):
        own = {word: value[task : task + 1] for word, value in params.items()}
        torch.testing.assert_close(net(own, x[task : task + 1]).logits[0], whole.logits[task], rtol=1e-9, atol=1e-9)
    for layer, value in whole.layers.items():
        width = {"conv1": 4, "conv2": 4, "fc1": 5, "fc2": 4, "head": 3}[layer]
        assert value.shape[net.feature_axis(layer, value.shape)] == width


@pytest.mark.parametrize("name", BUILT)
def test_initial_tensors_are_of_one_kind_whatever_torchs_defaults(name):
    before = BUILT[name].init(torch.Generator().manual_seed(3))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            after = BUILT[name].init(torch.Generator("cpu").manual_seed(3))
    finally:
        torch.set_default_dtype(torch.float32)
    for one, two in zip(before, after, strict=True):
        assert {(value.dtype, str(value.device)) for value in two.values()} == {(FLOATS["dtype"], FLOATS["device"])}
        assert all(torch.equal(value, two[word]) for word, value in one.items())


def test_a_pass_that_ended_early_has_the_last_layer_that_ran():
    passed = ForwardPass(layers={"a": torch.zeros(1, 2, 3), "b": torch.ones(1, 2, 4)}, features=torch.zeros(1, 2, 4))
    assert passed.logits is passed.layers["b"]
    assert passed.moments == {}
    assert "b" in repr(passed)
    assert "[1, 2, 4]" in repr(passed)
