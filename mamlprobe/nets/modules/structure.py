"""Layers of a user's module: which there are unless told, in which order they run, and who owns which parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets.modules.trial import Trial

FEWEST = 4
"""Layers of the body that are wanted at least: with fewer, parts that hold other parts are opened."""

WHOLE = (
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.conv._ConvNd,
)
"""Parts that are one to a reader, whatever lies in them: a norm with its activation, a conv with what pads it."""

BODY = "body"
"""The layer of a body without parts of its own: what the head is given."""


@dataclass(frozen=True)
class _Unit:
    """Neighbouring parts that make a layer."""

    name: str
    """The part whose output is the layer's."""
    opens: str | None
    """The part in it that holds others, if there is one."""


class _Outline:
    """The parts of a module by name, in the order in which they ran, or else as they were registered."""

    def __init__(self, module: nn.Module, head: str, trial: Trial | None) -> None:
        self.parts = dict(module.named_modules())
        self.head, self.trial = head, trial

    def children(self, name: str) -> list[str]:
        """Names of the direct children that ran before the head, those that hold it or did not run opened."""
        prefix = f"{name}." if name else ""
        found: list[str] = []
        for short, _ in self.parts[name].named_children():
            child = prefix + short
            if child == self.head or child not in self.parts:
                continue
            ran = _runs(self.parts[child]) if self.trial is None else child in self.trial.ends
            closed = ran and not self.head.startswith(child + ".")
            found += [child] if closed else self.children(child)
        if self.trial is not None:
            trial = self.trial
            found = [each for each in found if not trial.behind(each, self.head)]
            found.sort(key=lambda each: trial.end(each, self.head))
        return found

    def owns(self, name: str) -> int:
        """Number of parameters in it."""
        return sum(value.numel() for value in self.parts[name].parameters())

    def leaf(self, name: str) -> bool:
        """Whether it is one part to a reader."""
        part = self.parts[name]
        made = hasattr(part, "parametrizations")  # whose weight is computed from others, as under weight norm
        return made or isinstance(part, WHOLE) or next(part.children(), None) is None

    def chain(self, name: str) -> bool:
        """Whether it is a chain of leaves, such as a stem of several convs, which a norm may follow."""
        return isinstance(self.parts[name], nn.Sequential) and all(map(self.leaf, self.children(name)))

    def starts(self, name: str) -> bool:
        """Whether it is a leaf with weights, such as a conv: the first of a layer."""
        return self.leaf(name) and any(value.ndim > 1 for value in self.parts[name].parameters())

    def units(self, names: Sequence[str]) -> list[_Unit]:
        """Layers of these parts: a leaf with weights and the norm, activation and pool behind it; or a part whole."""
        found: list[list[str]] = []
        open_group = False
        for name in names:
            if self.starts(name):
                found.append([name])
                open_group = True
            elif not self.leaf(name) and self.owns(name):
                found.append([name])
                open_group = self.chain(name)
            elif isinstance(self.parts[name], nn.Flatten | nn.Unflatten):
                open_group = False  # what lies behind is no map of the layer any more
            elif open_group and _parent(name) == _parent(found[-1][0]) and self._follows(name, found[-1][-1]):
                found[-1].append(name)
        units = [_Unit(self._name(group), None if self.leaf(group[0]) else group[0]) for group in found]
        return [unit for unit in units if self.of_rows(unit.name)]

    def _follows(self, name: str, before: str) -> bool:
        """Whether the part works on what the one before gives, and on nothing else."""
        return self.trial is None or self.trial.follows.get(name) == before

    def _name(self, group: Sequence[str]) -> str:
        """The last part of the group in a Sequential, which is where it ends; else the last one with parameters."""
        if isinstance(self.parts[_parent(group[0])], nn.Sequential):
            return group[-1]
        once = [each for each in group if self.trial is None or len(self.trial.ends[each]) == 1]
        return next((each for each in reversed(once) if self.owns(each)), group[0])

    def opened(self, names: Sequence[str], name: str) -> list[str]:
        """The names with the children of one of them in its place."""
        place = list(names).index(name)
        return [*names[:place], *self.children(name), *names[place + 1 :]]

    def may_open(self, name: str, alone: bool) -> bool:
        """Whether a reader would look into it: a container of parts, what holds one, or all there is."""
        part = self.parts[name]
        if alone or isinstance(part, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            return True
        inside = [each for each in part.children() if isinstance(each, nn.Sequential | nn.ModuleList | nn.ModuleDict)]
        return any(sum(_weighs(item) for item in each.children()) > 1 for each in inside) and not _residual(part)

    def stages(self, name: str) -> bool:
        """Whether nearly all parameters lie in it, or most of them in parts of which two or more may be opened."""
        if not isinstance(self.parts[name], nn.Sequential | nn.ModuleList | nn.ModuleDict):
            return False
        here, everywhere = (sum(1 for _ in self.parts[each].parameters()) for each in (name, ""))
        inside = sum(self.may_open(each, False) for each in self.children(name))
        return here > (0.5 if inside > 1 else 0.85) * everywhere

    def of_rows(self, name: str) -> bool:
        """Whether its output has an axis of rows, as far as that is known; that of pixels or windows has none."""
        return self.trial is None or name not in self.trial.rowless

    def layers(self) -> list[str]:
        """Names of the body's layers."""
        names = self.children("")
        while True:
            units = self.units(names)
            few, alone = len(units) < FEWEST, len(units) == 1
            held = [each.opens for each in units if each.opens]
            wide = [each for each in held if self.stages(each) or (few and self.may_open(each, alone))]
            wide.sort(key=lambda each: (self.stages(each), self.owns(each)), reverse=True)
            better = [more for each in wide if (more := self._more(names, each))]
            if not better:
                return [unit.name for unit in units]
            names = better[0]

    def _more(self, names: Sequence[str], name: str) -> list[str] | None:
        """The names with this one opened as far as it takes to have more layers; None where that never comes."""
        now, more = len(self.units(names)), self.opened(names, name)
        while len(units := self.units(more)) <= now:
            inner = [each.opens for each in units if each.opens and each.opens not in names]
            inner = [each for each in inner if self.may_open(each, len(units) == 1)]
            if not inner:
                return None
            more = self.opened(more, inner[0])
        return more


def _runs(part: nn.Module) -> bool:
    """Whether the module has a forward pass of its own."""
    return type(part).forward is not nn.Module.forward


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _weighs(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None


def _residual(part: nn.Module) -> bool:
    """Whether most of its weights lie beside the containers in it, as those of a block with a shortcut do."""
    inside = [each for each in part.children() if isinstance(each, nn.Sequential | nn.ModuleList | nn.ModuleDict)]
    size = sum(value.numel() for value in part.parameters())
    return sum(value.numel() for each in inside for value in each.parameters()) * 2 < size


def default_layers(module: nn.Module, head: str, trial: Trial | None) -> list[str]:
    """Names of the layers of the body that a reader would name: blocks, or stages where blocks are many.

    A conv or linear layer counts with the norm, activation and pool behind it and goes by the last of them; containers
    are opened until there are `FEWEST`.
    """
    return _Outline(module, head, trial).layers()


def ordered(layers: Sequence[str], head: str, trial: Trial | None) -> list[str]:
    """The layers in the order in which they end their last call; as given where that is not known.

    Raises:
        UserError: a layer that runs behind the head.
    """
    if trial is None or any(name not in trial.ends for name in layers):
        return list(layers)
    late = [name for name in layers if trial.behind(name, head)]
    if late:
        must, advice = "layers must run before the head", "leave it out, or name another head"
        raise UserError("wrap", must, f"{late[0]!r} behind {head!r}", advice)
    return sorted(layers, key=lambda name: trial.end(name, head))


def owners(module: nn.Module, head: str, layers: Sequence[str], trial: Trial | None) -> dict[str, str]:
    """Parameter -> the layer that owns it, each exactly one; `layers` are those of the body in order.

    A parameter belongs to the first layer that ends after its first use: in most modules the one that it lies in. One
    without a use is that layer's, of nested ones the innermost's; of those outside of every layer the last one of the
    body has what none ends after. Where no pass was looked at, the order of registration stands for that of use.
    """
    names = [name for name, _ in module.named_parameters()]
    places, order = _places(names, layers, head, trial), [*layers, head]
    if trial is not None:
        order.sort(key=lambda layer: places[layer])  # parts may run behind the head too
    found = {}
    for number, name in enumerate(names):
        inside = [layer for layer in (*layers, head) if name.startswith(layer + ".")]
        if inside and (trial is None or name not in trial.uses):
            found[name] = max(inside, key=len)
            continue
        use = number if trial is None else trial.uses.get(name)
        first = next((layer for layer in order if use is not None and places.get(layer, -1) > use), head)
        found[name] = layers[-1] if first == head and head not in inside else first
    return found


def same_owners(module: nn.Module, known: Mapping[str, str], layers: Sequence[str], trial: Trial) -> None:
    """Refuses a net whose parameters are first used in other layers than was known of it; `layers` end in the head.

    Raises:
        UserError: there is such a parameter, while the layers run in their order.
    """
    *body, head = layers
    found = owners(module, head, body, trial)
    odd = [name for name in found if found[name] != known[name]]
    if odd and ordered(body, head, trial) == body:
        must = f"the layer that owns {odd[0]} must be known, which is {found[odd[0]]!r} where it is first used"
        advice = "give wrap(inputs=) an example of its inputs, or the shape of a row"
        raise UserError("wrap", must, repr(known[odd[0]]), advice)


def _places(names: Sequence[str], layers: Sequence[str], head: str, trial: Trial | None) -> dict[str, float]:
    """Where each layer ends: its place in the pass, or behind the last parameter registered before its successor's."""
    if trial is not None:
        return {layer: trial.end(layer, head) for layer in (*layers, head)}
    found: dict[str, float] = {}
    for layer in layers:
        own = [number for number, name in enumerate(names) if name.startswith(layer + ".")]
        found[layer] = own[-1] if own else -1
    order = {name: number for number, name in enumerate(names)}
    for layer in layers:
        if found[layer] < 0:  # without parameters: behind those registered before it in the same container
            container, _, short = layer.rpartition(".")
            before = [
                number
                for name, number in order.items()
                if short.isdigit()
                and name.startswith(f"{container}." if container else "")
                and (part := name.removeprefix(f"{container}." if container else "").split(".")[0]).isdigit()
                and int(part) < int(short)
            ]
            found[layer] = max(before, default=-1) + 0.5
    return found
