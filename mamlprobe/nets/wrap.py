"""The door for modules: any ``nn.Module`` becomes a net."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.nets.modules.copies import innermost, lazy_parameters, private
from mamlprobe.nets.modules.feature_axis import WORDS
from mamlprobe.nets.modules.output import Output
from mamlprobe.nets.modules.runner import told
from mamlprobe.nets.modules.structure import default_layers
from mamlprobe.nets.modules.trial import Trial, look, refuse_odd
from mamlprobe.nets.modules.trial_inputs import tried
from mamlprobe.nets.modules.wrapped import Wrapped
from mamlprobe.nets.params import as_params

__all__ = ["Wrapped", "wrap"]


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
    first that ends after its first use, nearly always the one it lies in; the last of the body where none does.

    `output` says where the logits are in what the module returns: a key, an attribute or a place; by default they are
    looked for. `inputs` is an example [R, ...], or the shape of a row, to find the order of the layers and the shapes
    of lazy ones by; without it likely shapes are tried. `features` says for layers that give more than two axes whether
    features are the "first" axis behind the rows or the "last"; by default the kind of the layer tells.

    Parameters keep the module's names, without those of `DataParallel` and ``torch.compile``; for patterns their roles
    are ``head.*`` and ``body.*``. Those with ``requires_grad=False`` neither adapt nor are meta-learned. Norms follow
    the method's norm regime; one that is called twice has one pair of running moments, those of its first call.

    A module that computes what `Conv4` does, found by numbers, runs on its blocks, all tasks together; those who ask
    for its layers see its own. In others the convolutions of float32 on a CPU have their channels innermost in memory,
    those of three by three pixels and many channels run on the same kernels, and second derivatives of convolutions and
    batch norms are written out. Neither is done where `kernels` is false; in float64 only the first.

    Raises:
        UserError: a head or a layer that is not there, a head without parameters, lazy layers without an example, a
            module that cannot be copied or whose passes are random.
    """
    if not isinstance(module, nn.Module):
        raise UserError("wrap", "the module must be an nn.Module", type(module).__name__, "call wrap(module, head)")
    own, fixed = private(module)
    example = None if inputs is None else _example(inputs, own)
    _whole(own, example)
    known = [name for name, _ in own.named_modules() if name]
    inside = _inside(module, own)
    head, *chosen = (inside.get(name, name) for name in (head, *(layers or ())))
    for name in (head, *chosen):
        if name not in known:
            raise unknown("wrap", "module", name, known)
    if next(own.get_submodule(head).parameters(), None) is None:
        raise UserError("wrap", "the head must have parameters", repr(head), "name the last linear layer")
    theirs = {id(value) for value in module.parameters()}
    trial = tried(own, strangers=theirs) if example is None else _looked(own, example, theirs)
    if trial is not None:
        refuse_odd(trial)
    names = chosen or default_layers(own, head, trial)
    names = [name for name in dict.fromkeys(names) if name != head and not name.startswith(head + ".")]
    words, given = _axes(features, names), module.parameters()
    return Wrapped(
        own,
        head,
        names,
        trial=trial,
        fixed=fixed,
        output=output,
        features=words,
        theirs=given,
        kernels=kernels,
    )


def _inside(module: nn.Module, own: nn.Module) -> dict[str, str]:
    """Name of a part -> its name in the copy, where it has one: without shells, and the first of several."""
    first = {id(part): name for name, part in own.named_modules()}
    places = {name: first[id(part)] for name, part in own.named_modules(remove_duplicate=False)}
    named = {own_name: own_name for own_name in places} | dict(_bare(module))
    return {name: places[bare] for name, bare in named.items() if bare in places}


def _bare(part: nn.Module, name: str = "", bare: str = "") -> Iterator[tuple[str, str]]:
    """The names of all parts, and the same without those of shells."""
    yield name, bare
    shell = innermost(part) is not part
    for short, child in part.named_children():
        yield from _bare(child, f"{name}.{short}".lstrip("."), bare if shell else f"{bare}.{short}".lstrip("."))


def _example(inputs: Tensor | Sequence[int], module: nn.Module) -> Tensor:
    """Two rows or more of inputs, from an example [R, ...] or from the shape of a row."""
    if isinstance(inputs, Tensor):
        return inputs[:2].detach()
    if not all(isinstance(size, int) for size in inputs):
        raise UserError(
            "wrap", "inputs must be a tensor [R, ...] or the shape of a row", type(inputs).__name__, "give one"
        )
    kinds = [part for part in module.modules() if next(part.parameters(recurse=False), None) is not None]
    if kinds and isinstance(kinds[0], nn.Embedding) and len(inputs) == 1:
        return torch.zeros(2, *inputs, dtype=torch.long, device="cpu")
    floats = [value.dtype for value in module.parameters() if value.is_floating_point()]
    return torch.ones(2, *inputs, dtype=floats[0] if floats else torch.float32, device="cpu")


def _whole(module: nn.Module, example: Tensor | None) -> None:
    """Gives lazy layers their shapes, from a pass on the example.

    Raises:
        UserError: there are some and no example, or they did not run on it.
    """
    lazy = lazy_parameters(module)
    if lazy and example is not None:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), told(module, example):
            module(example)
        lazy = lazy_parameters(module)
    if lazy:
        must, advice = "every parameter must have a shape", "run the module once, or give wrap(inputs=) an example"
        raise UserError("wrap", must, f"lazy {lazy[0]}", advice)
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def _looked(module: nn.Module, example: Tensor, strangers: Collection[int]) -> Trial:
    """What a pass on the example shows.

    Raises:
        UserError: the module does not run on it.
    """
    with told(module, example):
        params = dict(module.named_parameters())
        return look(module, params, as_params(example, params), strangers=strangers)


def _axes(features: str | Mapping[str, str] | None, layers: Sequence[str]) -> dict[str, str]:
    """The word for the axis of features by layer, ``*`` for all.

    Raises:
        UserError: another word, or a layer that is not there.
    """
    words = {} if features is None else {"*": features} if isinstance(features, str) else dict(features)
    for layer, word in words.items():
        if word not in WORDS:
            raise unknown("wrap", "axis of features", word, WORDS)
        if layer != "*" and layer not in layers:
            raise unknown("wrap", "layer", layer, layers)
    return words
