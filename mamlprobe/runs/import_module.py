"""State dicts of any module as weights of ours: what the module's own `load_state_dict` takes is taken."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import Theta, fits
from mamlprobe.methods.method import Method
from mamlprobe.nets.from_spec import made, wrapped
from mamlprobe.nets.params import Net, Params, add_task_axis, map_tensors
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.tensors import alike, conversion, finite, kind, read_tensors, renamed, same_shapes, unheard

COUNT = "num_batches_tracked"
"""What batch norms count for themselves; nothing here depends on it."""

WHERE = "import state_dict"


def import_state_dict(
    path: str | Path,
    *,
    module: str,
    head: str,
    layers: tuple[str, ...] = (),
    data: Data | None = None,
    method: Method | None = None,
    image: tuple[int, int, int] | None = None,
    output: str = "",
    features: str = "",
    say: Callable[[str], object] = unheard,
) -> tuple[Experiment, Theta]:
    """The settings to test it by, and the weights, of a state dict of the module ``package.file:Class``.

    `head` is the prefix of the head's parameters, `output` and `features` are as in `wrap`. What the module's
    `load_state_dict` takes is taken, in the module's own precision, of which `say` hears where it is another. Beside
    that, a prefix that the names share (``module.``) is taken off, a shared weight may stand under one of its names
    alone, and counters of batches may be there or not. The inner loop is not in the file: `method` says it, MAML's
    where it is not given.

    Raises:
        UserError: what `read_tensors` and `wrap` raise; names that are missing or not the module's, other shapes or
            kinds of numbers; numbers that are not finite; a shared weight of two values; a method that does not go with
            the net; images that the module does not take.
    """
    words: dict[str, Any] = {"output": output, "features": features}
    spec = NetSpec(kind="module", image=image, module=module, head=head, layers=layers, **words)
    loaded, _ = load_module(spec, path, say=say)
    net = wrapped(loaded, spec, image)
    params, moments = net.init(torch.Generator())
    theta, method = Theta(net=params, moments=moments), method or Method()
    own = {name.replace(".mean", ".running_mean").replace(".var", ".running_var"): v for name, v in moments.items()}
    finite({**params, **own}, Path(path).name)
    fits(net, theta, method)
    way = outputs(loaded.get_submodule(head))
    if image is not None:
        random = torch.Generator().manual_seed(0)
        way = logits(
            WHERE, net, theta, torch.randn(1, 2, *image, generator=random, dtype=torch.float32, device="cpu")
        ).shape[-1]
    data = data or Data(size=None if image is None else image[1])
    return Experiment(recipe="state_dict", data=data, net=spec, method=method, way=way, updates=0), theta


def load_module(spec: NetSpec, path: str | Path, *, say: Callable[[str], object] = unheard) -> tuple[nn.Module, Params]:
    """The module with the numbers of the file, and those of its buffers that its constructor makes otherwise.

    Raises:
        UserError: as `import_state_dict`.
    """
    file, module = Path(path).name, made(spec)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(value):
            advice = "name a function that makes the module and runs it once"
            raise UserError(WHERE, "the module's layers must know their sizes", f"a lazy one with {name}", advice)
    wanted = map_tensors(torch.clone, _tensors(module))
    found = _counted(_shared(renamed(read_tensors(path), wanted), module, file), wanted)
    for name in wanted.keys() & found.keys():
        found[name] = _whole(found[name], wanted[name])
        alike(name, found[name], wanted[name])
    try:
        module.load_state_dict(found)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        same_shapes(WHERE, wanted, found)
        got = " ".join(str(error).split())[:300]
        raise UserError(WHERE, "the module must take the file", got, "name the net it was made with") from None
    now = _tensors(module)
    pairs = [(found[name], now[name]) for name in now.keys() & found.keys() if kind(now[name]) in ("real", "complex")]
    conversion([pair[0] for pair in pairs], [pair[1] for pair in pairs], say)
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return module, {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in now.items()
        if name not in parameters and not name.endswith(COUNT) and not _equal(value, wanted[name])
    }


def _tensors(module: nn.Module) -> Params:
    """The module's tensors by their names in a state dict."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def _shared(found: Params, module: nn.Module, file: str) -> Params:
    """The tensors with every name of each shared one.

    Raises:
        UserError: two names of one tensor hold different values.
    """
    names: dict[int, list[str]] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        names.setdefault(id(value), []).append(name)
    filled = _like(found, dict(found))
    for group in names.values():
        there = [name for name in group if name in found]
        for name in there[1:]:
            if not _equal(found[name], found[there[0]]):
                must = f"{there[0]} and {name} are one tensor of the module and must be equal in {file}"
                raise UserError(WHERE, must, "different values", "name the net it was made with")
        filled.update({name: found[there[0]] for name in group if there})
    return filled


def _counted(found: Params, wanted: Params) -> Params:
    """The tensors with the counters of batches that the module has, and no other."""
    rest = {name: value for name, value in found.items() if not name.endswith(COUNT)}
    return _like(found, {**rest, **{name: value for name, value in wanted.items() if name.endswith(COUNT)}})


def _like(found: Params, tensors: Params) -> Params:
    """The tensors with what the file says of the versions of their layers."""
    like: Params = OrderedDict(tensors)
    like._metadata = getattr(found, "_metadata", {})  # type: ignore[attr-defined]
    return like


def _whole(found: Tensor, wanted: Tensor) -> Tensor:
    """Whole numbers or truths, where the file has them as real ones, as of a net that was cast; else the tensor itself.

    Numbers too large to be kept exactly by the file's precision are taken where they are the constructor's.
    """
    if found.is_floating_point() and kind(wanted) in ("whole", "boolean"):
        real = found.double()
        exact = real.abs() <= 2 / torch.finfo(found.dtype).eps
        if bool((exact & (real == real.to(wanted.dtype))).all()):
            return found.to(wanted.dtype)
        if _equal(found, wanted.to(found.dtype)):
            return wanted
    return found


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have one shape and equal values; a NaN equals a NaN."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def outputs(head: nn.Module) -> int:
    """The number of classes by the head's parts: the last that says so, else the shape of its last weights."""
    said = [getattr(part, "out_features", None) for part in head.modules()]
    for number in reversed(said):
        if isinstance(number, int):
            return number
    shapes = [value.shape for value in head.parameters() if value.ndim]
    last = next((shape for shape in reversed(shapes) if len(shape) > 1), torch.Size([1]))
    bias = next((shape[0] for shape in reversed(shapes) if len(shape) == 1 and shape[0] in last), last[0])
    return int(bias)


def logits(where: str, net: Net, theta: Theta, x: Tensor, *, way: int = 1, running: bool = False) -> Tensor:
    """Logits [B, R, N] of inputs x [B, R, ...] at the start.

    Raises:
        UserError: the net does not take such inputs, or gives fewer than `way` logits.
    """
    moments = add_task_axis(theta.moments) if running and theta.moments else None
    try:
        with torch.no_grad():
            found = net(add_task_axis(theta.net), x, moments=moments).logits
    except UserError as error:
        raise UserError(
            where, error.must, error.got, "choose other data, or say the shape by --image at import"
        ) from None
    if found.ndim != 3 or found.shape[-1] < way:
        must = f"the net must give {way} logits or more a row"
        raise UserError(where, must, f"shape {list(found.shape[2:])}", "say --way at import, or name another head")
    return found
