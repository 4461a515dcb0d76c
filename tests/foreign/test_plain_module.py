"""Nets of every kind as plain modules, and the files that torch makes of them."""

import inspect
import io
import json
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.plain_module import METADATA, OwnStatistics, onnx, plain_module, torchscript
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.spec import NetSpec
from tests.foreign.exported import MODULE, STRIDED, random_theta

IMAGE = (1, 9, 9)
CHARACTERS = (1, 28, 28)
RESIDUAL = ("residual 4 0.1, pool 2 2", "residual 6 0.1, pool 2 2, mean")

SPECS = {
    **{
        f"{order}, {down}": NetSpec(filters=3, order=order, down=down, image=CHARACTERS)
        for order in ("conv-bn-relu", "conv-relu-bn")
        for down in ("pool", "stride", "unpadded")
    },
    "one block": NetSpec(filters=3, blocks=1, image=IMAGE, head_bias=False),
    "words": NetSpec(kind="layers", stack=STRIDED, image=CHARACTERS),
    "ResNet": NetSpec(kind="layers", stack=RESIDUAL, image=(3, 8, 8)),
    "no head": NetSpec(filters=3, image=CHARACTERS, headless=True),
    "mlp": NetSpec(kind="mlp", hidden=(6, 5), norm="batch", image=IMAGE),
    "module": NetSpec(kind="module", module="plainnets:Net", head="fc", image=IMAGE, output="logits"),
}


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The user's own modules, to be imported."""
    (tmp_path / "plainnets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("plainnets", None)


def both(spec, statistics):
    """The module, its input, and what the net makes of it."""
    net = build(spec, way=5)
    theta = random_theta(net, METHODS["maml"])
    x = torch.randn(6, *spec.image, generator=torch.Generator().manual_seed(5))
    moments = add_task_axis(theta.moments) if statistics == "running" else None
    wanted = net(add_task_axis(theta.net), x[None], moments=moments)
    module = plain_module(spec, build(spec, way=5), theta, image=spec.image, statistics=statistics)
    return module, x, [wanted.features[0]] if spec.headless else [wanted.logits[0], wanted.features[0]]


def close(given, wanted):
    given = [given] if isinstance(given, torch.Tensor) else list(given)
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
@pytest.mark.parametrize("statistics", ["batch", "running"])
@pytest.mark.parametrize("name", SPECS)
def test_module_and_file_give_what_the_net_does(name, statistics, nets):
    module, x, wanted = both(SPECS[name], statistics)
    close(module(x), wanted)
    extra = {METADATA: ""}
    data = torchscript(module, SPECS[name].image, {"a": 1})
    loaded = torch.jit.load(io.BytesIO(data), _extra_files=extra)
    close(loaded(x), wanted)
    assert json.loads(extra[METADATA]) == {"a": 1}
    if statistics == "batch":
        assert list(loaded.buffers()) == []  # nor is there anything that a pass could write to
    else:
        close(loaded(x[:1]), [each[:1] for each in wanted])
    assert {type(each).__module__.partition(".")[0] for each in module.modules()} <= {"torch", "mamlprobe", "plainnets"}


def test_torch_s_generator_is_left_alone():
    state = torch.random.get_rng_state()
    both(SPECS["words"], "batch")
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("make", "shape"), [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm2d, (5, 3, 2, 4))])
@pytest.mark.parametrize("affine", [True, False])
def test_own_statistics_are_those_of_a_norm_in_training(make, shape, affine):
    norm = make(3, affine=affine).double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    torch.testing.assert_close(OwnStatistics(norm)(x), norm.train()(x))


def test_what_is_not_kept_is_refused(nets):
    spec = NetSpec(kind="module", module="plainnets:Counting", head="fc", image=IMAGE)
    module, _, _ = both(spec, "running")
    with pytest.raises(UserError, match="the module must give the net's outputs by itself, got others, by"):
        torchscript(module, IMAGE, {})  # a trace keeps the number of rows it was made with
    tanh = NetSpec(kind="mlp", activation="tanh", image=IMAGE)
    with pytest.raises(
        UserError, match="blocks with ReLU, got a net of kind mlp with activation tanh; take safetensors"
    ):
        both(tanh, "batch")


def test_packages_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr("mamlprobe.foreign.plain_module.find_spec", lambda name: None)
    module, _, _ = both(SPECS["words"], "batch")
    line = "onnx needs the packages onnx and onnxscript, got no onnx and no onnxscript; pip install onnx onnxscript, or"
    with pytest.raises(UserError, match=line):
        onnx(module, CHARACTERS, {})


def test_onnx_is_asked_for_in_one_file_for_any_number_of_rows(monkeypatch):
    """Without its packages: what torch's exporter is given, and what is made of its answer."""
    asked, entries = {}, []
    signature = inspect.signature(torch.onnx.export)

    def exporter(*given, **options):
        asked.update(signature.bind(*given, **options).arguments)
        properties = SimpleNamespace(add=lambda **entry: entries.append(entry))
        return SimpleNamespace(model_proto=SimpleNamespace(metadata_props=properties, SerializeToString=lambda: b"a"))

    monkeypatch.setattr("mamlprobe.foreign.plain_module.find_spec", lambda name: name)
    monkeypatch.setattr("torch.onnx.export", exporter)
    for name, outputs in (("words", ["logits", "features"]), ("no head", ["features"])):
        module, *_ = both(SPECS[name], "batch")
        assert onnx(module, CHARACTERS, {"a": 1}) == b"a"
        assert asked["args"][0].shape == (2, *CHARACTERS)
        assert (asked["model"], asked["input_names"], asked["output_names"]) == (module, ["images"], outputs)
        assert asked["dynamo"]
        assert asked["dynamic_shapes"][0].keys() == {0}
    assert entries == [{"key": "mamlprobe", "value": '{"a": 1}'}] * 2
    monkeypatch.setattr("torch.onnx.export", lambda *given, **options: 1 / 0)
    with pytest.raises(UserError, match="must be one that torch can export to ONNX, got division by zero; take safet"):
        onnx(module, CHARACTERS, {})


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated")
@pytest.mark.parametrize("statistics", ["batch", "running"])
@pytest.mark.parametrize("name", SPECS)
def test_torch_can_export_it_for_any_number_of_rows(name, statistics, nets):
    """What its ONNX exporter starts from, which needs no other package."""
    module, x, wanted = both(SPECS[name], statistics)
    program = torch.export.export(module, (x[:2],), dynamic_shapes=({0: torch.export.Dim("rows")},))
    close(program.module()(x), wanted)


@pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnxscript") is None, reason="the packages onnx and onnxscript are optional"
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("statistics", ["batch", "running"])
@pytest.mark.parametrize("name", SPECS)
def test_onnx_gives_what_the_net_does(name, statistics, nets):
    from onnx import load_from_string
    from onnx.reference import ReferenceEvaluator

    module, x, wanted = both(SPECS[name], statistics)
    model = load_from_string(onnx(module, tuple(x.shape[1:]), {"a": 1}))
    assert {each.key: each.value for each in model.metadata_props}["mamlprobe"] == '{"a": 1}'
    names = [each.name for each in model.graph.output]
    assert names == (["logits", "features"] if len(wanted) == 2 else ["features"])
    given = ReferenceEvaluator(model).run(names, {"images": x.numpy()})
    close([torch.as_tensor(each) for each in given], wanted)
