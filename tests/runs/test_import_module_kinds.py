"""What `load_state_dict` takes is taken: modules of many kinds, saved as they are, cast, renamed."""

import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.import_weights import import_state_dict, write_run

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch has no rule for some operations

SOURCE = '''
import math
import torch
from torch import nn


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Linear(36, 8), nn.Linear(8, 3)
        self.add()

    def add(self):
        pass

    def more(self, x):
        return x

    def forward(self, x):
        return self.fc(self.more(torch.relu(self.body(x.flatten(1)))))


class Unsaved(Plain):
    def add(self):
        self.register_buffer("places", torch.linspace(-1, 1, 8), persistent=False)

    def more(self, x):
        return x + self.places


class Tied(Plain):
    def add(self):
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight

    def more(self, x):
        return self.two(self.one(x))


class Twice(Plain):
    """One block under two names."""

    def add(self):
        self.one = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
        self.two = self.one

    def more(self, x):
        return self.two(torch.relu(self.one(x)))


class Drawn(Plain):
    """Frequencies that the constructor draws anew."""

    def add(self):
        self.register_buffer("frequencies", torch.randn(8))

    def more(self, x):
        return torch.cos(x * self.frequencies)


class Order(Plain):
    """An order of the features that the constructor draws anew."""

    def add(self):
        self.register_buffer("order", torch.randperm(8))

    def more(self, x):
        return x[:, self.order]


class Masked(Plain):
    """A mask of minus infinity is no mistake."""

    def add(self):
        self.register_buffer("mask", torch.triu(torch.full((8, 8), -math.inf), 1))
        self.register_buffer("kept", torch.arange(8) > 0)

    def more(self, x):
        return (x @ self.mask.exp()) * self.kept


class Waves(Plain):
    def add(self):
        self.register_buffer("waves", torch.polar(torch.ones(8), torch.arange(8.0)))

    def more(self, x):
        return (x * self.waves).real


class Spectral(Plain):
    """Vectors that power iterations go on from."""

    def add(self):
        self.part = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))

    def more(self, x):
        return self.part(x)


class Weighted(Plain):
    def add(self):
        self.part = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))

    def more(self, x):
        return self.part(x)


class Renaming(Plain):
    """Its own hook renames what older files hold."""

    def _load_from_state_dict(self, state, prefix, *rest):
        for name in [name for name in state if name.startswith(prefix + "trunk.")]:
            state[prefix + "body." + name.removeprefix(prefix + "trunk.")] = state.pop(name)
        super()._load_from_state_dict(state, prefix, *rest)


class Cosine(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(3, 8)), nn.Parameter(torch.tensor(5.0))

    def forward(self, x):
        unit = nn.functional.normalize
        return self.scale * unit(x, dim=1) @ unit(self.weight, dim=1).mT


class CosineHead(Plain):
    def add(self):
        self.fc = Cosine()


class Lazy(Plain):
    def add(self):
        self.part = nn.LazyLinear(8)


class Turned(Plain):
    """A buffer that does not lie in one piece."""

    def add(self):
        self.register_buffer("turn", torch.randn(8, 8).mT)

    def more(self, x):
        return x @ self.turn


class Beside(Plain):
    """What is no tensor."""

    def get_extra_state(self):
        return {"version": 3}

    def set_extra_state(self, state):
        pass


class Instances(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, track_running_stats=True)
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).flatten(1))
'''

KINDS = ["Plain", "Unsaved", "Tied", "Twice", "Drawn", "Order", "Masked", "Waves", "Spectral", "Weighted", "Renaming"]
KINDS += ["CosineHead", "Turned"]


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The module of that source, importable by its name."""
    name = f"kinds_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return __import__(name)


def trained(kind):
    """A module that was moved from where its constructor puts it, in evaluation mode."""
    torch.manual_seed(7)
    module = kind()
    for _ in range(3):
        module(torch.randn(4, 1, 6, 6))
    return module.eval()


def run_of(state, nets, kind, folder, **words):
    """The run that the import of this state dict makes, and what it said."""
    path, said = folder / "net.pt", []
    torch.save(state, path)
    experiment, theta = import_state_dict(path, module=f"{nets.__name__}:{kind}", head="fc", say=said.append, **words)
    made = write_run(experiment, theta, folder / "run", source=path)
    return load_run(made.path, module=getattr(nets, kind)), said


def gap(run, module):
    """How far the logits of the run's net, with its running moments, are from the module's own."""
    net, theta = run.net(), run.theta()
    x = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    params, moments = ({n: v[None] for n, v in part.items()} for part in (theta.net, theta.moments))
    with torch.no_grad():
        return float((net(params, x[None], moments=moments or None).logits[0] - module(x)).abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_is_the_module(nets, kind, tmp_path):
    module = trained(getattr(nets, kind))
    run, said = run_of(module.state_dict(), nets, kind, tmp_path)
    assert gap(run, module) < 1e-5
    assert run.config.way == 3
    assert said == []


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "model.module.", "module._orig_mod."])
@pytest.mark.parametrize("kind", ["Unsaved", "Tied", "Twice"])
def test_prefixes(nets, kind, prefix, tmp_path):
    module = trained(getattr(nets, kind))
    run, _ = run_of({prefix + name: value for name, value in module.state_dict().items()}, nets, kind, tmp_path)
    assert gap(run, module) < 1e-5


def test_a_part_that_was_compiled_or_ran_in_parallel(nets, tmp_path):
    module = trained(nets.Twice)
    state = {name.replace(".0.", "._orig_mod.0.module."): value for name, value in module.state_dict().items()}
    assert set(state) != set(module.state_dict())
    run, _ = run_of(state, nets, "Twice", tmp_path)
    assert gap(run, module) < 1e-5


def test_names_that_the_module_renames(nets, tmp_path):
    module = trained(nets.Renaming)
    state = {name.replace("body.", "trunk."): value for name, value in module.state_dict().items()}
    run, _ = run_of(state, nets, "Renaming", tmp_path)
    assert gap(run, module) < 1e-5


def test_counters_of_batches_in_and_out(nets, tmp_path):
    module = trained(nets.Twice)
    state = {name: value for name, value in module.state_dict().items() if "num_batches" not in name}
    for number, each in enumerate((state, {**state, "body.num_batches_tracked": torch.tensor(3)})):
        (tmp_path / str(number)).mkdir()
        run, _ = run_of(each, nets, "Twice", tmp_path / str(number))
        assert gap(run, module) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_and_told(nets, kind, precision, tmp_path):
    module = trained(getattr(nets, kind))
    state = {
        name: value if value.is_complex() else value.to(precision)
        for name, value in copy.deepcopy(module.state_dict()).items()
    }
    run, said = run_of(state, nets, kind, tmp_path)
    assert said == [f"converted: {str(precision).removeprefix('torch.')} to float32"]
    assert {value.dtype for value in run.theta().net.values()} == {torch.float32}
    assert gap(run, module) < {torch.float16: 0.02, torch.bfloat16: 0.2, torch.float64: 1e-5}[precision]


def test_a_shared_weight_under_one_of_its_names(nets, tmp_path):
    module, path = trained(nets.Tied), tmp_path / "net.safetensors"
    for gone in ("one.weight", "two.weight"):
        state = {name: value for name, value in module.state_dict().items() if name != gone}
        save_file(state, path)
        _, theta = import_state_dict(path, module=f"{nets.__name__}:Tied", head="fc")
        assert torch.equal(theta.net["one.weight"], module.one.weight)
        assert "two.weight" not in theta.net


def test_running_statistics_of_instance_norms_are_kept(nets, tmp_path):
    module = trained(nets.Instances)
    run, _ = run_of(module.state_dict(), nets, "Instances", tmp_path)
    assert module.norm.running_mean.abs().max() > 0.01
    norm = run.net().module.norm
    assert torch.equal(norm.running_mean, module.norm.running_mean)
    assert torch.equal(norm.running_var, module.norm.running_var)


def changed(state, **values):
    return {**state, **values}


REFUSED = {
    "shared": (
        "Tied",
        lambda state: changed(state, **{"two.weight": state["two.weight"] + 1}),
        "import state_dict: one.weight and two.weight are one tensor of the module and must be equal in net.pt, got "
        "different values; name the net it was made with",
    ),
    "integers": (
        "Plain",
        lambda state: changed(state, **{"fc.bias": torch.ones(3, dtype=torch.int64)}),
        "import: fc.bias must hold real numbers, got int64; save the net's own state dict",
    ),
    "booleans": (
        "Plain",
        lambda state: changed(state, **{"fc.bias": torch.ones(3, dtype=torch.bool)}),
        "import: fc.bias must hold real numbers, got bool; save",
    ),
    "complex": (
        "Plain",
        lambda state: changed(state, **{"fc.bias": torch.ones(3, dtype=torch.complex64)}),
        "import: fc.bias must hold real numbers, got complex64; save",
    ),
    "real order": (
        "Order",
        lambda state: changed(state, order=state["order"] + 0.5),
        "import: order must hold whole numbers, got float32; save",
    ),
    "sparse": (
        "Plain",
        lambda state: changed(state, **{"fc.weight": state["fc.weight"].to_sparse()}),
        "import: net.pt must hold plain tensors, got a sparse tensor in fc.weight; save",
    ),
    "meta": (
        "Plain",
        lambda state: changed(state, **{"fc.weight": state["fc.weight"].to("meta")}),
        "import: net.pt must hold plain tensors, got a meta tensor, without numbers in fc.weight; save",
    ),
    "nan": (
        "Plain",
        lambda state: changed(state, **{"fc.bias": torch.tensor([0.0, float("nan"), 0.0])}),
        "import: net.pt must hold finite numbers, got NaN or infinity in fc.bias; take",
    ),
    "moments": (
        "Twice",
        lambda state: changed(
            state, **{f"{name}.1.running_var": torch.full((8,), torch.inf) for name in ("one", "two")}
        ),
        "import: net.pt must hold finite numbers, got NaN or infinity in one.1.running_var; take",
    ),
    "too large": (
        "Plain",
        lambda state: changed(state, **{"fc.bias": torch.full((3,), 1e300, dtype=torch.float64)}),
        "import: net.pt must hold finite numbers, got NaN or infinity in fc.bias; take",
    ),
    "no tensor": (
        "Beside",
        lambda state: {name: value for name, value in state.items() if isinstance(value, torch.Tensor)},
        "import state_dict: the module must take the file, got Error(s) in loading state_dict for Beside: Missing key",
    ),
    "lazy": (
        "Lazy",
        lambda state: state,
        "import state_dict: the module's layers must know their sizes, got a lazy one with part.weight; name a",
    ),
}


@pytest.mark.parametrize(("kind", "change", "line"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(nets, kind, change, line, tmp_path):
    with pytest.raises(UserError) as caught:
        run_of(change(trained(getattr(nets, kind)).state_dict()), nets, kind, tmp_path)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore")  # torch is about to change quantised tensors
def test_quantised_tensors_are_refused(nets, tmp_path):
    state = trained(nets.Plain).state_dict()
    state["fc.weight"] = torch.quantize_per_tensor(state["fc.weight"], 0.1, 0, torch.qint8)
    with pytest.raises(UserError, match=r"must hold plain tensors, got a quantised tensor in fc.weight; save plain"):
        run_of(state, nets, "Plain", tmp_path)


def test_an_image_that_the_module_does_not_take(nets, tmp_path):
    state = trained(nets.Plain).state_dict()
    with pytest.raises(UserError, match=r"must run on float32 inputs of shape \[R, 1, 7, 7\], got Ru"):
        run_of(state, nets, "Plain", tmp_path, image=(1, 7, 7))
    run, _ = run_of(state, nets, "Plain", tmp_path, image=(1, 6, 6))
    assert run.config.data.size == 6


def test_classes_are_counted_by_the_heads_last_part(nets, tmp_path):
    from mamlprobe.runs.import_module import outputs

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(8, 3)), nn.Parameter(torch.ones(3))

    assert outputs(nn.Linear(8, 3)) == 3
    assert outputs(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3), nn.LayerNorm(3))) == 3
    assert outputs(nets.Cosine()) == 3
    assert outputs(Turned()) == 3


def test_a_net_of_fewer_classes_than_the_tasks(nets):
    from mamlprobe.learn.theta import init
    from mamlprobe.nets.wrap import wrap
    from mamlprobe.runs.import_module import logits

    net = wrap(nets.Plain(), "fc")
    x, theta = torch.zeros(1, 2, 1, 6, 6), init(net, seed=0)
    assert logits("here", net, theta, x, way=3).shape == (1, 2, 3)
    with pytest.raises(UserError, match=r"here: the net must give 4 logits or more a row, got shape \[3\]; say --way"):
        logits("here", net, theta, x, way=4)
