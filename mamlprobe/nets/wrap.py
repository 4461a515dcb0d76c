"""`wrap`, which makes a net of any ``nn.Module``."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.nets.inputs import MOST
from mamlprobe.nets.modules.copies import innermost, lazy_parameters, private
from mamlprobe.nets.modules.feature_axis import WORDS
from mamlprobe.nets.modules.output import Output
from mamlprobe.nets.modules.runner import explaining_failures
from mamlprobe.nets.modules.structure import default_layers
from mamlprobe.nets.modules.trial import Trial, look, refuse_odd
from mamlprobe.nets.modules.trial_inputs import tried
from mamlprobe.nets.modules.wrapped import Wrapped
from mamlprobe.nets.params import as_params

__all__ = ["Wrapped", "wrap"]


@door()
def wrap(
    module: nn.Module,
    head: str,
    *,
    layers: Sequence[str] | None = None,
    output: Output = None,
    inputs: Tensor | Sequence[int] | None = None,
    features: str | Mapping[str, str] | None = None,
    kernels: bool = True,
) -> Wrapped:
    """Make a net of any ``nn.Module`` that maps rows [R, ...] to logits [R, N]; the module is copied, never changed.

    `head` is the prefix of the head's parameters (its last layer), `layers` the modules to record and to freeze by; by
    default its blocks: a conv or linear layer with the norm, activation and pool behind it, or the parts of the
    containers that hold them. Layers are put in the order in which they run, and every parameter belongs to one: to the
    first that ends after its first use, nearly always the one it lies in; else to the last of the body.

    `output` says where the logits are in what the module returns: a key, an attribute or a place; by default they are
    looked for. `inputs` is an example [R, ...], or the shape of a row, to find the order of the layers and the shapes
    of lazy ones by; without it likely shapes are tried. `features` says for layers that give more than two axes whether
    features are the "first" axis behind the rows or the "last"; by default the kind of the layer tells.

    Parameters keep the module's names, without those of `DataParallel` and ``torch.compile``; for patterns their roles
    are ``head.*`` and ``body.*``. Those with ``requires_grad=False`` neither adapt nor are meta-learned. Norms follow
    the method's norm regime; one that is called twice has one pair of running moments, those of its first call.

    A module that computes what `Conv4` does, as its numbers show, runs on its blocks, all tasks together; passes that
    return its layers run the module itself. In others the convolutions of float32 on a CPU have channels innermost
    in memory, those of three by three pixels and many channels run on the same kernels, and second derivatives of
    convolutions and batch norms are written out. Neither is done if `kernels` is false; in float64 only the first.

    Raises:
        UserError: a head or a layer that does not exist, a head without parameters, lazy layers without an example, a
            module that cannot be copied or whose passes are random.

    Examples:
        >>> import mamlprobe as mp
        >>> from torch import nn
        >>> body = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        >>> net = mp.wrap(nn.Sequential(body, nn.Linear(144, 5)), head="1", inputs=(1, 14, 14))
        >>> net.layers, net.linear
        (('0', '1'), True)
        >>> {name: net.roles(name) for name in net.parameters if "weight" in name}
        {'0.0.weight': 'body.0.0.weight', '0.1.weight': 'body.0.1.norm.weight',
        '1.weight': 'head.weight'}
        >>> mp.wrap(nn.Sequential(body, nn.Linear(144, 5)), head="fc")
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: wrap: the head must be a known one, got 'fc'; did you
        mean 1, 0.1, 0.0, 0?
    """
    copied, fixed = private(module)
    example = None if inputs is None else _example(inputs, copied)
    _whole(copied, example)
    known = [name for name, _ in copied.named_modules() if name]
    inside = _inside(module, copied)
    head, *chosen = (inside.get(name, name) for name in (head, *(layers or ())))
    if head not in known:
        raise unknown("wrap", "head", head, _heads(copied))
    for name in chosen:
        if name not in known:
            raise unknown("wrap", "layer", name, known)
    if next(copied.get_submodule(head).parameters(), None) is None:
        raise UserError("wrap", "the head must have parameters", repr(head), "name the last linear layer")
    theirs = {id(value) for value in module.parameters()}
    trial = tried(copied, strangers=theirs) if example is None else _looked(copied, example, theirs)
    if trial is not None:
        refuse_odd(trial)
    names = chosen or default_layers(copied, head, trial)
    names = [name for name in dict.fromkeys(names) if name != head and not name.startswith(head + ".")]
    axes, given = _axes(features, names), module.parameters()
    return Wrapped(
        copied,
        head,
        names,
        trial=trial,
        fixed=fixed,
        output=output,
        features=axes,
        theirs=given,
        kernels=kernels,
    )


def _heads(module: nn.Module) -> list[str]:
    """Return the names of the parts with parameters, linear layers first, from the last one on."""
    parts = {name: part for name, part in module.named_modules() if name and any(True for _ in part.parameters())}
    linear = [name for name, part in parts.items() if isinstance(part, nn.Linear)]
    return [*reversed(linear), *(name for name in reversed(parts) if name not in linear)]


def _inside(module: nn.Module, copied: nn.Module) -> dict[str, str]:
    """Map the name of a part to its name in the copy, if it has one: without wrappers, and the first of several."""
    first = {id(part): name for name, part in copied.named_modules()}
    places = {name: first[id(part)] for name, part in copied.named_modules(remove_duplicate=False)}
    named = {own_name: own_name for own_name in places} | dict(_bare(module))
    return {name: places[bare] for name, bare in named.items() if bare in places}


def _bare(part: nn.Module, name: str = "", bare: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names of all parts, each with the name it has without wrappers such as `DataParallel`."""
    yield name, bare
    shell = innermost(part) is not part
    for short, child in part.named_children():
        yield from _bare(child, f"{name}.{short}".lstrip("."), bare if shell else f"{bare}.{short}".lstrip("."))


def _example(inputs: Tensor | Sequence[int], module: nn.Module) -> Tensor:
    """Return up to two rows of an example [R, ...], or make two from the shape of a row."""
    if isinstance(inputs, Tensor):
        if not inputs.ndim or not inputs.numel() or inputs.is_meta:
            got = f"{list(inputs.shape)} on {inputs.device}"
            raise UserError("wrap", "inputs must be an example [R, ...] with values", got, "give two rows")
        return inputs[:2].detach()
    if not all(1 <= size <= MOST for size in inputs) or math.prod(inputs) > MOST:
        must = f"inputs must be the shape of a row of 1 to {MOST:,} numbers"
        raise UserError("wrap", must, list(inputs), "give C, H, W of an image")
    kinds = [part for part in module.modules() if next(part.parameters(recurse=False), None) is not None]
    if kinds and isinstance(kinds[0], nn.Embedding) and len(inputs) == 1:
        return torch.zeros(2, *inputs, dtype=torch.long, device="cpu")
    floats = [value.dtype for value in module.parameters() if value.is_floating_point()]
    return torch.ones(2, *inputs, dtype=floats[0] if floats else torch.float32, device="cpu")


def _whole(module: nn.Module, example: Tensor | None) -> None:
    """Give lazy layers their shapes by a pass on the example.

    Raises:
        UserError: lazy layers without an example, or that did not run on it.
    """
    lazy = lazy_parameters(module)
    if lazy and example is not None:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), explaining_failures(module, example):
            module(example)
        lazy = lazy_parameters(module)
    if lazy:
        must, advice = "every parameter must have a shape", "run the module once, or give wrap(inputs=) an example"
        raise UserError("wrap", must, f"lazy {lazy[0]}", advice)
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def _looked(module: nn.Module, example: Tensor, strangers: Collection[int]) -> Trial:
    """Record a pass on the example.

    Raises:
        UserError: the module does not run on it.
    """
    with explaining_failures(module, example):
        params = dict(module.named_parameters())
        return look(module, params, as_params(example, params), strangers=strangers)


def _axes(features: str | Mapping[str, str] | None, layers: Sequence[str]) -> dict[str, str]:
    """Return the axis of features by layer, "first" or "last", ``*`` for all.

    Raises:
        UserError: another word, or a layer that does not exist.
    """
    axes = {} if features is None else {"*": features} if isinstance(features, str) else dict(features)
    for layer, word in axes.items():
        if word not in WORDS:
            raise unknown("wrap", "axis of features", word, WORDS)
        if layer != "*" and layer not in layers:
            raise unknown("wrap", "layer", layer, layers)
    return axes
