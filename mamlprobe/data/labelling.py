"""Which class gets which label of a task: drawn anew, or tied to it, so that a learner may memorise (Kao 2022, K9)."""

import torch
from torch import Tensor

from mamlprobe.base.errors import unknown

SLOTS = ("drawn", "bins", "groups")
"""How labels are given.

drawn   classes at random and in random order, as is usual
bins    the classes, in their order, in N bins, the first ones larger by one where they must: label n is of bin n
groups  N classes that follow one another are a task, and class c always has label c mod N
"""


def places(keys: Tensor, way: int, slots: str) -> Tensor:
    """Choose places [B, N] in the list of classes, those of label 0 first, decided by random keys [B, C].

    Raises:
        UserError: an unknown value of `slots`.
    """
    if slots not in SLOTS:
        raise unknown("sample", "word for slots", slots, SLOTS)
    count = keys.shape[1]
    if slots == "drawn":
        return keys.topk(way, dim=-1, largest=False).indices
    labels = torch.arange(way, device=keys.device)
    if slots == "groups":
        return way * keys[:, : count // way].argmin(-1, keepdim=True) + labels
    parts = keys.tensor_split(way, dim=1)
    begins = torch.tensor([0, *(part.shape[1] for part in parts[:-1])], device=keys.device).cumsum(0)
    return torch.stack([part.argmin(-1) for part in parts], dim=1) + begins
