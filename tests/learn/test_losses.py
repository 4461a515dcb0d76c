"""Losses and accuracies of each task."""

import math

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.losses import proximal, targets, task_accuracies, task_losses
from tests.learn.outer.cases import draw
from tests.oracles import slow_loss

LOGITS = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.randint(4, (3, 5), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_each_task_by_definition(loss):
    found = task_losses(LOGITS, LABELS, loss)
    assert found.shape == (3,)
    for task in range(3):
        torch.testing.assert_close(found[task], slow_loss(LOGITS[task], LABELS[task], loss), rtol=1e-12, atol=1e-12)


def test_real_targets():
    goals = LOGITS + torch.tensor([1.0, 2.0, 0.0, -1.0])
    torch.testing.assert_close(task_losses(LOGITS, goals, "mse"), torch.full((3,), 3.0).double())
    flat = LOGITS[..., :1]
    torch.testing.assert_close(task_losses(flat, flat[..., 0] - 2, "mse"), torch.full((3,), 2.0).double())
    assert task_accuracies(LOGITS, goals).isnan().all()


def test_targets():
    hot = targets(LOGITS, LABELS)
    assert hot.dtype == torch.float64
    assert hot.shape == LOGITS.shape
    assert torch.equal(hot.argmax(-1), LABELS)
    assert torch.equal(hot.sum(-1), torch.ones(3, 5).double())
    assert targets(LOGITS.float(), LABELS).dtype == torch.float32


def test_values_known_by_heart():
    zeros, labels = torch.zeros(1, 2, 5), torch.tensor([[0, 3]])
    assert task_losses(zeros, labels, "cross_entropy").item() == pytest.approx(math.log(5))
    assert task_losses(zeros, labels, "mse").item() == 0.5
    sure = torch.tensor([[[1000.0, 0.0], [1000.0, 0.0]]])
    assert task_losses(sure, torch.tensor([[0, 1]]), "cross_entropy").item() == 500.0


def test_accuracy_is_the_share_of_hits():
    wanted = (LOGITS.argmax(-1) == LABELS).double().mean(-1)
    torch.testing.assert_close(task_accuracies(LOGITS, LABELS), wanted)
    assert 0 < wanted.mean() < 1


def test_ties_share_the_credit():
    """As the mean over every order of breaking them."""
    logits = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 2.0, 2.0], [0.0, 0.0, 1.0]]])
    labels = torch.tensor([[1, 2, 0, 2]])
    assert task_accuracies(logits, labels).item() == pytest.approx((1 / 2 + 1 / 3 + 0 + 1) / 4)
    assert task_accuracies(torch.zeros(1, 4, 3), labels).item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("label", [4, -1, -100])
@pytest.mark.parametrize(
    "work",
    [
        lambda labels: task_losses(LOGITS, labels, "cross_entropy"),
        lambda labels: task_losses(LOGITS, labels, "mse"),
        lambda labels: task_accuracies(LOGITS, labels),
    ],
)
def test_a_label_without_a_logit_is_named(work, label):
    labels = LABELS.clone()
    labels[1, 2] = label
    with pytest.raises(UserError, match=rf"must lie in 0\.\.3, .* got {min(label, 0)}\.\.{max(label, 3)}"):
        work(labels)


def test_other_errors_of_torch_stay_what_they_are():
    with pytest.raises(RuntimeError):
        task_accuracies(LOGITS, LABELS[:1, :, None])


def test_the_proximal_term():
    params, anchor = (
        {"a": draw(2, 3), "b": draw(2, 2, 2), "c": draw(1, 4)},
        {"a": draw(2, 3, seed=1), "b": draw(2, 2, 2)},
    )
    wanted = [0.35 * ((params["a"][b] - anchor["a"][b]) ** 2).sum() for b in range(2)]
    torch.testing.assert_close(proximal(params, anchor, 0.7), torch.stack(wanted))
