"""Precisions are what they are called, reach the outer gradient and nothing else, and a run keeps to one."""

import statistics
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import precision as effect
from benchmarks.works import WORKS
from mamlprobe.base.errors import UserError
from mamlprobe.cli import main
from mamlprobe.data.sampling import sample
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.settings_files import write_json
from mamlprobe.training import loop, precision, session
from mamlprobe.training.loop import Interrupted, train
from tests.marks import cuda

CPU = torch.device("cpu")


def places():
    """What can be set, through the words that this torch has for it."""
    backends = torch.backends
    if hasattr(backends.cudnn, "conv"):
        each = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
        return tuple(place.fp32_precision for place in each)
    return torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32


NEW = hasattr(torch.backends.cudnn, "conv")
INSIDE = {
    "float32": ("ieee", "ieee", "ieee", "ieee") if NEW else ("highest", False),
    "tf32": ("tf32", "tf32", "ieee", "ieee") if NEW else ("high", True),
    "bfloat16": ("ieee", "ieee", "ieee", "ieee") if NEW else ("highest", False),
}


def test_every_precision_has_a_case():
    assert list(INSIDE) == list(precision.PRECISIONS)


@pytest.mark.parametrize("name", INSIDE)
def test_what_is_set_inside_is_as_before_outside(name):
    before, legacy = places(), torch.get_float32_matmul_precision()
    product = torch.ones(2, 2)

    def inside():
        assert places() == INSIDE[name]
        assert torch.is_autocast_enabled("cpu") == (name == "bfloat16")
        assert (product @ product).dtype == (torch.bfloat16 if name == "bfloat16" else torch.float32)
        assert torch._C._is_multithreading_enabled() == (name != "bfloat16")
        with precision.precision("tf32", CPU):
            assert places() == INSIDE["tf32"]
        assert places() == INSIDE[name]
        raise KeyError

    with pytest.raises(KeyError), precision.precision(name, CPU):
        inside()
    assert places() == before
    assert torch.get_float32_matmul_precision() == legacy
    assert torch._C._is_multithreading_enabled()
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("word", ["highest", "high", "medium"])
def test_what_the_process_was_set_to_does_not_count(word):
    torch.set_float32_matmul_precision(word)
    try:
        before = places()
        with torch.autocast("cpu", dtype=torch.bfloat16), precision.precision("float32", CPU):
            assert places() == INSIDE["float32"]
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert places() == before
        assert torch.get_float32_matmul_precision() == word
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_words_of_torch_before_2_9(monkeypatch):
    """Its two settings, in a torch that has but these."""
    set_to = {"matmul": "medium", "cudnn": True}
    monkeypatch.setattr(precision.torch, "get_float32_matmul_precision", lambda: set_to["matmul"])
    monkeypatch.setattr(precision.torch, "set_float32_matmul_precision", lambda word: set_to.update(matmul=word))

    class Cudnn:
        allow_tf32 = property(lambda self: set_to["cudnn"], lambda self, on: set_to.update(cudnn=on))

    monkeypatch.setattr(torch.backends, "cudnn", Cudnn())
    for name, inside in [("float32", ("highest", False)), ("tf32", ("high", True))]:
        with precision.precision(name, CPU):
            assert tuple(set_to.values()) == inside
        assert tuple(set_to.values()) == ("medium", True)


def apart(found, wanted):
    """Relative error of all gradients together."""
    one, two = (torch.cat([value.flatten().double().cpu() for value in each.values()]) for each in (found, wanted))
    return float((one - two).norm() / two.norm())


def problem(pool, net, name, seed, dtype=torch.float32, device="cpu", order=2):
    """Net, start, tasks and method with inner steps that matter."""
    inner = replace(METHODS[name].inner, steps=3, lr=0.1, order=order)
    method = replace(METHODS[name], inner=inner)
    words = {"split": "train", "way": 3, "shot": 1, "query": 4, "tasks": 3, "seed": seed}
    return net, init(net, seed=seed).to(device, dtype), sample(pool, **words).to(device, dtype), method


@pytest.mark.parametrize("name", ["maml", "anil"])
def test_bfloat16_reaches_the_second_derivative_of_the_outer_gradient(pool, name):
    """It is off by some per cent, and nearer to the second order than the first order is."""
    net, errors = mlp(inputs=64, way=3, hidden=(24, 24)), {"float32": [], "bfloat16": [], "first order": []}
    for seed in range(5):
        wanted, _ = meta_gradient(*problem(pool, net, name, seed, torch.float64))
        first, _ = meta_gradient(*problem(pool, net, name, seed, torch.float64, order=1))
        errors["first order"].append(apart(first, wanted))
        for word in ("float32", "bfloat16"):
            with precision.precision(word, CPU):
                found, _ = meta_gradient(*problem(pool, net, name, seed))
            assert {value.dtype for value in found.values()} == {torch.float32}
            errors[word].append(apart(found, wanted))
    found = {word: statistics.median(each) for word, each in errors.items()}
    assert found["float32"] < 1e-5
    assert 1e-3 < found["bfloat16"] < found["first order"]


MLP = NetSpec(kind="mlp", hidden=(8,))


@pytest.fixture
def flat(experiment):
    """An experiment whose net the compiled kernels have no part in."""
    return replace(experiment, net=MLP)


def test_the_precision_is_recorded_and_changes_the_result(flat, pool, tmp_path):
    plain = train(flat, tmp_path / "one", pool=pool, progress=False)
    low = train(flat, tmp_path / "two", pool=pool, progress=False, precision="bfloat16")
    assert (plain.env["precision"], low.env["precision"]) == ("float32", "bfloat16")
    assert low.path.name == plain.path.name
    one, two = (run.theta().net["head.weight"] for run in (plain, low))
    assert not torch.equal(one, two)
    assert apart({"head": two}, {"head": one}) < 0.2


def test_validation_and_hooks_are_in_float32(flat, pool, tmp_path, monkeypatch):
    seen = {"update": set(), "validation": set(), "hook": set()}

    def noting(word, real):
        def call(*words, **how):
            seen[word].add((torch.is_autocast_enabled("cpu"), places() == INSIDE["float32"]))
            return real(*words, **how)

        return call

    def hook(update, net, theta):
        seen["hook"].add((torch.is_autocast_enabled("cpu"), places() == INSIDE["float32"]))

    monkeypatch.setattr(loop, "meta_gradients", noting("update", loop.meta_gradients))
    monkeypatch.setattr(session, "validate", noting("validation", session.validate))
    train(flat, tmp_path, pool=pool, progress=False, precision="bfloat16", hooks=[hook])
    own = places() == INSIDE["float32"]
    assert seen == {"update": {(True, True)}, "validation": {(False, True)}, "hook": {(False, own)}}


def test_a_run_keeps_to_its_precision_to_the_bit(flat, pool, tmp_path, monkeypatch):
    how = {"pool": pool, "progress": False, "precision": "bfloat16"}
    straight = train(flat, tmp_path / "straight", **how)
    real = loop.training_tasks

    def stop(pool, experiment, **words):
        if words["index"] == 5:
            raise KeyboardInterrupt
        return real(pool, experiment, **words)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_tasks", stop)
        with pytest.raises(Interrupted) as caught:
            train(flat, tmp_path, **how)
    path = caught.value.run.path
    must = f"train: {path} must go on in the precision it began with"
    advice = "set precision='bfloat16' (--precision bfloat16), or choose another folder"
    with pytest.raises(UserError) as refused:
        train(flat, tmp_path, pool=pool, progress=False)
    assert str(refused.value) == f"{must}, got 'float32'; {advice}"
    run = train(flat, tmp_path, **how)
    for name in ("log.csv", "checkpoints/u000012.safetensors"):
        assert (run.path / name).read_bytes() == (straight.path / name).read_bytes()
    with pytest.raises(UserError, match="must go on in the precision it began with, got 'float32'"):
        train(flat, tmp_path, pool=pool, progress=False)  # a finished one too


def test_a_run_from_before_precisions_is_float32(flat, pool, tmp_path):
    run = train(flat, tmp_path, pool=pool, progress=False)
    old = {name: value for name, value in run.env.items() if name != "precision"}
    write_json(run.path / "env.json", old)
    assert train(flat, tmp_path, pool=pool, progress=False).done
    with pytest.raises(UserError, match=r"got 'bfloat16'; set precision='float32' \(--precision float32\)"):
        train(flat, tmp_path, pool=pool, progress=False, precision="bfloat16")


def told(experiment, pool, out, name, device="cpu"):
    """What a training says that is refused before it makes a folder."""
    with pytest.raises(UserError) as caught:
        train(experiment, out / "runs", pool=pool, progress=False, precision=name, device=device)
    assert not (out / "runs").exists()
    return str(caught.value)


def test_a_precision_without_effect_is_refused(experiment, pool, tmp_path, monkeypatch):
    line = "train: the precision must be a known one, got 'bfloat'; did you mean bfloat16?"
    assert told(experiment, pool, tmp_path, "bfloat").startswith(line[:-1])
    line = "train: precision 'tf32' must have an effect, got a CPU, where it has none; "
    assert told(experiment, pool, tmp_path, "tf32") == line + "use a GPU, or precision='float32' (--precision float32)"
    monkeypatch.setattr(precision, "kernels_path", lambda: tmp_path)
    line = (
        "train: precision 'bfloat16' must reach the net, got kernels compiled for the CPU, which compute in float32; "
    )
    advice = "use a GPU, or set MAMLPROBE_KERNELS=off in the environment"
    assert told(experiment, pool, tmp_path, "bfloat16") == line + advice
    monkeypatch.setattr(precision, "kernels_path", lambda: None)
    precision.check("bfloat16", CPU, "conv4")
    for name in precision.PRECISIONS:
        precision.check(name, torch.device("cuda"), "conv4")


def test_a_net_that_cannot_is_told_before_the_first_update(flat, pool, tmp_path, monkeypatch):
    fault = RuntimeError("\"inverse\" not implemented for 'BFloat16'\nException raised from ...")

    def look(*words, **how):
        raise fault

    monkeypatch.setattr(loop, "check_memory", look)
    with pytest.raises(UserError) as caught:
        train(flat, tmp_path, pool=pool, progress=False, precision="bfloat16")
    must, advice = "the net must be one that can compute in bfloat16", "use precision='float32' or 'tf32' (--precision)"
    assert str(caught.value) == f"train: {must}, got \"inverse\" not implemented for 'BFloat16'; {advice}"
    with pytest.raises(RuntimeError, match="not implemented"):
        train(flat, tmp_path / "other", pool=pool, progress=False)


def test_the_options_of_the_command_line(pool, tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(loop, "source_of", lambda data, root: pool)
    monkeypatch.setattr(loop, "train_together", lambda experiments, out, **how: seen.append(how) or [])
    words = ["train", "maml", "--way", "3", "--query", "2", "--out", str(tmp_path)]
    assert main(words) == 0
    assert main([*words, "--precision", "tf32", "--no-graph"]) == 0
    assert [(how["precision"], how["graph"]) for how in seen] == [("float32", None), ("tf32", False)]
    assert main([*words, "--precision", "float16"]) == 2
    assert "float16" in capsys.readouterr().err


def tiny(precisions, device=CPU, seeds=2):
    return list(effect.rows(works=[WORKS["tiny"]], methods=["maml"], precisions=precisions, seeds=seeds, device=device))


def test_the_table_of_effects(monkeypatch):
    """Errors by hand, with NumPy; a precision that the device has not is a row that says so."""
    made = {}
    real = effect.gradient

    def gradient(case, seed, dtype, name):
        made[seed, dtype] = real(case, seed, dtype, name)
        return made[seed, dtype]

    monkeypatch.setattr(effect, "gradient", gradient)
    rows = tiny(["float32", "tf32"])
    assert rows[-1] == {"work": "tiny", "method": "maml", "precision": "tf32", "note": "no effect on this device"}
    table = pd.DataFrame(rows[:-1])
    layers = ["conv1", "conv2", "conv3", "conv4", "head", "all"]
    assert table["layer"].tolist() == layers * 2
    assert table["seed"].tolist() == [0] * 6 + [1] * 6
    assert table["error"].between(1e-9, 1e-4).all()
    assert table["cosine"].gt(1 - 1e-6).all()
    for seed in (0, 1):
        parts = [
            np.concatenate([made[seed, dtype][f"head.{part}"].numpy().ravel() for part in ("weight", "bias")])
            for dtype in (torch.float32, torch.float64)
        ]
        row = table[(table["seed"] == seed) & (table["layer"] == "head")].iloc[0]
        assert row["error"] == pytest.approx(np.linalg.norm(parts[0] - parts[1]) / np.linalg.norm(parts[1]), rel=1e-6)
    assert not torch.equal(made[0, torch.float64]["head.weight"], made[1, torch.float64]["head.weight"])


def test_cosine_and_error_of_known_gradients():
    net = conv4(image=(1, 4, 4), filters=1, blocks=1, way=2)
    wanted = {name: torch.zeros(2, dtype=torch.float64) for name in net.parameters}
    wanted |= {
        "head.weight": torch.tensor([3.0, 0.0]).double(),
        "body.1.conv.weight": torch.tensor([0.0, 4.0]).double(),
    }
    found = wanted | {"head.weight": torch.tensor([0.0, 3.0]).double()}
    rows = {row["layer"]: (row["cosine"], row["error"]) for row in effect.compared(net, found, wanted)}
    assert rows["head"] == pytest.approx((0.0, 2**0.5))
    assert rows["conv1"] == pytest.approx((1.0, 0.0))
    assert rows["all"] == pytest.approx((16 / 25, 18**0.5 / 5))


def test_the_command_writes_the_table(tmp_path, capsys):
    words = ["--works", "tiny", "--methods", "anil", "--seeds", "1", "--device", "cpu", "--precisions", "float32,tf32"]
    assert effect.main([*words, "--out", str(tmp_path / "p.csv")]) == 0
    table = pd.read_csv(tmp_path / "p.csv")
    assert list(table.columns) == list(effect.COLUMNS)
    assert len(table) == 7
    assert table["torch"].eq(torch.__version__).all()
    assert "no effect on this device" in capsys.readouterr().out
    assert effect.main(["--works", "tiny", "--precisions", "tf16"]) == 2
    assert "the precision must be a known one, got 'tf16'" in capsys.readouterr().err


@cuda
@pytest.mark.parametrize("name", ["maml", "fomaml", "anil"])
def test_outer_gradients_of_gpu_and_cpu_agree(pool, name):
    """Median over seeds: in one of some a decision of a ReLU or a pool flips by rounding."""
    net, errors = conv4(image=(1, 8, 8), way=3, filters=8, blocks=2), []
    for seed in range(7):
        wanted, _ = meta_gradient(*problem(pool, net, name, seed))
        with precision.precision("float32", torch.device("cuda")):
            found, _ = meta_gradient(*problem(pool, net, name, seed, device="cuda"))
        errors.append(apart(found, wanted))
    assert statistics.median(errors) < 1e-4


@cuda
def test_precisions_on_a_gpu_are_ordered():
    table = effect.medians(pd.DataFrame(tiny(list(precision.PRECISIONS), torch.device("cuda"), 5)).assign(note=""))
    errors = table[table["layer"] == "all"].set_index("precision")["error"]
    assert errors["float32"] < 1e-4 < errors["tf32"] < errors["bfloat16"] < 0.7
