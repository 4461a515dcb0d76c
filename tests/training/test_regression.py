"""Training on real targets: the log, a resume, the loop against one written out, and what is refused."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.sinusoids import FORMULAS, Sinusoids
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.recipes import recipe
from mamlprobe.recipes.sinusoids import INNER_LR, SINUSOID
from mamlprobe.runs.checkpoint import checkpoint_path, load_checkpoint
from mamlprobe.runs.folder import load_run
from mamlprobe.training.loop import train
from mamlprobe.training.validation import validate, validation_episodes


@pytest.fixture(scope="module")
def small():
    return replace(recipe("sinusoid-maml", "smoke"), updates=6, tasks=3)


def weights(run):
    return run.theta().net


def plain(params, x):
    for layer in (1, 2):
        x = torch.relu(x @ params[f"body.{layer}.linear.weight"].T + params[f"body.{layer}.linear.bias"])
    return x @ params["head.weight"].T + params["head.bias"]


def adapted(params, x, y, *, lr, create_graph):
    """One step on the mean squared error with the published rate, for one task."""
    error = (plain(params, x) - y).square().mean()
    slopes = torch.autograd.grad(error, list(params.values()), create_graph=create_graph)
    return {name: value - lr * slope for (name, value), slope in zip(params.items(), slopes, strict=True)}


def test_six_updates_are_those_of_a_loop_written_out(small, tmp_path):
    run = train(small, tmp_path, device="cpu", progress=False)
    start = init(run.net(), seed=small.seed, method=small.method).net
    params = {name: value.clone().requires_grad_() for name, value in start.items()}
    adam = torch.optim.Adam(list(params.values()), lr=small.method.outer.lr)
    for index in range(6):
        tasks = Sinusoids().sample(split="train", shot=10, query=10, tasks=3, seed=small.seed, index=index)
        total = 0.0
        for x, y, query_x, query_y in zip(tasks.support_x, tasks.support_y, tasks.query_x, tasks.query_y, strict=True):
            fast = adapted(params, x, y, lr=INNER_LR / 2, create_graph=True)
            total = total + 0.5 * (plain(fast, query_x) - query_y).square().mean() / 3
        adam.zero_grad()
        total.backward()
        adam.step()
    for name, value in weights(run).items():
        assert torch.allclose(value, params[name].detach(), atol=2e-5), name


def test_validation_is_half_the_mean_squared_error(small, tmp_path):
    run = train(small, tmp_path, device="cpu", progress=False)
    once = replace(small, method=replace(small.method, inner=replace(small.method.inner, test_steps=1)))
    found = validate(run.net(), run.theta(), Sinusoids(), once)
    params = {name: value.requires_grad_() for name, value in weights(run).items()}
    errors = []
    for tasks in validation_episodes(Sinusoids(), once):
        for x, y, query_x, query_y in zip(tasks.support_x, tasks.support_y, tasks.query_x, tasks.query_y, strict=True):
            fast = adapted(params, x, y, lr=INNER_LR / 2, create_graph=False)
            errors.append(0.5 * (plain(fast, query_x) - query_y).square().mean().item())
    wanted = torch.tensor(errors, dtype=torch.float64)
    assert len(wanted) == once.validation_tasks
    assert found["loss"] == pytest.approx(wanted.mean().item(), rel=1e-5)
    assert found["loss_half_width"] == pytest.approx(3.182446 * wanted.std().item() / 2, rel=1e-5)  # t, 3 of freedom


def test_the_log_has_losses_and_no_accuracy(small, tmp_path):
    log = train(small, tmp_path, device="cpu", progress=False).log
    assert set(log["quantity"]) == {"loss", "loss_half_width"}
    assert set(log["split"]) == {"train", "val"}
    assert log["value"].notna().all()


def test_a_stopped_training_goes_on_to_the_same_bits(small, tmp_path):
    whole = train(small, tmp_path / "whole", device="cpu", progress=False)
    again = train(small, tmp_path / "again", device="cpu", progress=False)
    (again.path / "done").unlink()
    for update in (4, 6):
        checkpoint_path(again.path, update).unlink()
    again = train(small, tmp_path / "again", device="cpu", progress=False)
    first, second = (load_checkpoint(checkpoint_path(run.path, 6), run._like) for run in (whole, again))
    assert all(map(torch.equal, first.theta.net.values(), second.theta.net.values()))
    assert (whole.path / "log.csv").read_bytes() == (again.path / "log.csv").read_bytes()
    assert load_run(again.path).net().inputs == 1


def test_other_curves_are_other_data(small, tmp_path):
    run = train(small, tmp_path, device="cpu", progress=False)
    (run.path / "done").unlink()
    with pytest.raises(UserError, match="must go on with the data it began with, got digest"):
        train(small, tmp_path, device="cpu", progress=False, pool=FORMULAS["sinusoids-2pi"])


@pytest.mark.parametrize("name", SINUSOID)
def test_every_recipe_trains(name, tmp_path):
    run = train(recipe(name, "smoke"), tmp_path, device="cpu", progress=False)
    assert run.done
    assert (run.env["data"]["name"] == "sinusoids-2pi") == (name.endswith("-2pi") or name == "sinusoid-reptile")
    before = init(run.net(), seed=0, method=run.config.method).net
    assert any(not torch.equal(value, before[each]) for each, value in weights(run).items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda e: replace(e, method=METHODS["maml"]),
            r"^train: .* must have a loss of real targets, got loss cross_entropy",
        ),
        (lambda e: replace(e, way=2), r"^sinusoids: way must be 1: a curve has one value at a place, got 2"),
        (
            lambda e: replace(e, net=replace(e.net, kind="conv4")),
            r"^net: a conv4 must see images, got inputs of shape \[1\]; set net.kind to mlp",
        ),
        (
            lambda e: replace(e, labels="class", method=replace(e.method, inner=replace(e.method.inner, steps=0))),
            "labels by class need images in classes, got sinusoids",
        ),
    ],
)
def test_what_does_not_fit_is_refused(small, change, said, tmp_path):
    with pytest.raises(UserError, match=said):
        train(change(small), tmp_path, device="cpu", progress=False)
