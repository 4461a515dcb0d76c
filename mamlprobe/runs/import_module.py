"""Import of state dicts of any module: what the module's own `load_state_dict` takes is taken."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mamlprobe.base.errors import UserError
from mamlprobe.borders.checked_tensors import differences
from mamlprobe.learn.theta import Theta, fits
from mamlprobe.methods.method import Method
from mamlprobe.nets.from_spec import made, wrapped
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import add_task_axis, map_tensors
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.tensors import alike, conversion, finite, kind, read_tensors, renamed, unheard

COUNT = "num_batches_tracked"
"""Batch norms' counter of batches; nothing here depends on it."""

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
    """Read a state dict of the module ``package.file:Class``: the settings to test it with, and the weights.

    `head` is the prefix of the head's parameters, `output` and `features` are as in `wrap`. What the module's
    `load_state_dict` takes is taken, in the module's own precision; a conversion is reported to `say`. In addition, a
    prefix that the names share (``module.``) is removed, a shared weight may be given under just one of its names, and
    counters of batches may be present or not. The inner loop is not in the file: `method` (MAML by default) gives it.

    Raises:
        UserError: what `read_tensors` and `wrap` raise; names that are missing or not the module's, other shapes or
            kinds of numbers; numbers that are not finite; a shared weight of two values; a method that does not go with
            the net; images that the module does not take.
    """
    options: dict[str, Any] = {"output": output, "features": features}
    spec = NetSpec(kind="module", image=image, module=module, head=head, layers=layers, **options)
    loaded, _ = load_module(spec, path, say=say)
    net = wrapped(loaded, spec, image)
    params, moments = net.init(torch.Generator())
    theta, method = Theta(net=params, moments=moments), method or Method()
    running = {name.replace(".mean", ".running_mean").replace(".var", ".running_var"): v for name, v in moments.items()}
    finite({**params, **running}, Path(path).name)
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
    """Load the file into the module; return it with its buffers that differ from those its constructor makes.

    Raises:
        UserError: as `import_state_dict`.
    """
    file, module = Path(path).name, made(spec)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(value):
            advice = "name a function that makes the module and runs it once"
            raise UserError(WHERE, "the module's layers must know their sizes", f"a lazy one with {name}", advice)
    wanted = map_tensors(torch.clone, _tensors(module))
    state = _counted(_shared(renamed(read_tensors(path), wanted), module, file), wanted)
    for name in wanted.keys() & state.keys():
        state[name] = _whole(state[name], wanted[name])
        alike(name, state[name], wanted[name])
    try:
        module.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        if got := differences(state, wanted, types=False):
            must, advice = "the file must hold the net's tensors", "name the net it was made with"
            raise UserError(WHERE, must, f"one {got}", advice) from None
        got = " ".join(str(error).split())[:300]
        raise UserError(WHERE, "the module must take the file", got, "name the net it was made with") from None
    now = _tensors(module)
    pairs = [(state[name], now[name]) for name in now.keys() & state.keys() if kind(now[name]) in ("real", "complex")]
    conversion([pair[0] for pair in pairs], [pair[1] for pair in pairs], say)
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return module, {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in now.items()
        if name not in parameters and not name.endswith(COUNT) and not _equal(value, wanted[name])
    }


def _tensors(module: nn.Module) -> Params:
    """Return the module's tensors by their names in a state dict."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def _shared(state: Params, module: nn.Module, file: str) -> Params:
    """Complete a state dict with every name of each shared tensor.

    Raises:
        UserError: two names of one tensor hold different values.
    """
    names: dict[int, list[str]] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        names.setdefault(id(value), []).append(name)
    filled = _like(state, dict(state))
    for group in names.values():
        present = [name for name in group if name in state]
        for name in present[1:]:
            if not _equal(state[name], state[present[0]]):
                must = f"{present[0]} and {name} are one tensor of the module and must be equal in {file}"
                raise UserError(WHERE, must, "different values", "name the net it was made with")
        filled.update({name: state[present[0]] for name in group if present})
    return filled


def _counted(state: Params, wanted: Params) -> Params:
    """Replace the counters of batches in a state dict by those that the module has."""
    rest = {name: value for name, value in state.items() if not name.endswith(COUNT)}
    return _like(state, {**rest, **{name: value for name, value in wanted.items() if name.endswith(COUNT)}})


def _like(source: Params, tensors: Params) -> Params:
    """Attach to the tensors the layer versions that `source` has from its file."""
    like: Params = OrderedDict(tensors)
    like._metadata = getattr(source, "_metadata", {})  # type: ignore[attr-defined]
    return like


def _whole(value: Tensor, wanted: Tensor) -> Tensor:
    """Convert real numbers to integers or booleans if `wanted` has those (the net was cast); else return the tensor.

    Numbers too large to be exact in the file's precision are accepted if they are the constructor's.
    """
    if value.is_floating_point() and kind(wanted) in ("whole", "boolean"):
        real = value.double()
        exact = real.abs() <= 2 / torch.finfo(value.dtype).eps
        if bool((exact & (real == real.to(wanted.dtype))).all()):
            return value.to(wanted.dtype)
        if _equal(value, wanted.to(value.dtype)):
            return wanted
    return value


def _equal(a: Tensor, b: Tensor) -> bool:
    """Tell whether two tensors have the same shape and equal values; a NaN equals a NaN."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def outputs(head: nn.Module) -> int:
    """Infer the number of classes from the head's last `out_features`, else from the shape of its last weights."""
    declared = [getattr(part, "out_features", None) for part in head.modules()]
    for number in reversed(declared):
        if isinstance(number, int):
            return number
    shapes = [value.shape for value in head.parameters() if value.ndim]
    last = next((shape for shape in reversed(shapes) if len(shape) > 1), torch.Size([1]))
    bias = next((shape[0] for shape in reversed(shapes) if len(shape) == 1 and shape[0] in last), last[0])
    return int(bias)


def logits(where: str, net: Net, theta: Theta, x: Tensor, *, way: int = 1, running: bool = False) -> Tensor:
    """Compute logits [B, R, N] of inputs x [B, R, ...] before any inner step.

    Raises:
        UserError: the net does not take such inputs, or gives fewer than `way` logits.
    """
    moments = add_task_axis(theta.moments) if running and theta.moments else None
    try:
        with torch.no_grad():
            result = net(add_task_axis(theta.net), x, moments=moments).logits
    except UserError as error:
        raise UserError(
            where, error.must, error.got, "choose other data, or say the shape by --image at import"
        ) from None
    if result.ndim != 3 or result.shape[-1] < way:
        must = f"the net must give {way} logits or more a row"
        raise UserError(where, must, f"shape {list(result.shape[2:])}", "say --way at import, or name another head")
    return result
