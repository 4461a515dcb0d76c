"""Named activations: the net's own forward pass, whatever form the parameters come in."""

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.representation.activations import FEATURES, activations, as_rows, record
from tests.oracles import TwinConv
from tests.probe.cases import CONV, NETS, method, start

NET, _ = NETS["conv"]


def blocks(twin: TwinConv, weights, x):
    """Outputs of the twin's blocks and head for one task's rows, block by block."""
    found, z = {}, x
    for number in ("1", "2"):
        part = {n.removeprefix(f"body.{number}."): v for n, v in weights.items() if n.startswith(f"body.{number}.")}
        z = torch.func.functional_call(twin.body[number], part, (z,))
        found[f"conv{number}"] = z
    found["head"] = z.flatten(1) @ weights["head.weight"].T + weights["head.bias"]
    return found


@pytest.mark.parametrize("name", NETS)
def test_is_the_nets_forward_pass(classes, name):
    net, _ = NETS[name]
    theta, episodes = start(net), classes()
    wanted = net(add_task_axis(theta.net), episodes.query_x).layers
    for given in (theta, theta.net, add_task_axis(theta.net)):
        maps, flat = activations(net, given, episodes.query_x), record(net, given, episodes.query_x)
        assert list(maps) == list(flat) == list(net.layers)
        for layer, value in wanted.items():
            torch.testing.assert_close(maps[layer], value, rtol=0, atol=0)
            assert flat[layer].shape == (episodes.tasks, episodes.query_x.shape[1], value[0, 0].numel())
            torch.testing.assert_close(flat[layer], value.reshape(flat[layer].shape), rtol=0, atol=0)


def test_shapes_of_maps(classes):
    maps = activations(NET, start(NET), classes().query_x)
    assert {n: tuple(v.shape) for n, v in maps.items()} == {
        "conv1": (3, 6, 3, 4, 4),
        "conv2": (3, 6, 3, 2, 2),
        "head": (3, 6, 3),
    }


@pytest.mark.parametrize("adapts", ["*", "head.*"])
def test_a_path_task_by_task(classes, adapts):
    """Every entry of a path, from `adapt_tasks` or with shared parameters still of size 1, against the twin."""
    theta, episodes, chosen = start(NET), classes(), method(adapts, steps=2)
    twin = TwinConv(**CONV).double()
    spread = adapt_tasks(NET, theta, episodes, chosen)
    _, shared = inner_paths(NET, theta, episodes, chosen, stage="test", track="none")
    for whole, lean in zip(spread, shared):
        found = activations(NET, whole, episodes.support_x)
        other = activations(NET, lean, episodes.support_x)
        for b in range(episodes.tasks):
            wanted = blocks(twin, {n: v[b] for n, v in whole.items()}, episodes.support_x[b])
            for layer, value in wanted.items():
                torch.testing.assert_close(found[layer][b], value, rtol=0, atol=1e-10)
                torch.testing.assert_close(other[layer][b], value, rtol=0, atol=1e-10)
    head = [record(NET, at, episodes.support_x)["head"] for at in spread]
    assert (head[0] - head[2]).abs().max() > 1e-2


def test_only_the_layers_asked_for_in_that_order(classes):
    found = record(NET, start(NET), classes().query_x, layers=["head", "conv1"])
    assert list(found) == ["head", "conv1"]
    torch.testing.assert_close(found["conv1"], record(NET, start(NET), classes().query_x)["conv1"], rtol=0, atol=0)


def test_no_graph_and_nothing_changed(classes):
    theta, x = start(NET), classes().query_x
    live = {n: v.clone().requires_grad_() for n, v in theta.net.items()}
    before = x.clone()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda at: at):
        found = record(NET, live, x.requires_grad_())
    assert not saved
    assert not any(v.requires_grad or v.grad_fn for v in found.values())
    assert all(v.grad is None and v.requires_grad for v in live.values())
    assert all(torch.equal(live[n], v) for n, v in theta.net.items())
    assert torch.equal(x, before)
    assert torch.is_grad_enabled()


class Overwriting(nn.Module):
    """Conv and norm outputs that the next operation writes into, where `inplace` says so."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(108, 3)
        self.relu = nn.ReLU(inplace=inplace)
        self.inplace = inplace

    def forward(self, x):
        """Logits."""
        z = self.relu(self.conv(x))
        z = self.relu(self.norm(z))
        z = z.mul_(2) if self.inplace else z * 2
        return self.fc(z.flatten(1))


def test_in_place_operations_do_not_reach_what_was_recorded(classes):
    torch.manual_seed(0)
    plain, sly = Overwriting(False), Overwriting(True)
    sly.load_state_dict(plain.state_dict())
    layers = ("conv", "norm", "relu")
    nets = [wrap(module.double(), "fc", layers=layers) for module in (plain, sly)]
    x = classes().query_x
    wanted, found = (record(net, start(net), x) for net in nets)
    assert list(found) == ["conv", "norm", "relu", "fc"]
    for layer, value in wanted.items():
        torch.testing.assert_close(found[layer], value, rtol=0, atol=1e-12)
    assert wanted["conv"].min() < -0.1
    assert wanted["norm"].min() < -0.1
    assert wanted["relu"].min() == 0


def test_unknown_layer(classes):
    with pytest.raises(UserError) as error:
        record(NET, start(NET), classes().query_x, layers=["conv3"])
    assert str(error.value) == "record: the layer must be a known one, got 'conv3'; did you mean conv2, conv1?"


def test_parameters_of_another_net(classes):
    given = dict(start(NET).net)
    given["head.scale"] = given.pop("head.bias")
    with pytest.raises(UserError) as error:
        record(NET, given, classes().query_x)
    assert str(error.value) == (
        "record: the parameters must be the net's, got ['head.bias', 'head.scale']; use the net they were trained with"
    )


@pytest.mark.parametrize("lift", [False, True])
def test_parameters_of_another_width(classes, lift):
    wide = start(conv4(**{**CONV, "filters": 4})).net
    with pytest.raises(UserError) as error:
        record(NET, add_task_axis(wide) if lift else wide, classes().query_x)
    assert str(error.value) == (
        f"record: body.1.conv.weight must be [3, 1, 3, 3] or [B, ...] of that, got {[1] * lift + [4, 1, 3, 3]}; "
        "use the net they were trained with"
    )


def test_rows_of_maps_by_loops():
    maps = torch.arange(2 * 3 * 4 * 2 * 5, dtype=torch.float64).reshape(2, 3, 4, 2, 5).sin()
    positions, pooled, flattened = (as_rows(maps, word) for word in FEATURES)
    assert positions.shape == (2, 30, 4)
    assert pooled.shape == (2, 3, 4)
    assert flattened.shape == (2, 3, 40)
    for b in range(2):
        row = 0
        for r in range(3):
            for c in range(4):
                pixels = [float(maps[b, r, c, h, w]) for h in range(2) for w in range(5)]
                assert float(pooled[b, r, c]) == pytest.approx(sum(pixels) / 10, abs=1e-12)
                assert flattened[b, r, 10 * c : 10 * c + 10].tolist() == pixels
            for h in range(2):
                for w in range(5):
                    assert positions[b, row].tolist() == [float(maps[b, r, c, h, w]) for c in range(4)]
                    row += 1


@pytest.mark.parametrize("word", FEATURES)
def test_rows_of_vectors_stay(word):
    rows = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(as_rows(rows, word), rows)


def test_unknown_way_to_make_rows():
    with pytest.raises(UserError) as error:
        as_rows(torch.zeros(1, 2, 3), "pixels")
    assert str(error.value) == (
        "record: the way to make features must be a known one, got 'pixels'; did you mean positions, pooled, flattened?"
    )
