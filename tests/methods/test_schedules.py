"""What changes in the course of a training: weights of the multi-step loss, derivative order, outer rates."""

import pytest
import torch

from mamlprobe.methods.method import Method
from mamlprobe.methods.schedules import multi_step_weights, outer_rate, resolve, scheduled
from mamlprobe.methods.settings import Inner, Outer


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize(("epoch", "epochs"), [(0, 10), (1, 10), (5, 10), (9, 10), (99, 100)])
def test_weights_of_the_multi_step_loss(steps, epoch, epochs):
    """The released program's: decays and minima written out, epoch by epoch."""
    decay, least = 1 / steps / epochs, 0.03 / steps
    wanted = [max(1 / steps - epoch * decay, least) for _ in range(steps - 1)]
    last = min(1 / steps + epoch * (steps - 1) * decay, 1 - (steps - 1) * least)
    assert multi_step_weights(steps, epoch / epochs) == pytest.approx((*wanted, last), rel=1e-12)
    assert sum(multi_step_weights(steps, epoch / epochs)) == pytest.approx(1)


def test_the_first_weights_are_equal():
    assert multi_step_weights(4, 0.0) == (0.25,) * 4
    assert multi_step_weights(5, 1.0) == pytest.approx((0.006, 0.006, 0.006, 0.006, 0.976))


def test_schedules_of_order_and_weights():
    inner = Inner(steps=2, first_order_updates=3)
    method = Method(inner=inner, multi_step_updates=4)
    seen = [resolve(method, update, 10) for update in range(6)]
    assert [each.inner.order for each in seen] == [1, 1, 1, 2, 2, 2]
    assert [each.step_weights for each in seen[:4]] == [pytest.approx((w, 1 - w)) for w in (0.5, 0.375, 0.25, 0.125)]
    assert [each.step_weights for each in seen[4:]] == [(), ()]
    assert all(not scheduled(each) for each in seen)
    assert all(resolve(each, 0, 10) == each for each in seen)
    given = Method(inner=Inner(steps=2), step_weights=(0.3, 0.7))
    assert resolve(given, 3, 10) == given


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ({}, False),
        ({"multi_step_updates": 1}, True),
        ({"inner": Inner(first_order_updates=1)}, True),
        ({"outer": Outer(schedule="cosine")}, True),
        ({"outer": Outer(schedule="linear")}, True),
        ({"step_weights": (0.2,) * 5}, False),
    ],
)
def test_scheduled(words, wanted):
    assert scheduled(Method(**words)) == wanted


def test_rates_are_those_of_torch():
    """Its own schedules of a cosine, and of a line to nothing and to another end."""
    updates, start, end = 12, 0.4, 0.05
    kinds = torch.optim.lr_scheduler
    for outer, schedule in (
        (Outer(lr=start), lambda o: kinds.ConstantLR(o, factor=1.0)),
        (Outer(lr=start, schedule="cosine", final_lr=end), lambda o: kinds.CosineAnnealingLR(o, updates, eta_min=end)),
        (Outer(lr=start, schedule="linear"), lambda o: kinds.PolynomialLR(o, updates)),
        (Outer(lr=start, schedule="linear", final_lr=end), lambda o: kinds.LinearLR(o, 1.0, end / start, updates)),
    ):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start)
        wanted = schedule(optimizer)
        for update in range(updates + 1):
            found = resolve(Method(outer=outer), update, updates).outer
            assert found.lr == pytest.approx(wanted.get_last_lr()[0], abs=1e-12)
            assert (found.schedule, found.final_lr) == ("constant", 0.0)
            optimizer.step()
            wanted.step()
    assert outer_rate(Outer(lr=start, schedule="linear"), 20, updates) == 0  # past the end it stays there
    assert outer_rate(Outer(lr=start, schedule="cosine"), 0, 0) == start
