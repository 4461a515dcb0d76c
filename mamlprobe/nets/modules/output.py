"""Where the logits are in what a user's module returns."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from mamlprobe.base.errors import UserError

Output = str | int | None
"""Key, attribute or place of the logits; None looks for them."""


def as_logits(value: Tensor) -> Tensor:
    """Return a head's output, as [R, N] if it is maps of one pixel [R, N, 1, 1]."""
    return value.flatten(1) if value.ndim > 2 and value.shape[2:].numel() == 1 else value


def logits_of(returned: Any, logits: Tensor, word: Output, head: str) -> Tensor:
    """Return the logits [R, N], which are the head's output, after checking that the module returns them.

    Log-probabilities count too: their cross-entropy and their argmax are those of the logits.

    Raises:
        UserError: the module returns something else, has no such key or place, gives logits without two axes, or
            detaches them from the graph that the head's output has.
    """
    given, logits, cut = logits, as_logits(logits), False
    if logits.ndim != 2:
        got, advice = f"shape {list(logits.shape)}", "name the last layer, which gives one row of logits an input"
        raise UserError("wrap", f"the head {head!r} must give logits [R, N]", got, advice)
    for value in _leaves(returned) if word is None else [_picked(returned, word)]:
        if value is given:
            return logits
        if isinstance(value, Tensor) and value.numel() == logits.numel():
            actual, expected = value.detach().reshape(logits.shape), logits.detach()
            near = max(
                1e-3, *(4 * torch.finfo(each.dtype).eps for each in (actual, expected) if each.is_floating_point())
            )
            actual, expected = actual.double(), expected.double()
            if torch.equal(actual, expected) or torch.allclose(
                actual, expected.log_softmax(1), rtol=near, atol=near / 10
            ):
                if value.requires_grad or not given.requires_grad:
                    return logits
                cut = True
                continue
            if torch.allclose(actual, expected.softmax(1), rtol=near, atol=near / 10):
                must, advice = "the module must return logits", "leave the softmax out: the loss has it"
                raise UserError("wrap", must, f"softmax of what {head!r} gives", advice)
    if cut:
        must, advice = "a gradient must flow through the logits", "leave out detach, no_grad or numpy behind the head"
        raise UserError("wrap", must, f"none from them to what {head!r} gives", advice)
    if word is not None:
        must, advice = f"output={word!r} must be what the head {head!r} gives", "say another of its keys or places"
        raise UserError("wrap", must, f"something else of {described(returned)}", advice)
    must = "the head must be the module's last layer, and its output what the module returns"
    advice = "name the last layer, with whatever follows it inside; or say output= where there are several outputs"
    raise UserError("wrap", must, f"{head!r} while the module returns {described(returned)}", advice)


def _leaves(returned: Any) -> list[Any]:
    """List all leaves in it, in mappings, sequences and dataclasses."""
    if is_dataclass(returned) and not isinstance(returned, Mapping):
        returned = [getattr(returned, each.name) for each in fields(returned)]
    if isinstance(returned, Mapping):
        returned = list(returned.values())
    if isinstance(returned, tuple | list):
        return [leaf for each in returned for leaf in _leaves(each)]
    return tree_leaves(returned)


def _picked(returned: Any, word: str | int) -> Any:
    """Return the item of that key or place, or the attribute of that name."""
    try:
        return returned[word]
    except (KeyError, IndexError, TypeError):
        pass
    if isinstance(word, str) and hasattr(returned, word):
        return getattr(returned, word)
    must, advice = f"output={word!r} must be in what the module returns", "say one of its keys or places"
    raise UserError("wrap", must, described(returned), advice)


def described(returned: Any) -> str:
    """Describe for a message what a module returned."""
    if isinstance(returned, Tensor):
        return f"another tensor of shape {list(returned.shape)}"
    if isinstance(returned, Mapping):
        return f"a {type(returned).__name__} with {', '.join(map(str, returned))}"
    if is_dataclass(returned):
        return f"a {type(returned).__name__} with {', '.join(each.name for each in fields(returned))}"
    if isinstance(returned, tuple | list):
        return f"a {type(returned).__name__} of {', '.join(type(each).__name__ for each in returned)}"
    return f"a {type(returned).__name__}"
