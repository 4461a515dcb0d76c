import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.spec import NetSpec


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    (tmp_path / "some_modules.py").write_text(
        "from torch import nn\n"
        "NUMBER = 3\n"
        "class Two(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3))\n"
        "class Wide(nn.Linear):\n"
        "    pass\n"
        "def two():\n"
        "    return Two()\n"
        "def number():\n"
        "    return 3\n"
    )
    (tmp_path / "broken_module.py").write_text("import not_there\n")
    monkeypatch.syspath_prepend(tmp_path)


def of(module, **words):
    return build(NetSpec(kind="module", module=module, head="3", **words), way=3)


def test_every_field_of_conv4_and_mlp_arrives():
    spec = NetSpec(filters=7, blocks=2, order="conv-relu-bn", down="stride", head_bias=False)
    wanted = conv4(image=(3, 9, 9), way=4, filters=7, blocks=2, order="conv-relu-bn", down="stride", head_bias=False)
    assert build(spec, way=4, image=(3, 9, 9)) == wanted
    spec = NetSpec(kind="mlp", hidden=(5, 6), activation="tanh", norm="batch")
    assert build(spec, way=2, image=(1, 3, 4)) == mlp(inputs=12, way=2, hidden=(5, 6), activation="tanh", norm="batch")


def test_the_shape_of_inputs_is_the_specs_or_the_datas():
    spec = NetSpec(image=(1, 28, 28))
    assert build(spec, way=5) == build(spec, way=5, image=(1, 28, 28)) == build(NetSpec(), way=5, image=(1, 28, 28))
    words = r"net: net.image must be the data's shape \[1, 20, 20\], got \[1, 28, 28\]; leave it unset"
    with pytest.raises(UserError, match=words):
        build(spec, way=5, image=(1, 20, 20))
    with pytest.raises(
        UserError, match=r"net: the shape of the inputs must be known, got none; set net.image to C, H, W"
    ):
        build(NetSpec(), way=5)


@pytest.mark.parametrize("name", ["some_modules:Two", "some_modules:two"])
def test_a_module_by_name_has_weights_of_its_seed_and_leaves_the_global_generator(name):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    spec = NetSpec(kind="module", module=name, head="3", layers=("1",))
    first, again, other = (build(spec, way=3, seed=seed).init(torch.Generator())[0] for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first["1.weight"], again["1.weight"])
    assert not torch.equal(first["1.weight"], other["1.weight"])
    assert build(spec, way=3).layers == ("1", "3")


def test_messages_of_modules():
    words = {
        "not_there:Net": "module 'not_there' must be importable, got No module named 'not_there'; "
        "install it or put its folder on PYTHONPATH",
        "broken_module:Net": "module 'broken_module' must be importable, got No module named 'not_there'; install",
        "some_modules:Too": "the class of 'some_modules' must be a known one, got 'Too'; did you mean Two",
        "some_modules:NUMBER": "the class of 'some_modules' must be a known one, got 'NUMBER'; did you mean Two",
        "some_modules:Wide": "some_modules:Wide must be callable without arguments, got missing a required argument: "
        "'in_features'; write a function or subclass that needs none",
        "some_modules:number": "some_modules:number must make an nn.Module, got int; name another",
        "some_modules.Two": "net.module must read package.file:Class, got 'some_modules.Two'; separate",
    }
    for name, line in words.items():
        with pytest.raises(UserError) as caught:
            of(name)
        assert str(caught.value).startswith(f"net: {line}"), str(caught.value)
