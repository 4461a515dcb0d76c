"""Where a module's pass can be cut between two layers: found by numbers; passes that end or begin at a cut."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mamlprobe.nets.modules.trial import Trial

Sizes = dict[str, tuple[int, ...] | None]
"""Part -> shape of a row of its output, None where it gives something else; the empty name: of the module's input."""

NAN = float("nan")


class Stop(BaseException):
    """A pass has come as far as it should; no error, and none that a module catches."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A place in a module's pass behind which nothing from before is needed but what one layer gave."""

    layer: str
    """The layer that gives it."""
    skipped: tuple[str, ...]
    """The parts that run before the cut alone, none inside another."""
    dense: bool = False
    """Whether the module writes into what stands for the output of a skipped part."""
    written: bool = False
    """Whether the module writes into what the layer gave."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The part of a pass between two cuts: from the input where there is no first, to the logits where no second."""

    begin: Cut | None = None
    sizes: Sizes = field(default_factory=dict)
    """What stands for the outputs before `begin`."""
    end: Cut | None = None
    seen: Sizes = field(default_factory=dict)
    """Told by a pass that ends there: the same for one that begins there."""

    @property
    def name(self) -> str:
        """What tells it from others."""
        return f"{self.begin.layer if self.begin else ''}:{self.end.layer if self.end else ''}"

    def rows(self, given: Tensor) -> Tensor:
        """The module's input [R, ...]: what is given, or no numbers where the pass begins at a cut."""
        return given if self.begin is None else _nothing(given, self.sizes[""], dense=True)

    @contextmanager
    def within(self, module: nn.Module, given: Tensor) -> Iterator[None]:
        """Inside, a pass of the module is this part of it; `given` is what it begins with."""
        parts, hooks, before = dict(module.named_modules()), [], {}
        if self.end is not None:
            self.seen[""] = tuple(given.shape[1:]) if self.begin is None else self.sizes[""]
            for name in self.end.skipped:
                stop = name == self.end.layer
                hooks.append(parts[name].register_forward_hook(_seen(name, len(given), self.seen, stop=stop)))
        if self.begin is not None:
            for name in self.begin.skipped:
                own = parts[name].__dict__
                before[name] = own.get("forward")
                own["forward"] = self._stand_in(name, given)
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
        """What runs in place of the part: it gives `given` where that is the layer before the cut, else no numbers."""
        cut = self.begin
        assert cut is not None

        def forward(*args: Any, **words: Any) -> Tensor:
            if name == cut.layer:
                return given.clone() if cut.written else given
            return _nothing(given, self.sizes[name], dense=cut.dense)

        return forward


def _nothing(like: Tensor, row: tuple[int, ...] | None, *, dense: bool) -> Tensor:
    """Rows of this shape that are not numbers, as many as `like` has: what depends on them is seen."""
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
"""What a pass or a part of it gives, without graph."""


def cuts(run: Run, layers: Sequence[str], trial: Trial, draw: Callable[..., Tensor]) -> dict[str, tuple[Cut, Sizes]]:
    """The layers before which a pass can be cut, with the cut and the sizes on rows like the trial's.

    `layers` are those of the body in order. A cut is one where the layers and moments behind it come out the same when
    all that the parts before it gave is taken away but the output of the last layer, and the module's input too: what
    else goes past the cut, such as a shortcut, would show.
    """
    lengths = {size for shape in (*trial.inputs.values(), *trial.outputs.values()) for size in shape}
    rows = draw(next(each for each in count(3) if each not in lengths), *trial.row)
    try:
        whole = run(rows, None)
    except Exception:
        return {}  # as a pass will tell
    found = {}
    for before, entry in pairwise(layers):
        tried = (_clean(run, rows, whole, before, trial, dense=dense) for dense in (False, True))
        cut = next((each for each in tried if each is not None), None)
        if cut is not None:
            found[entry] = cut
    return found


def _clean(run: Run, rows: Tensor, whole: Found, layer: str, trial: Trial, *, dense: bool) -> tuple[Cut, Sizes] | None:
    """The cut behind the layer and its sizes, if it is one."""
    if len(trial.ends.get(layer, ())) != 1:
        return None
    cut = Cut(layer=layer, skipped=_before(trial, trial.ends[layer][0]), dense=dense)
    stretch = Stretch(end=cut)
    try:
        first, early = run(rows, stretch)
        if None in stretch.seen.values():
            return None
        held = first[layer]
        given, version = held.clone(), 0
        version = given._version
        second, late = run(given, Stretch(begin=cut, sizes=stretch.seen))
        if given._version != version:
            cut = replace(cut, written=True)
            second, late = run(held.clone(), Stretch(begin=cut, sizes=stretch.seen))
    except Exception:
        return None
    layers, moments = whole
    same = {**first, **second}.keys() == layers.keys() and not early.keys() & late.keys()
    same &= {**early, **late}.keys() == moments.keys()
    same = same and all(near(value, layers[name]) for name, value in second.items())
    return (cut, stretch.seen) if same and all(near(value, moments[name]) for name, value in late.items()) else None


def _before(trial: Trial, place: int) -> tuple[str, ...]:
    """The parts all of whose calls have ended by this place, none inside another."""
    over = {name for name, ends in trial.ends.items() if max(ends) <= place}
    return tuple(name for name in over if not any(name.startswith(other + ".") for other in over))


def near(found: Tensor, wanted: Tensor) -> bool:
    """Whether all are numbers, and the same but for the last digits."""
    near = min(1e3 * torch.finfo(wanted.dtype).eps, 1e-2)
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=near, atol=near)
