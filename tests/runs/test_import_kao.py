import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets.from_spec import build
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.import_weights import import_kao, write_run


def state(*, blocks=4, filters=6, side=5, channels=3, bias=True, seed=0):
    """Tensors named and ordered as in the files of Kao et al., random."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator) * 0.3

    tensors = []
    for block in range(blocks):
        inputs = channels if block == 0 else filters
        tensors += [draw(filters, inputs, 3, 3), draw(filters), 1 + draw(filters), draw(filters)]
    tensors += [draw(5, filters * side * side)] + [draw(5)] * bias
    found = OrderedDict((f"vars.{i}", value) for i, value in enumerate(tensors))
    for block in range(blocks):
        found[f"vars_bn.{2 * block}"], found[f"vars_bn.{2 * block + 1}"] = draw(filters), draw(filters).exp()
    return found


def saved(path, tensors, **words):
    """A file as the authors' code makes it, with the optimizer's state beside the weights."""
    torch.save({"model_state_dict": tensors, "optimizer_state_dict": {"state": {}}, **words}, path)
    return path


def modules(tensors, blocks=4):
    """The authors' net out of torch's own modules, with the statistics of the batch."""
    values = iter(tensors.values())
    parts = []
    for _ in range(blocks):
        weight, bias, scale, shift = (next(values) for _ in range(4))
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        norm = nn.BatchNorm2d(weight.shape[0], track_running_stats=False)
        conv.load_state_dict({"weight": weight, "bias": bias})
        norm.load_state_dict({"weight": scale, "bias": shift})
        parts += [conv, nn.ReLU(), norm, nn.MaxPool2d(2)]
    weight = next(values)
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": next(values) if "vars.17" in tensors else torch.zeros(5)})
    return nn.Sequential(*parts, nn.Flatten(), head).double()


@pytest.mark.parametrize("bias", [True, False])
def test_the_imported_net_is_the_authors_function(tmp_path, bias):
    tensors = state(bias=bias)
    experiment, theta = import_kao(saved(tmp_path / "net.pt", tensors, epoch=0, step=200))
    assert experiment.net.image == (3, 84, 84)
    assert (experiment.net.blocks, experiment.net.filters, experiment.net.head_bias) == (4, 6, bias)
    net = build(experiment.net, way=experiment.way)
    x = torch.randn(1, 5, 3, 84, 84, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    here = net({name: value.double().unsqueeze(0) for name, value in theta.net.items()}, x).logits[0]
    torch.testing.assert_close(here, modules(tensors)(x[0]), rtol=1e-9, atol=1e-9)
    assert torch.equal(theta.moments["body.3.norm.mean"], tensors["vars_bn.4"])
    assert torch.equal(theta.moments["body.3.norm.var"], tensors["vars_bn.5"])


def test_the_order_of_the_file_does_not_matter_but_the_numbers_do(tmp_path):
    tensors = state()
    shuffled = OrderedDict((name, tensors[name]) for name in sorted(tensors))
    assert list(shuffled)[2] == "vars.10"
    one, two = (import_kao(saved(tmp_path / "net.pt", each))[1].net for each in (tensors, shuffled))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_settings_for_the_test(tmp_path):
    path = saved(tmp_path / "net.pt", state())
    experiment, _ = import_kao(path)
    method = experiment.method
    assert (experiment.recipe, experiment.way, experiment.updates) == ("kao", 5, 0)
    assert (experiment.data.dataset, experiment.data.size) == ("tinyimagenet-fs", 84)
    assert experiment.data.normalise == "imagenet"
    assert (method.inner.lr, method.inner.steps, method.inner.test_steps) == (0.01, 5, 10)
    assert (method.inner.adapts, method.norm.statistics) == (("*",), "batch")
    assert import_kao(path, inner_lr=0.1)[0].method.inner.lr == 0.1


@pytest.mark.parametrize(
    ("words", "image"),
    [
        ({"side": 1, "channels": 1}, (1, 28, 28)),
        ({"side": 4}, (3, 64, 64)),
        ({"side": 2, "blocks": 3}, (3, 16, 16)),
        ({"side": 3}, (3, 48, 48)),
    ],
)
def test_images_follow_from_the_head(tmp_path, words, image):
    assert import_kao(saved(tmp_path / "net.pt", state(**words)))[0].net.image == image


def test_images_can_be_given(tmp_path):
    path = saved(tmp_path / "net.pt", state())
    assert import_kao(path, image=(3, 80, 80))[0].net.image == (3, 80, 80)
    with pytest.raises(UserError, match=r"one with head.weight \[5, 150\] instead of \[5, 24\]; name the net"):
        import_kao(path, image=(3, 32, 32))


def test_a_run_of_it(tmp_path):
    path = saved(tmp_path / "net.pt", state())
    experiment, theta = import_kao(path)
    run = write_run(experiment, theta, tmp_path / "run", source=path)
    again = load_run(tmp_path / "run")
    assert again.config == experiment
    assert again.updates() == [0]
    assert again.done
    assert list(again.theta().net) == list(theta.net)
    assert all(torch.equal(again.theta().net[name], value) for name, value in theta.net.items())
    assert torch.equal(again.theta().moments["body.1.norm.var"], theta.moments["body.1.norm.var"])
    source = run.env["source"]
    assert source["file"] == "net.pt"
    assert len(source["sha256"]) == 64
    assert again.log.empty
    with pytest.raises(
        UserError, match=r"import: .*run must be a new or an empty folder, got one that is in use; choose"
    ):
        write_run(experiment, theta, tmp_path / "run")


def test_files_of_another_kind(tmp_path):
    def message(tensors):
        with pytest.raises(UserError) as caught:
            import_kao(saved(tmp_path / "net.pt", tensors))
        return str(caught.value)

    tensors = state()
    line = "import kao: tensors must be named vars.<i> and vars_bn.<i>, got fc.weight; use import state_dict"
    assert message({**tensors, "fc.weight": torch.ones(1)}) == line
    line = "import kao: there must be 4 tensors vars.* a block and 1 or 2 of the head, and 2 vars_bn.* a block, got "
    assert message({**tensors, "vars.18": torch.ones(5)}).startswith(line + "19 and 8")
    assert message({name: tensors[name] for name in tensors if name != "vars_bn.3"}).startswith(line + "18 and 7")
    assert message({"vars.0": torch.ones(1)}).startswith(line + "1 and 0")
    line = "import kao: vars.0 must be a conv weight, the head a matrix, got [6] and [5, 150]"
    assert message({**tensors, "vars.0": torch.ones(6)}).startswith(line)
    line = "import kao: the file must hold the net's tensors, got one with body.2.conv.bias [2] instead of [6]; name"
    assert message({**tensors, "vars.5": torch.ones(2)}).startswith(line)


@pytest.mark.skipif("MAMLPROBE_DATA" not in os.environ, reason="MAMLPROBE_DATA names no folder of data")
def test_the_published_files():
    files = sorted((Path(os.environ["MAMLPROBE_DATA"]) / "kao2022").glob("*.pt"))
    if not files:
        pytest.skip("MAMLPROBE_DATA holds no kao2022/*.pt")
    for path in files:
        experiment, theta = import_kao(path)
        assert experiment.net.filters == 32
        assert experiment.net.head_bias == ("SO_zero" not in path.name)
        x = torch.randn(1, 5, 3, 84, 84, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        params = {name: value.double().unsqueeze(0) for name, value in theta.net.items()}
        here = build(experiment.net, way=5)(params, x).logits[0]
        tensors = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
        torch.testing.assert_close(here, modules(tensors)(x[0]), rtol=1e-8, atol=1e-8)
