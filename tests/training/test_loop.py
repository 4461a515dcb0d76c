from dataclasses import replace

import pandas as pd
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.sampling import sample
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import Theta, init, zero_head
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import run_name
from mamlprobe.runs.folder import load_run
from mamlprobe.training import compute, loop
from mamlprobe.training.loop import train
from tests.native.conftest import forget


def method_of(experiment, **words):
    """The experiment with other fields of its method, dotted names in the inner, norm and outer part."""
    method = experiment.method
    for name, value in words.items():
        part, _, field = name.partition("__")
        new = replace(getattr(method, part), **{field: value}) if field else value
        method = replace(method, **{part: new})
    return replace(experiment, method=method)


def by_hand(experiment, pool):
    """Losses, accuracies and the parameters after all updates, with the rule of Kingma and Ba 2015 written out."""
    net = build(experiment.net, way=experiment.way, image=pool.image_shape)
    method, outer = experiment.method, experiment.method.outer
    theta = init(net, seed=experiment.seed, method=method)
    flat = {**theta.net, **{f"rates.{name}": value for name, value in theta.rates.items()}}
    first = {name: torch.zeros_like(value) for name, value in flat.items()}
    second, moments, readings = dict(first), dict(theta.moments), []
    for update in range(experiment.updates):
        episodes = sample(pool, split="train", way=3, shot=1, query=2, tasks=2, seed=experiment.seed, index=update)
        rates = {name.removeprefix("rates."): value for name, value in flat.items() if name.startswith("rates.")}
        plain = {name: value for name, value in flat.items() if not name.startswith("rates.")}
        gradients, reading = meta_gradient(net, Theta(net=plain, rates=rates, moments=moments), episodes, method)
        readings.append((reading.loss.item(), reading.accuracy.item()))
        if outer.clip is not None:
            gradients = {name: value.clip(min=-outer.clip, max=outer.clip) for name, value in gradients.items()}
        if outer.optimizer == "sgd":
            flat = {name: value - outer.lr * gradients[name] for name, value in flat.items()}
        else:
            first = {name: 0.9 * first[name] + 0.1 * gradients[name] for name in flat}
            second = {name: 0.999 * second[name] + 0.001 * gradients[name] ** 2 for name in flat}
            up, down = 1 - 0.9 ** (update + 1), 1 - 0.999 ** (update + 1)
            flat = {
                name: value - outer.lr * (first[name] / up) / ((second[name] / down).sqrt() + 1e-8)
                for name, value in flat.items()
            }
        if method.head == "zero_each_update":
            flat = zero_head(net, flat)
        moments = {name: 0.9 * value + 0.1 * reading.moments.get(name, value) for name, value in moments.items()}
    return flat, moments, readings


VARIANTS = {
    "adam": {},
    "sgd": {"outer__optimizer": "sgd", "outer__lr": 0.1},
    "clip": {"outer__optimizer": "sgd", "outer__lr": 0.1, "outer__clip": 0.01},
    "zeroing": {"head": "zero_each_update"},
    "running": {"norm__statistics": "running", "outer__optimizer": "sgd", "outer__lr": 0.1},
    "learned rates": {"inner__rates": "parameter"},
}


@pytest.mark.parametrize("words", VARIANTS.values(), ids=VARIANTS)
def test_training_is_the_outer_gradient_fed_to_the_optimizer(experiment, pool, tmp_path, words):
    experiment = method_of(replace(experiment, updates=6, seed=3, validation_tasks=0), **words)
    run = train(experiment, tmp_path, pool=pool, progress=False)
    flat, moments, readings = by_hand(experiment, pool)
    theta = run.theta()
    found = {**theta.net, **{f"rates.{name}": value for name, value in theta.rates.items()}}
    assert found.keys() == flat.keys()
    for name, value in flat.items():
        # a conv bias before a batch norm has a gradient of rounding noise, which Adam blows up to whole steps
        if not name.endswith("conv.bias"):
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=3e-5, msg=name)
    for name, value in moments.items():
        torch.testing.assert_close(theta.moments[name], value, rtol=1e-3, atol=1e-4)
    log = run.log.set_index(["update", "split", "quantity"])["value"]
    assert log[5, "train", "loss"] == pytest.approx(sum(loss for loss, _ in readings[:5]) / 5, rel=1e-4)
    assert log[6, "train", "loss"] == pytest.approx(readings[5][0], rel=1e-3)
    assert log[5, "train", "accuracy"] == pytest.approx(sum(accuracy for _, accuracy in readings[:5]) / 5, abs=1e-6)


def test_every_variant_trains_to_other_weights(experiment, pool, tmp_path):
    ends = []
    for words in VARIANTS.values():
        changed = method_of(replace(experiment, updates=3, validation_tasks=0), **words)
        theta = train(changed, tmp_path, pool=pool, progress=False).theta()
        ends.append(torch.cat([theta.net["body.1.conv.weight"].flatten(), theta.moments["body.1.norm.mean"]]))
    for place, end in enumerate(ends):
        assert not any(torch.equal(end, other) for other in ends[:place])


def test_the_stored_head_is_zeroed_and_the_body_is_not(experiment, pool, tmp_path):
    run = train(method_of(experiment, head="zero_each_update"), tmp_path, pool=pool, progress=False)
    for update in run.updates():
        net = run.theta(update).net
        assert not net["head.weight"].any()
        assert not net["head.bias"].any()
    assert run.checkpoint().optimizer["head.weight.exp_avg"].any()
    assert not torch.equal(run.theta(0).net["body.1.conv.weight"], run.theta().net["body.1.conv.weight"])


def test_the_folder_holds_what_it_should(experiment, pool, tmp_path):
    run = train(experiment, tmp_path, pool=pool, progress=False)
    assert run.path == tmp_path / run_name(experiment)
    assert run.config == experiment
    assert run.image == pool.image_shape
    assert run.updates() == [0, 4, 8, 12]
    assert run.done
    assert sorted(each.name for each in run.path.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "done",
        "env.json",
        "log.csv",
    ]
    log = run.log
    assert list(log.columns) == ["update", "split", "quantity", "value", "tasks"]
    assert log.groupby("split")["update"].unique().map(list).to_dict() == {"train": [5, 10, 12], "val": [0, 5, 10, 12]}
    tasks = log[log["quantity"] == "loss"].set_index(["split", "update"])["tasks"].to_dict()
    assert tasks["train", 5] == 10
    assert tasks["train", 12] == 4
    assert tasks["val", 12] == 6
    env = run.env
    assert env["torch"] == torch.__version__
    assert env["data"]["digest"] == pool.digest()
    assert env["seconds"] > 0
    assert env["threads"] == torch.get_num_threads()


def test_the_same_experiment_gives_the_same_bytes_whatever_the_global_generator(experiment, pool, tmp_path):
    torch.manual_seed(1)
    one = train(experiment, tmp_path / "one", pool=pool, progress=False)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = train(experiment, tmp_path / "two", pool=pool, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("log.csv", "config.json", *(f"checkpoints/u{update:06d}.safetensors" for update in one.updates())):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes(), name
    other = train(replace(experiment, seed=1), tmp_path, pool=pool, progress=False)
    assert not torch.equal(other.theta(0).net["head.weight"], one.theta(0).net["head.weight"])


def test_a_finished_run_is_returned_as_it_is(experiment, pool, tmp_path, monkeypatch):
    run = train(experiment, tmp_path, pool=pool, progress=False)
    stamps = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    monkeypatch.setattr(loop, "Session", None)
    again = train(experiment, tmp_path, progress=False)
    assert again.config == run.config
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == stamps


def test_no_updates_keep_the_start(experiment, pool, tmp_path):
    run = train(replace(experiment, updates=0), tmp_path, pool=pool, progress=False)
    start = init(run.net(), seed=experiment.seed, method=experiment.method)
    assert run.updates() == [0]
    assert run.done
    assert torch.equal(run.theta().net["head.weight"], start.net["head.weight"])
    assert set(run.log["split"]) == {"val"}


def test_a_module_by_name_trains(experiment, pool, tmp_path, monkeypatch):
    (tmp_path / "tiny_module.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = NetSpec(kind="module", module="tiny_module:net", head="3")
    experiment = replace(experiment, net=spec, updates=4)
    one, two = (train(replace(experiment, seed=seed), tmp_path, pool=pool, progress=False) for seed in (0, 1))
    assert list(one.theta().net) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert not torch.equal(one.theta(0).net["1.weight"], one.theta().net["1.weight"])
    assert not torch.equal(one.theta(0).net["1.weight"], two.theta(0).net["1.weight"])


def test_hooks_give_tables_and_change_nothing(experiment, pool, tmp_path):
    def norms(update, net, theta):
        rows = [{"layer": net.parameters[name], "value": value.norm().item()} for name, value in theta.net.items()]
        for value in theta.net.values():
            value.zero_()
        return pd.DataFrame(rows)

    def silent(update, net, theta):
        return None

    bare = train(experiment, tmp_path / "bare", pool=pool, progress=False)
    run = train(experiment, tmp_path / "hooked", pool=pool, progress=False, hooks=[norms, silent])
    table = run.table("norms")
    assert list(table.columns) == ["update", "layer", "value"]
    assert table["update"].unique().tolist() == [0, 4, 8, 12]
    head = table[(table["layer"] == "head") & (table["update"] == 8)]["value"].iloc[0]
    assert head == bare.theta(8).net["head.weight"].norm().item()
    assert torch.equal(run.theta().net["head.weight"], bare.theta().net["head.weight"])
    with pytest.raises(UserError, match=r"run: the table must exist, got 'silent'; there is norms"):
        run.table("silent")


def test_the_run_opens_again(experiment, pool, tmp_path):
    run = train(experiment, tmp_path, pool=pool, progress=False)
    again = load_run(run.path)
    x = torch.rand(1, 4, *pool.image_shape)
    params = {name: value.unsqueeze(0) for name, value in again.theta(4).net.items()}
    assert again.net()(params, x).logits.shape == (1, 4, 3)


def test_kernels_that_cannot_be_compiled_are_told_and_tried_once_a_day(experiment, pool, tmp_path, monkeypatch, capsys):
    tool = tmp_path / "c++"
    tool.write_text("#!/bin/sh\necho no eggs\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setattr(compute, "EARNED", 1)
    monkeypatch.setenv("CXX", str(tool))
    monkeypatch.setenv("MAMLPROBE_CACHE", str(tmp_path / "cache"))
    forget()
    try:
        told = []
        for seed in (0, 1):
            train(replace(experiment, seed=seed), tmp_path / "runs", pool=pool)
            told.append([line for line in capsys.readouterr().err.splitlines() if "kernels" in line])
    finally:
        monkeypatch.undo()
        forget()
    slow = "torch's own operations, about half as fast, are taken; mamlprobe doctor says why"
    failed = f"the kernels could not be compiled: {slow}"
    assert told == [["compiling the kernels for this processor, once", failed], [failed]]
