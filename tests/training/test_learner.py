"""What changes in a training: steps by hand in float64, what is restored, and sums to the last bit."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import Readings
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Outer
from mamlprobe.nets.mlp import mlp
from mamlprobe.training.learner import STATES, Learner, Tally


def test_the_tally_says_how_long_ago():
    def readings(value):
        return Readings(losses=torch.tensor([value]), accuracies=torch.ones(1, dtype=torch.float64))

    tally = Tally()
    assert tally.read() is None
    for value in (0.5, torch.inf, 0.25):
        tally.add(readings(value))
    assert tally.read() == 2
    assert (tally.updates, tally.loss) == (1, 0.5)


def test_sums_go_through_words_to_the_bit():
    tally = Tally()
    for value in (0.1, 0.7, 1 / 3):
        tally.add(Readings(losses=torch.tensor([value]), accuracies=torch.tensor([value], dtype=torch.float64)))
    tally.read()
    again = Tally(tally.state())
    assert again.means() == tally.means()
    assert again.means()["accuracy"] == (0.1 + 0.7 + 1 / 3) / 3
    assert again.means()["loss"] != again.means()["accuracy"]


NET = mlp(inputs=4, way=3, hidden=(5,), norm="batch")


def started(*, head="keep", **outer):
    """A method and a start in float64 that it learns from."""
    method = replace(METHODS["maml"], head=head, outer=Outer(**outer))
    return method, init(NET, seed=0, method=method).to(dtype=torch.float64)


def drawn(theta, seed):
    source = torch.Generator().manual_seed(seed)

    def like(values):
        return {n: torch.randn(v.shape, generator=source, dtype=torch.float64) for n, v in values.items()}

    return like(theta.net), like(theta.moments)


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_steps_by_hand(optimizer, clip):
    """Clamped gradients, the rate from the second step on, Kingma and Ba's rule, moments a tenth of the way."""
    method, theta = started(optimizer=optimizer, lr=0.1, clip=clip)
    learner = Learner(NET, theta, method)
    wanted, seen = dict(theta.net), dict(theta.moments)
    first, second = ({n: torch.zeros_like(v) for n, v in wanted.items()} for _ in range(2))
    for step, rate in enumerate((0.1, 0.02, 0.02), 1):
        gradients, moments = drawn(theta, step)
        learner.step(gradients, moments, lr=0.02 if step == 2 else None)
        for name, value in gradients.items():
            slope = value if clip is None else value.clip(-clip, clip)
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope**2
            scaled = first[name] / (1 - 0.9**step) / ((second[name] / (1 - 0.999**step)).sqrt() + 1e-8)
            wanted[name] = wanted[name] - rate * (slope if optimizer == "sgd" else scaled)
        seen = {name: 0.9 * value + 0.1 * moments[name] for name, value in seen.items()}
    torch.testing.assert_close(learner.theta.net, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(learner.theta.moments, seen, rtol=1e-12, atol=1e-12)


def test_the_start_and_snapshots_are_left_alone_and_the_gradients_too():
    method, theta = started(optimizer="sgd", lr=0.1, clip=0.1)
    before = {name: value.clone() for name, value in theta.net.items()}
    learner = Learner(NET, theta, method)
    gradients, moments = drawn(theta, 1)
    copies = {name: value.clone() for name, value in gradients.items()}
    learner.step(gradients, moments)
    middle = learner.snapshot()
    kept = {name: value.clone() for name, value in middle.net.items()}
    learner.step(gradients, moments)
    for values, were in ((theta.net, before), (gradients, copies), (middle.net, kept)):
        assert all(torch.equal(value, were[name]) for name, value in values.items())
    assert not torch.equal(learner.theta.net["head.weight"], middle.net["head.weight"])


def test_a_head_that_is_zeroed_after_each_update():
    """The head alone, and its state in the optimizer goes on."""
    method, theta = started(head="zero_each_update", lr=0.1)
    learner = Learner(NET, theta, method)
    learner.step(*drawn(theta, 1))
    for name, value in learner.theta.net.items():
        assert bool(value.any()) != name.startswith("head.")
    assert learner.optimizer_state()["head.weight.exp_avg"].any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_learner_that_is_restored_goes_on_to_the_same_bits(optimizer):
    method, theta = started(optimizer=optimizer, lr=0.1)
    one = Learner(NET, theta, method)
    one.step(*drawn(theta, 1))
    state = {name: value.clone() for name, value in one.optimizer_state().items()}
    assert set(state) == {f"{name}.{word}" for name in theta.net for word in STATES[optimizer]}
    two = Learner(NET, one.snapshot(), method)
    assert two.optimizer_state() == {}
    two.restore(state)
    for learner in (one, two):
        learner.step(*drawn(theta, 2))
    assert all(torch.equal(value, two.theta.net[name]) for name, value in one.theta.net.items())


def test_a_state_that_is_not_whole_or_of_another_optimizer_is_refused():
    method, theta = started(lr=0.1)
    learner = Learner(NET, theta, method)
    learner.step(*drawn(theta, 1))
    state = learner.optimizer_state()
    less = {name: value for name, value in state.items() if name != "head.bias.exp_avg"}
    other = Learner(NET, *reversed(started(optimizer="sgd")))
    line = "train: the checkpoint must hold the whole state of {}, got a difference in {!r}; delete that checkpoint"
    for each, given, words in (
        (learner, less, ("adam", "head.bias.exp_avg")),
        (learner, {**state, "tail.step": state["head.bias.step"]}, ("adam", "tail.step")),
        (other, {"head.bias.exp_avg": state["head.bias.exp_avg"]}, ("sgd", "head.bias.exp_avg")),
    ):
        with pytest.raises(UserError) as caught:
            each.restore(given)
        assert str(caught.value).startswith(line.format(*words))
    learner.restore({})  # of a start, before any step


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({"updates": 1, "loss": "0x1p+0"}, "every required field must be there"),
        (
            {"updates": "1", "loss": "0x1p+0", "accuracy": "0x1p+0"},
            "tally of the checkpoint.updates: the value must be",
        ),
        ({"updates": 1, "loss": "one", "accuracy": "0x1p+0"}, "the sums in the checkpoint must be numbers"),
        ({"updates": 1, "loss": "0x1p+9999", "accuracy": "0x1p+0"}, "the sums in the checkpoint must be numbers"),
        ([1], "settings must be a table of fields"),
    ],
)
def test_sums_of_another_form_are_refused(state, line):
    with pytest.raises(UserError, match=line):
        Tally(state)


def test_real_targets_have_a_loss_and_no_accuracy():
    tally = Tally()
    for value in (0.5, 1.5):
        tally.add(Readings(losses=torch.tensor([value]), accuracies=torch.tensor([torch.nan])))
    tally.read()
    assert tally.means() == {"loss": 1.0}
    assert Tally(tally.state()).means() == {"loss": 1.0}
