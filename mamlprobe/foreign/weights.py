"""The tensors of a file as the weights of the net that was recognised in it."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.borders.checked_tensors import not_finite, odd_kind
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.net_spec import name_in
from mamlprobe.foreign.recognised import Recognised
from mamlprobe.learn.method_params import STEPS
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Rates
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import adapting
from mamlprobe.nets.spec import NetSpec

WAY = 5
"""Classes of a task where no head says it."""


def as_real(file: str, state: State) -> tuple[State, str]:
    """Return the state in float32, finite, without whole numbers, and which precisions were converted."""
    tensors, kinds = {}, set()
    for name, value in state.tensors.items():
        odd = odd_kind(value)
        if odd or value.is_complex():
            raise UserError(
                "import", f"{file} must hold plain real tensors", f"{odd or 'complex'} in {name}", "save plain ones"
            )
        if not value.is_floating_point():
            continue
        if value.dtype != torch.float32:
            kinds.add(str(value.dtype).removeprefix("torch."))
        tensors[name] = value.detach()
    bad = not_finite(tensors)
    if bad is not None:
        advice = "take a file from before it diverged"
        raise UserError("import", f"{file} must hold finite numbers", f"NaN or infinity in {bad}", advice)
    if not tensors:
        raise UserError(
            "import", f"{file} must hold real numbers", listed(state.tensors), "name a checkpoint of weights"
        )
    return replace(state, tensors=tensors), f"converted to float32 from {', '.join(sorted(kinds))}" if kinds else ""


def filled(
    file: str, file_net: Recognised, spec: NetSpec, way: int | None, head: str | None
) -> tuple[Net, Theta, NetSpec, int]:
    """Return the net, its weights from the file, its spec, and the rows of its head.

    Raises:
        UserError: shapes that are not the net's; a head where the file has one; fewer rows than classes.
    """
    free = spec.headless or file_net.one_row
    rows = WAY if free else int(file_net.tensors["head.weight"].shape[0])
    if head is not None and not spec.headless:
        raise UserError("import", "a head is for encoders without one", f"--head {head}", "leave it out")
    if way is not None and not free and way > rows:
        raise UserError("import", f"way must be at most the head's {rows} rows", way, "lower way")
    rows = way if way is not None and free else rows
    net = build(spec, way=rows)
    params, moments = net.init(torch.Generator().manual_seed(0))
    if spec.headless:
        for name in ("head.weight", "head.bias"):
            params[name] = params[name] if head == "random" else torch.zeros_like(params[name])
        spec = replace(spec, headless=head is None)
    given = {name_in(spec, name): value for name, value in file_net.tensors.items()}
    if file_net.one_row:
        given |= {name: value.repeat_interleave(rows, 0) for name, value in given.items() if name.startswith("head.")}
    for name in params:
        if name in given:
            params[name] = _shaped(file, name, given.pop(name), params[name])
        elif ".norm" in name or ".norms." in name or ((spec.headless or head) and name.startswith("head.")):
            continue  # norms without scale or shift have ones and zeros
        else:
            got = f"no {name}; seen {listed(file_net.tensors)}"
            raise UserError("import", f"{file} must hold the net of {file_net.family}", got, "state it with --blocks")
    for name in moments:
        part, _, last = name.rpartition(".")
        theirs = f"{part}.running_{last}"
        if theirs in given:
            moments[name] = _shaped(file, theirs, given.pop(theirs), moments[name])
    if given:
        got = f"{listed(given)}, which the net does not have"
        raise UserError("import", f"{file} must hold the net of {file_net.family}", got, "state it with --blocks")
    return net, Theta(net=params, moments=moments if spec.moments else {}), spec, rows


def _shaped(file: str, name: str, value: Tensor, wanted: Tensor) -> Tensor:
    if value.shape != wanted.shape:
        must = f"{name} in {file} must be {list(wanted.shape)}"
        raise UserError("import", must, list(value.shape), "state the layers with --blocks, or the image with --image")
    return value.to(torch.float32).contiguous()


def learned(
    file_net: Recognised, spec: NetSpec, net: Net, theta: Theta, method: Method
) -> tuple[Theta, Method, list[str]]:
    """Return theta with the learned rates and the norm weights by step of the file, the method, and what does not fit.

    Rates fit if every parameter that adapts has one, for each step or for each of its numbers.
    """
    unused = []
    rates = {name_in(spec, name): value.to(torch.float32) for name, value in file_net.rates.items()}
    names = adapting(net, method.inner.adapts)
    steps = method.inner.steps
    kinds: dict[Rates, bool] = {
        "layer_step": all(name in rates and rates[name].shape == (steps,) for name in names),
        "parameter": all(name in rates and rates[name].shape == theta.net[name].shape for name in names),
    }
    kind = next((kind for kind, fits in kinds.items() if fits), None) if names and rates else None
    if kind is not None:
        method = replace(method, inner=replace(method.inner, rates=kind))
        theta = replace(theta, rates={name: rates[name] for name in names})
    elif rates:
        unused.append("learned inner rates, which are not those of the parameters that adapt in these steps")
    affine = {STEPS + name_in(spec, name): value.to(torch.float32) for name, value in file_net.steps_affine.items()}
    if affine and all(len(value) == steps + 1 for value in affine.values()):
        method = replace(method, norm=replace(method.norm, affine="per_step"))
        theta = replace(theta, extra=affine)
    elif affine:
        unused.append("norm weights of the later steps")
    return theta, method, unused


def listed(names: Iterable[str]) -> str:
    """Write the first of these names, and how many there are beside them."""
    known = list(names)
    more = f" and {len(known) - 4} more" if len(known) > 4 else ""
    return ", ".join(known[:4]) + more
