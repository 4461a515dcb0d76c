"""Where a module's pass can be cut between two layers, found numerically; passes that end or begin at a cut."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mamlprobe.nets.modules.trial import Trial

Sizes = dict[str, tuple[int, ...] | None]
"""Part -> shape of a row of its output, None if that is no tensor of rows; the empty name: of the module's input."""

NAN = float("nan")


class Stop(BaseException):
    """Ends a pass at the cut; not an `Exception`, so that no module catches it."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A place in a module's pass after which the output of one layer is all that is needed from before it."""

    layer: str
    """The layer whose output that is."""
    skipped: tuple[str, ...]
    """The parts that run only before the cut, none inside another."""
    dense: bool = False
    """Whether the module writes in place into the stand-in for the output of a skipped part."""
    written: bool = False
    """Whether the module writes in place into the output of the layer."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The part of a pass between two cuts: from the input if `begin` is None, to the logits if `end` is None."""

    begin: Cut | None = None
    sizes: Sizes = field(default_factory=dict)
    """Shapes of the stand-ins for the outputs before `begin`."""
    end: Cut | None = None
    seen: Sizes = field(default_factory=dict)
    """Filled by a pass that ends at `end`: the `sizes` of one that begins there."""

    @property
    def name(self) -> str:
        """Return a name that differs for every stretch of a module."""
        return f"{self.begin.layer if self.begin else ''}:{self.end.layer if self.end else ''}"

    def rows(self, given: Tensor) -> Tensor:
        """Return the module's input [R, ...]: `given`, or NaNs where the pass begins at a cut."""
        return given if self.begin is None else _nothing(given, self.sizes[""], dense=True)

    @contextmanager
    def within(self, module: nn.Module, given: Tensor) -> Iterator[None]:
        """Limit passes of the module to this stretch inside the block; `given` is what it begins with."""
        parts, hooks, before = dict(module.named_modules()), [], {}
        if self.end is not None:
            self.seen[""] = tuple(given.shape[1:]) if self.begin is None else self.sizes[""]
            for name in self.end.skipped:
                stop = name == self.end.layer
                hooks.append(parts[name].register_forward_hook(_seen(name, len(given), self.seen, stop=stop)))
        if self.begin is not None:
            for name in self.begin.skipped:
                attributes = parts[name].__dict__
                before[name] = attributes.get("forward")
                attributes["forward"] = self._stand_in(name, given)
        try:
            yield
        except Stop:
            pass
        finally:
            for hook in hooks:
                hook.remove()
            for name, forward in before.items():
                del parts[name].__dict__["forward"]
                if forward is not None:
                    parts[name].__dict__["forward"] = forward

    def _stand_in(self, name: str, given: Tensor) -> Callable[..., Tensor]:
        """Make a forward for a skipped part: it returns `given` if that is the layer before the cut, else NaNs."""
        cut = self.begin
        assert cut is not None

        def forward(*args: Any, **kwargs: Any) -> Tensor:
            if name == cut.layer:
                return given.clone() if cut.written else given
            return _nothing(given, self.sizes[name], dense=cut.dense)

        return forward


def _nothing(like: Tensor, row: tuple[int, ...] | None, *, dense: bool) -> Tensor:
    """Make as many rows as `like` has, of this shape and all NaN: whatever depends on them becomes NaN too."""
    assert row is not None
    if dense:
        return like.new_full((len(like), *row), NAN)
    return like.new_full((), NAN).expand(len(like), *row)


def _seen(name: str, rows: int, sizes: Sizes, *, stop: bool) -> Callable[..., None]:
    def hook(part: nn.Module, args: tuple[Any, ...], output: object) -> None:
        fits = isinstance(output, Tensor) and output.is_floating_point() and output.shape[:1] == (rows,)
        sizes[name] = tuple(output.shape[1:]) if isinstance(output, Tensor) and fits else None
        if stop:
            raise Stop

    return hook


Found = tuple[dict[str, Tensor], Mapping[str, Tensor]]
"""Outputs by layer, the last being the logits, and moments, of a part of a pass."""

Run = Callable[[Tensor, Stretch | None], Found]
"""Runs a pass or a stretch of it, without graph."""


def cuts(run: Run, layers: Sequence[str], trial: Trial, draw: Callable[..., Tensor]) -> dict[str, tuple[Cut, Sizes]]:
    """Find the layers before which a pass can be cut, with the cut and the sizes on rows like the trial's.

    `layers` are those of the body in order. A cut is valid if the layers and moments after it stay the same when the
    module's input and all outputs before it are replaced by NaNs, except the output of the last layer before it:
    anything else that crosses the cut, such as a shortcut, would give NaNs.
    """
    lengths = {size for shape in (*trial.inputs.values(), *trial.outputs.values()) for size in shape}
    rows = draw(next(each for each in count(3) if each not in lengths), *trial.row)
    try:
        whole = run(rows, None)
    except Exception:
        return {}  # the error will be raised by a real pass
    by_layer = {}
    for before, entry in pairwise(layers):
        tried = (_clean(run, rows, whole, before, trial, dense=dense) for dense in (False, True))
        cut = next((each for each in tried if each is not None), None)
        if cut is not None:
            by_layer[entry] = cut
    return by_layer


def _clean(run: Run, rows: Tensor, whole: Found, layer: str, trial: Trial, *, dense: bool) -> tuple[Cut, Sizes] | None:
    """Return the cut after the layer and its sizes, or None if the pass cannot be cut there."""
    if len(trial.ends.get(layer, ())) != 1:
        return None
    cut = Cut(layer=layer, skipped=_before(trial, trial.ends[layer][0]), dense=dense)
    stretch = Stretch(end=cut)
    try:
        first, early = run(rows, stretch)
        if None in stretch.seen.values():
            return None
        output = first[layer]
        given, version = output.clone(), 0
        version = given._version
        second, late = run(given, Stretch(begin=cut, sizes=stretch.seen))
        if given._version != version:
            cut = replace(cut, written=True)
            second, late = run(output.clone(), Stretch(begin=cut, sizes=stretch.seen))
    except Exception:
        return None
    layers, moments = whole
    same = {**first, **second}.keys() == layers.keys() and not early.keys() & late.keys()
    same &= {**early, **late}.keys() == moments.keys()
    same = same and all(near(value, layers[name]) for name, value in second.items())
    return (cut, stretch.seen) if same and all(near(value, moments[name]) for name, value in late.items()) else None


def _before(trial: Trial, place: int) -> tuple[str, ...]:
    """List the parts all of whose calls have ended by this place, none inside another."""
    over = {name for name, ends in trial.ends.items() if max(ends) <= place}
    return tuple(name for name in over if not any(name.startswith(other + ".") for other in over))


def near(value: Tensor, wanted: Tensor) -> bool:
    """Tell whether all values are numbers, and equal up to rounding."""
    tolerance = min(1e3 * torch.finfo(wanted.dtype).eps, 1e-2)
    return value.shape == wanted.shape and torch.allclose(value, wanted, rtol=tolerance, atol=tolerance)
