"""Which class gets which label of a task: drawn anew, or tied to it, so that a learner may memorise (Kao 2022, K9)."""

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown

SLOTS = ("drawn", "bins", "groups")
"""How labels are given.

drawn   classes at random and in random order, as is usual
bins    the classes, in their order, in N bins of equal size (the last is shorter): label n is of a class of bin n
groups  N classes that follow one another are a task, and class c always has label c mod N
"""


def places(keys: Tensor, way: int, slots: str) -> Tensor:
    """Places [B, N] in the list of classes, those of label 0 first, decided by random keys [B, C].

    Raises:
        UserError: an unknown word; bins that would be empty.
    """
    if slots not in SLOTS:
        raise unknown("sample", "word for slots", slots, SLOTS)
    count = keys.shape[1]
    if slots == "drawn":
        return keys.topk(way, dim=-1, largest=False).indices
    labels = torch.arange(way, device=keys.device)
    if slots == "groups":
        return way * keys[:, : count // way].argmin(-1, keepdim=True) + labels
    size = -(-count // way)
    if size * (way - 1) >= count:
        must = f"{count} classes must fill {way} bins"
        raise UserError("sample", must, f"bins of {size}", "choose a way that leaves the last bin a class")
    absent = keys.new_full((len(keys), size * way - count), torch.iinfo(keys.dtype).max)
    return torch.cat([keys, absent], dim=1).view(-1, way, size).argmin(-1) + size * labels
