"""Layers of a user's module: the default ones, the order in which they run, and the layer of each parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets.modules.trial import Trial

FEWEST = 4
"""The body should have at least that many layers: with fewer, containers are opened into their children."""

WHOLE = (
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.conv._ConvNd,
)
"""Parts that are never opened, whatever is in them: a norm with its activation, a conv with its padding."""

BODY = "body"
"""The layer of a body without parts: the input of the head."""


@dataclass(frozen=True)
class _Unit:
    """Neighbouring parts that form a layer."""

    name: str
    """The part whose output is the layer's."""
    opens: str | None
    """The part in it that has children and may be opened, if there is one."""


class _Outline:
    """The parts of a module by name, in the order in which they ran, or else as they were registered."""

    def __init__(self, module: nn.Module, head: str, trial: Trial | None) -> None:
        self.parts = dict(module.named_modules())
        self.head, self.trial = head, trial

    def children(self, name: str) -> list[str]:
        """List the direct children that ran before the head; those around it or that did not run are opened."""
        prefix = f"{name}." if name else ""
        names: list[str] = []
        for short, _ in self.parts[name].named_children():
            child = prefix + short
            if child == self.head or child not in self.parts:
                continue
            ran = _runs(self.parts[child]) if self.trial is None else child in self.trial.ends
            closed = ran and not self.head.startswith(child + ".")
            names += [child] if closed else self.children(child)
        if self.trial is not None:
            trial = self.trial
            names = [each for each in names if not trial.behind(each, self.head)]
            names.sort(key=lambda each: trial.end(each, self.head))
        return names

    def owns(self, name: str) -> int:
        """Count the parameters in it."""
        return sum(value.numel() for value in self.parts[name].parameters())

    def leaf(self, name: str) -> bool:
        """Tell whether it is a leaf: it has no children, or they are part of its computation."""
        part = self.parts[name]
        made = hasattr(part, "parametrizations")  # its weight is computed from others, as under weight norm
        return made or isinstance(part, WHOLE) or next(part.children(), None) is None

    def chain(self, name: str) -> bool:
        """Tell whether it is a chain of leaves, such as a stem of several convs, which a norm may follow."""
        return isinstance(self.parts[name], nn.Sequential) and all(map(self.leaf, self.children(name)))

    def starts(self, name: str) -> bool:
        """Tell whether it is a leaf with weights, such as a conv: the first of a layer."""
        return self.leaf(name) and any(value.ndim > 1 for value in self.parts[name].parameters())

    def units(self, names: Sequence[str]) -> list[_Unit]:
        """Group parts into layers: a leaf with weights and the norm, activation and pool after it; or a whole part."""
        groups: list[list[str]] = []
        open_group = False
        for name in names:
            if self.starts(name):
                groups.append([name])
                open_group = True
            elif not self.leaf(name) and self.owns(name):
                groups.append([name])
                open_group = self.chain(name)
            elif isinstance(self.parts[name], nn.Flatten | nn.Unflatten):
                open_group = False  # what follows is no feature map of the layer any more
            elif open_group and _parent(name) == _parent(groups[-1][0]) and self._follows(name, groups[-1][-1]):
                groups[-1].append(name)
        units = [_Unit(self._name(group), None if self.leaf(group[0]) else group[0]) for group in groups]
        return [unit for unit in units if self.of_rows(unit.name)]

    def _follows(self, name: str, before: str) -> bool:
        """Tell whether the only input of the part is the output of the one before."""
        return self.trial is None or self.trial.follows.get(name) == before

    def _name(self, group: Sequence[str]) -> str:
        """Name a group by its last part if it is in a Sequential, else by its last part with parameters."""
        if isinstance(self.parts[_parent(group[0])], nn.Sequential):
            return group[-1]
        once = [each for each in group if self.trial is None or len(self.trial.ends[each]) == 1]
        return next((each for each in reversed(once) if self.owns(each)), group[0])

    def opened(self, names: Sequence[str], name: str) -> list[str]:
        """Replace one of the names by those of its children."""
        place = list(names).index(name)
        return [*names[:place], *self.children(name), *names[place + 1 :]]

    def may_open(self, name: str, alone: bool) -> bool:
        """Tell whether it may be opened: a container, the only layer, or a part around containers, not residual."""
        part = self.parts[name]
        if alone or isinstance(part, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            return True
        inside = [each for each in part.children() if isinstance(each, nn.Sequential | nn.ModuleList | nn.ModuleDict)]
        return any(sum(_weighs(item) for item in each.children()) > 1 for each in inside) and not _residual(part)

    def stages(self, name: str) -> bool:
        """Tell whether it has nearly all parameters, or most of them and two or more parts that may be opened."""
        if not isinstance(self.parts[name], nn.Sequential | nn.ModuleList | nn.ModuleDict):
            return False
        here, everywhere = (sum(1 for _ in self.parts[each].parameters()) for each in (name, ""))
        inside = sum(self.may_open(each, False) for each in self.children(name))
        return here > (0.5 if inside > 1 else 0.85) * everywhere

    def of_rows(self, name: str) -> bool:
        """Tell whether its output may have an axis of rows; an output with pixels or windows on that axis has none."""
        return self.trial is None or name not in self.trial.rowless

    def layers(self) -> list[str]:
        """Choose the body's layers; return their names."""
        names = self.children("")
        while True:
            units = self.units(names)
            few, alone = len(units) < FEWEST, len(units) == 1
            openable = [each.opens for each in units if each.opens]
            wide = [each for each in openable if self.stages(each) or (few and self.may_open(each, alone))]
            wide.sort(key=lambda each: (self.stages(each), self.owns(each)), reverse=True)
            better = [more for each in wide if (more := self._more(names, each))]
            if not better:
                return [unit.name for unit in units]
            names = better[0]

    def _more(self, names: Sequence[str], name: str) -> list[str] | None:
        """Open this part until there are more layers than now and return the names; None if that cannot be reached."""
        now, more = len(self.units(names)), self.opened(names, name)
        while len(units := self.units(more)) <= now:
            inner = [each.opens for each in units if each.opens and each.opens not in names]
            inner = [each for each in inner if self.may_open(each, len(units) == 1)]
            if not inner:
                return None
            more = self.opened(more, inner[0])
        return more


def _runs(part: nn.Module) -> bool:
    """Tell whether the module's class defines a forward pass."""
    return type(part).forward is not nn.Module.forward


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _weighs(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None


def _residual(part: nn.Module) -> bool:
    """Tell whether most of its weights are outside the containers in it, as in a block with a shortcut."""
    inside = [each for each in part.children() if isinstance(each, nn.Sequential | nn.ModuleList | nn.ModuleDict)]
    size = sum(value.numel() for value in part.parameters())
    return sum(value.numel() for each in inside for value in each.parameters()) * 2 < size


def default_layers(module: nn.Module, head: str, trial: Trial | None) -> list[str]:
    """Choose the default layers of the body and return their names: blocks, or stages if there are many blocks.

    A conv or linear layer and the norm, activation and pool after it are one layer, named after the last of them;
    containers are opened until there are at least `FEWEST` layers.
    """
    return _Outline(module, head, trial).layers()


def ordered(layers: Sequence[str], head: str, trial: Trial | None) -> list[str]:
    """Sort the layers by the end of their last call; keep their order if that is not known.

    Raises:
        UserError: a layer that runs after the head.
    """
    if trial is None or any(name not in trial.ends for name in layers):
        return list(layers)
    late = [name for name in layers if trial.behind(name, head)]
    if late:
        must, advice = "layers must run before the head", "leave it out, or name another head"
        raise UserError("wrap", must, f"{late[0]!r} behind {head!r}", advice)
    return sorted(layers, key=lambda name: trial.end(name, head))


def owners(module: nn.Module, head: str, layers: Sequence[str], trial: Trial | None) -> dict[str, str]:
    """Map each parameter to the one layer that owns it; `layers` are those of the body in order.

    A parameter belongs to the first layer that ends after its first use: in most modules the one that it is in. A
    parameter that is never used belongs to the innermost layer that it is in. If no layer of the body ends after the
    first use, the last layer of the body owns a parameter outside of the head. Without a trial pass, the order of
    registration is taken for that of use.
    """
    names = [name for name, _ in module.named_parameters()]
    places, order = _places(names, layers, head, trial), [*layers, head]
    if trial is not None:
        order.sort(key=lambda layer: places[layer])  # parts may run after the head too
    owner_of = {}
    for number, name in enumerate(names):
        inside = [layer for layer in (*layers, head) if name.startswith(layer + ".")]
        if inside and (trial is None or name not in trial.uses):
            owner_of[name] = max(inside, key=len)
            continue
        use = number if trial is None else trial.uses.get(name)
        first = next((layer for layer in order if use is not None and places.get(layer, -1) > use), head)
        owner_of[name] = layers[-1] if first == head and head not in inside else first
    return owner_of


def same_owners(module: nn.Module, known: Mapping[str, str], layers: Sequence[str], trial: Trial) -> None:
    """Refuse a net with a parameter whose layer is not the one in `known`; `layers` end with the head.

    Raises:
        UserError: there is such a parameter, while the layers run in their order.
    """
    *body, head = layers
    owner_of = owners(module, head, body, trial)
    odd = [name for name in owner_of if owner_of[name] != known[name]]
    if odd and ordered(body, head, trial) == body:
        must = f"the layer that owns {odd[0]} must be known, which is {owner_of[odd[0]]!r} where it is first used"
        advice = "give wrap(inputs=) an example of its inputs, or the shape of a row"
        raise UserError("wrap", must, repr(known[odd[0]]), advice)


def _places(names: Sequence[str], layers: Sequence[str], head: str, trial: Trial | None) -> dict[str, float]:
    """Find where each layer ends: its place in the pass; without a trial, the index of its last parameter."""
    if trial is not None:
        return {layer: trial.end(layer, head) for layer in (*layers, head)}
    places: dict[str, float] = {}
    for layer in layers:
        inside = [number for number, name in enumerate(names) if name.startswith(layer + ".")]
        places[layer] = inside[-1] if inside else -1
    order = {name: number for number, name in enumerate(names)}
    for layer in layers:
        if places[layer] < 0:  # without parameters: after those registered before it in the same container
            container, _, short = layer.rpartition(".")
            before = [
                number
                for name, number in order.items()
                if short.isdigit()
                and name.startswith(f"{container}." if container else "")
                and (part := name.removeprefix(f"{container}." if container else "").split(".")[0]).isdigit()
                and int(part) < int(short)
            ]
            places[layer] = max(before, default=-1) + 0.5
    return places
