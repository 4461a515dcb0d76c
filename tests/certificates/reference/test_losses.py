"""Losses and readouts from their definitions, against torch's own and row by row."""

import math

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.certificates.reference.losses import mean_loss, read, wanted

GENERATOR = torch.Generator().manual_seed(0)
OUTPUTS, LABELS = torch.randn(7, 3, generator=GENERATOR).double(), torch.tensor([0, 2, 1, 1, 0, 2, 2])
SUPPORT, QUERY = (torch.randn(rows, 4, generator=GENERATOR).double() for rows in (5, 2))
CLASSES = [1, 0, 1, 2, 0]
WEIGHT = torch.tensor([0.5, -1.0, 2.0, 0.0]).double()


def test_cross_entropy_is_that_of_torch():
    torch.testing.assert_close(mean_loss(OUTPUTS, LABELS, "cross_entropy"), F.cross_entropy(OUTPUTS, LABELS))


def test_squared_error_is_half_the_sum_over_outputs():
    pairs = zip(OUTPUTS.tolist(), LABELS.tolist())
    rows = [sum((o - (j == label)) ** 2 for j, o in enumerate(row)) / 2 for row, label in pairs]
    assert float(mean_loss(OUTPUTS, LABELS, "mse")) == pytest.approx(sum(rows) / 7, rel=1e-14)
    targets = torch.arange(7).double()
    real = mean_loss(OUTPUTS[:, :1], targets, "mse")
    torch.testing.assert_close(real, F.mse_loss(OUTPUTS[:, 0], targets) / 2)


def test_what_outputs_should_be():
    assert wanted(torch.tensor([2, 0]), OUTPUTS[:2]).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert wanted(torch.tensor([2.5, 0.5]).double(), OUTPUTS[:2, :1]).tolist() == [[2.5], [0.5]]


def cosine(one: list[float], two: list[float]) -> float:
    size = math.hypot(*one) * math.hypot(*two)
    return sum(a * b for a, b in zip(one, two)) / size if size else 0.0


@pytest.mark.parametrize("kind", ["prototype", "siamese", "cosine"])
def test_readouts_number_by_number(kind):
    found = read(kind, SUPPORT, torch.tensor(CLASSES), QUERY, 3, WEIGHT if kind == "siamese" else None)
    rows, weight = SUPPORT.tolist(), WEIGHT.tolist()
    for m, q in enumerate(QUERY.tolist()):
        members = [[row for row, label in zip(rows, CLASSES) if label == each] for each in range(3)]
        if kind == "prototype":
            means = [[sum(column) / len(each) for column in zip(*each)] for each in members]
            logits = [-sum((a - b) ** 2 for a, b in zip(q, mean)) for mean in means]
        elif kind == "siamese":
            apart = [[sum(w * abs(a - b) for a, b, w in zip(q, row, weight)) for row in each] for each in members]
            logits = [-sum(each) / len(each) for each in apart]
        else:
            scores = [sum(math.exp(cosine(q, row)) for row in each) for each in members]
            logits = [math.log(each / sum(scores)) for each in scores]
        assert found[m].tolist() == pytest.approx(logits, rel=1e-12)


def test_a_row_of_zeros_is_as_near_to_all():
    """By cosine: each row of the support set counts alike, so a class counts by its rows."""
    logits = read("cosine", SUPPORT, torch.tensor(CLASSES), torch.zeros(1, 4).double(), 3, None)
    assert logits[0].exp().tolist() == pytest.approx([0.4, 0.4, 0.2])
