"""Marks of tests."""

from collections.abc import Callable

import pytest
import torch

_ABSENT = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none")


def cuda(test: Callable[..., None]) -> Callable[..., None]:
    """A test that needs a GPU; ``pytest -m cuda`` runs these alone."""
    return pytest.mark.cuda(_ABSENT(test))
