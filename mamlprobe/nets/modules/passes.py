"""Passes of a user's module, whole or part of one: task by task, with the layers checked and put in order."""

from collections.abc import Callable, Sequence
from threading import Lock

import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets.conv4_module import Recognised
from mamlprobe.nets.modules.copies import Stock
from mamlprobe.nets.modules.cut_points import Cut, Found, Sizes, Stretch, cuts, near
from mamlprobe.nets.modules.output import Output, logits_of
from mamlprobe.nets.modules.runner import Caught, Runner, of_rows
from mamlprobe.nets.modules.structure import BODY
from mamlprobe.nets.modules.task_by_task import by_size, one_by_one, together
from mamlprobe.nets.modules.trial import Trial
from mamlprobe.nets.net import ForwardPass, Moments, Params


class Cutting(Recognised):
    """A net made of a module whose passes can end and begin before the head, and at valid cuts between layers."""

    layers: tuple[str, ...]
    known: Trial | None
    output: Output
    _keywords: tuple[str, ...]
    _parts: dict[str, nn.Module]
    _tails: dict[int, tuple[int, ...]]
    _row_axes: dict[str, int]
    _runners: Stock[Runner]
    _cut: dict[str, Cut] | None = None
    _rowwise: bool | None = None
    _sizes: dict[tuple[str, tuple[int, ...]], Sizes]
    """By entry and the shape of a row of its input."""
    _looking: Lock

    @property
    def entries(self) -> tuple[str, ...]:
        """List the layers before which a pass can be cut, and the head if its input is one tensor; found at first use.

        Layers that are no entries may take anything else as input too, such as a shortcut.
        """
        by_layer = self._cuts
        if self.known_as is not None:
            by_layer = {entry: cut for entry, cut in by_layer.items() if entry in self.known_as.entries}
        return (*by_layer, *[self.head_name] * (len(self._keywords) == 1))

    @property
    def _cuts(self) -> dict[str, Cut]:
        """Return the cuts between layers of the body, by the layer after the cut; found at first use."""
        if self._cut is None:
            with self._looking:
                if self._cut is None:
                    self._cut = self._find_cuts()
        return self._cut

    def _find_cuts(self) -> dict[str, Cut]:
        self._sizes = {}
        body, trial = self.layers[:-1], self.known
        if trial is None or body[0] not in self._parts:
            return {}
        if not self._like.is_floating_point():
            return {}
        plain = torch.autocast(self._like.device.type, enabled=False)
        with torch.inference_mode(False), torch.no_grad(), plain, self._runners.one() as runner:
            params, draw = self._random()

            def run(rows: Tensor, stretch: Stretch | None) -> Found:
                caught = runner.run(params, rows, None, collect=True, stretch=stretch)
                if stretch is None or stretch.end is None:
                    head = caught.layers[self.head_name]
                    caught.layers[self.head_name] = logits_of(caught.output, head, self.output, self.head_name)
                return {name: caught.layers[name] for name in _of(stretch, self.layers)}, caught.moments

            by_layer = cuts(run, body, trial, draw)
        for entry, (_, sizes) in by_layer.items():
            row = sizes[self.layers[self.layers.index(entry) - 1]]
            assert row is not None
            self._sizes[entry, row] = sizes
        return {entry: cut for entry, (cut, _) in by_layer.items()}

    @property
    def rowwise(self) -> bool:
        """Tell whether outputs of a row depend on that row alone: found numerically at first use, on random weights.

        Rows together must give the same as each half of them.
        """
        if self._rowwise is None:
            with self._looking:
                if self._rowwise is None:
                    self._rowwise = self._same_alone()
        return self._rowwise

    def _same_alone(self) -> bool:
        if self.known is None or self.known_as is not None or not self._like.is_floating_point():
            return False
        plain = torch.autocast(self._like.device.type, enabled=False)
        with torch.inference_mode(False), torch.no_grad(), plain, self._runners.one() as runner:
            params, draw = self._random()
            rows = draw(4, *self.known.row)
            try:
                whole, *halves = (runner.run(params, each, None, collect=True) for each in (rows, rows[:2], rows[2:]))
                pairs = [
                    (torch.cat([half.layers[name] for half in halves]), value) for name, value in whole.layers.items()
                ]
                return not whole.moments and all(near(apart, wanted) for apart, wanted in pairs)
            except Exception:
                return False  # it needs more rows, or its layers have them on another axis

    @property
    def _like(self) -> Tensor:
        """Return the first parameter of a floating-point type, else an empty tensor of integers."""
        values = [value.detach() for value in self.module.parameters() if value.is_floating_point()]
        return values[0] if values else torch.empty(0, dtype=torch.int64)

    def _random(self) -> tuple[Params, Callable[..., Tensor]]:
        """Return the module's parameters plus seeded noise, and a function that draws tensors of their type."""
        like, draws = self._like, torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draws, device="cpu").to(like)

        values = {name: value.detach() for name, value in self.module.named_parameters()}
        return {n: v + draw(*v.shape) / 8 if v.is_floating_point() else v for n, v in values.items()}, draw

    def plainly(
        self,
        params: Params,
        x: Tensor,
        moments: Moments | None,
        collect: bool,
        end: str | None,
        begin: str | None = None,
    ) -> ForwardPass:
        """Run a pass of the module itself, on inputs in the precision of the parameters; it cannot begin at the head.

        Raises:
            UserError: inputs of a shape with which no earlier pass has ended at `begin`.
        """
        stretch = None if begin is None and end in (None, self.head_name) else self._stretch(x, begin, end)
        with self._runners.one() as runner:
            caught = [
                self._checked(
                    runner.run(task_params, rows, task_moments, collect=collect, stretch=stretch), rows, stretch
                )
                for task_params, rows, task_moments in one_by_one(params, x, moments)
            ]
        names = [name for name in caught[0].layers if name != end]
        layers = {name: together([each.layers[name] for each in caught]) for name in names}
        collected = {name: together([each.moments[name] for each in caught]) for name in caught[0].moments}
        if stretch is not None and stretch.end is not None:
            features = layers[stretch.end.layer]
            self._sizes[end or "", tuple(features.shape[2:])] = dict(stretch.seen)
        else:
            self._tails |= by_size([caught[0].inputs[0].shape[1:]])
            features = together([each.inputs[0].flatten(1) for each in caught])
        return ForwardPass(layers=layers, features=features, moments=collected)

    def _stretch(self, x: Tensor, begin: str | None, end: str | None) -> Stretch:
        """Return the stretch of a pass from one entry to the other."""
        last = None if end in (None, self.head_name) else self._cuts[end or ""]
        if begin is None:
            return Stretch(end=last)
        row, cut = tuple(x.shape[2:]), self._cuts[begin]
        if (begin, row) not in self._sizes:
            must, advice = (
                f"a pass that begins with {begin!r} must be given what another gave that ended there",
                ("run one with end= on the same images first"),
            )
            raise UserError("pass", must, f"rows of shape {list(row)}", advice)
        return Stretch(begin=cut, sizes=self._sizes[begin, row], end=last)

    def _checked(self, caught: Caught, rows: Tensor, stretch: Stretch | None) -> Caught:
        """Check a pass and return it with rows on the first axis, layers in the net's order, the logits last.

        Raises:
            UserError: a layer did not run, the layers ran in another order, or the head is not the last.
        """
        count, head, layers = rows.shape[0], self.head_name, _of(stretch, self.layers)
        if stretch is not None:
            caught.layers = {name: value for name, value in caught.layers.items() if name in layers}
        if head in layers:
            if not caught.inputs or head not in caught.layers:
                must = "the head must run in the forward pass"
                raise UserError("wrap", must, repr(head), "name the last linear layer")
            logits = logits_of(caught.output, caught.layers[head], self.output, head)
            value = of_rows(head, self._parts[head], caught.inputs[0], count, self._row_axes.get("input of " + head))
            caught.inputs[:] = [value]
            if layers[0] == BODY and BODY not in self._parts:
                caught.layers = {BODY: value.flatten(1), **caught.layers}
        missing = [name for name in layers if name not in caught.layers]
        if missing:
            raise UserError("wrap", "every layer must run in the forward pass", missing, "name other layers")
        order = tuple(caught.layers)
        if order != layers:
            got, advice = ", ".join(layers), f"give wrap an example of its inputs, or layers={list(order[:-1])}"
            raise UserError("wrap", f"layers must be in the order in which they run, {', '.join(order)}", got, advice)
        body = {
            name: of_rows(name, self._parts[name], caught.layers[name], count, self._row_axes.get(name))
            for name in order
            if name in self._parts
        }
        caught.layers = {name: body.get(name, caught.layers[name]) for name in order}
        if head in layers:
            caught.layers[head] = logits
        return caught


def _of(stretch: Stretch | None, layers: Sequence[str]) -> tuple[str, ...]:
    """Select the layers of the stretch."""
    if stretch is None:
        return tuple(layers)
    first = 0 if stretch.begin is None else layers.index(stretch.begin.layer) + 1
    return tuple(layers[first : None if stretch.end is None else layers.index(stretch.end.layer) + 1])
