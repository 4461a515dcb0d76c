"""Losses and readouts of one task, written out from their definitions for the plain loop."""

import torch
from torch import Tensor


def mean_loss(outputs: Tensor, y: Tensor, kind: str) -> Tensor:
    """Compute the mean loss over the rows; outputs [R, N], labels [R] or real targets [R, ...]."""
    rows = torch.arange(len(outputs), device=outputs.device)
    if kind == "cross_entropy":
        return (torch.logsumexp(outputs, 1) - outputs[rows, y]).sum() / len(outputs)
    return ((outputs - wanted(y, outputs)) ** 2).sum() / (2 * len(outputs))


def wanted(y: Tensor, outputs: Tensor) -> Tensor:
    """Return what the outputs [R, N] should be: rows with a 1 at the label, or the real targets [R, ...]."""
    if y.is_floating_point():
        return y.reshape(outputs.shape)
    one_hot = torch.zeros_like(outputs)
    one_hot[torch.arange(len(outputs), device=outputs.device), y] = 1.0
    return one_hot


def read(kind: str, support: Tensor, labels: Tensor, query: Tensor, way: int, weight: Tensor | None) -> Tensor:
    """Compute logits [R, N] of query features [R, F] from the support features [n_s, F], class by class.

    `kind` is a readout of a method other than head; weight [F] is that of the siamese readout.
    """
    members = [support[labels == label] for label in range(way)]
    if kind == "prototype":
        return torch.stack([-((query - each.mean(0)) ** 2).sum(1) for each in members], dim=1)
    if kind == "siamese":
        assert weight is not None
        apart = [(query[:, None] - each[None]).abs() * weight for each in members]
        return torch.stack([-each.sum(2).mean(1) for each in apart], dim=1)
    scores = [torch.exp(_unit(query) @ _unit(each).T).sum(1) for each in members]
    return torch.stack(scores, dim=1).log() - torch.stack(scores).sum(0).log()[:, None]


def _unit(rows: Tensor) -> Tensor:
    """Scale the rows to length 1; a row of zeros stays zero."""
    return rows / (rows**2).sum(1, keepdim=True).sqrt().clamp(min=1e-12)
