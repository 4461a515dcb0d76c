"""Import of the files of Kao et al. 2022."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.borders.checked_tensors import checked_tensors
from mamlprobe.learn.theta import Theta, fits
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.net import Params
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.tensors import as_floats, conversion, finite, read_tensors, unheard

KAO_SIDES = (84, 28, 64, 32)
"""Image sides to try, in this order, against the width of the head."""

KAO_PARTS = ("conv.weight", "conv.bias", "norm.weight", "norm.bias")


def import_kao(
    path: str | Path,
    *,
    inner_lr: float | None = None,
    image: tuple[int, int, int] | None = None,
    method: Method | None = None,
    say: Callable[[str], object] = unheard,
) -> tuple[Experiment, Theta]:
    """Read a file of Kao et al. 2022 or of related code: the settings to test it with, and the weights.

    ``vars.*`` are, in the order of their numbers, four tensors a block and the head's weight, with or without bias;
    ``vars_bn.*`` the running mean and unbiased variance of each block. The net is conv, ReLU, batch norm, max-pool;
    filters and blocks follow from the shapes, and so does `image` unless given. The inner loop is not in the file:
    `method` (MAML by default) gives it, and `inner_lr` its rate. Tensors are converted to float32, which is reported
    to `say`. Nets with unpadded convolutions, of the code that Kao's descends from, can have the same shapes: check
    an imported net by its accuracy.

    Raises:
        UserError: what `read_tensors` raises; names or shapes of another kind of file; numbers that are not finite or
            not real; a method that does not go with the net.
    """
    read = read_tensors(path)
    tensors = as_floats({re.sub(r"^.*\.(?=vars(_bn)?\.\d+$)", "", name): value for name, value in read.items()})
    for name in tensors:
        if not re.fullmatch(r"vars(_bn)?\.\d+", name):
            raise UserError(
                "import kao", "tensors must be named vars.<i> and vars_bn.<i>", name, "use import state_dict"
            )
    weights, moments = (_numbered(tensors, prefix) for prefix in ("vars", "vars_bn"))
    blocks, rest = divmod(len(weights) - 1, len(KAO_PARTS))
    if blocks < 1 or rest > 1 or len(moments) != 2 * blocks:
        got = f"{len(weights)} and {len(moments)}"
        must = "there must be 4 tensors vars.* a block and 1 or 2 of the head, and 2 vars_bn.* a block"
        raise UserError("import kao", must, got, "use import state_dict")
    first, head = weights[0], weights[4 * blocks]
    if first.ndim != 4 or head.ndim != 2:
        got = f"{list(first.shape)} and {list(head.shape)}"
        raise UserError("import kao", "vars.0 must be a conv weight, the head a matrix", got, "use import state_dict")
    spec = NetSpec(
        image=image or _kao_image(first, head, blocks),
        filters=first.shape[0],
        blocks=blocks,
        order="conv-relu-bn",
        head_bias=rest == 1,
    )
    names = [f"body.{block + 1}.{part}" for block in range(blocks) for part in KAO_PARTS] + ["head.weight", "head.bias"]
    moment_names = [f"body.{block + 1}.norm.{part}" for block in range(blocks) for part in ("mean", "var")]
    method = method or METHODS["maml"]
    if inner_lr is not None:
        method = replace(method, inner=replace(method.inner, lr=inner_lr))
    experiment = Experiment(
        recipe="kao",
        data=Data(dataset="tinyimagenet-fs", size=84, normalise="imagenet"),
        net=spec,
        method=method,
        way=head.shape[0],
        updates=0,
    )
    theta = Theta(net=dict(zip(names, weights, strict=False)), moments=dict(zip(moment_names, moments, strict=True)))
    net = build(spec, way=experiment.way)
    initial, initial_moments = net.init(torch.Generator())
    must, advice = "the file must hold the net's tensors", "name the net it was made with"
    for given, wanted in ((theta.net, initial), (theta.moments, initial_moments)):
        checked_tensors("import kao", given, wanted, must=must, advice=advice)
    finite(tensors, Path(path).name)
    fits(net, theta, method)
    conversion(read.values(), tensors.values(), say)
    return experiment, theta


def _numbered(tensors: Params, prefix: str) -> list[Tensor]:
    """List the tensors ``<prefix>.0``, ``<prefix>.1`` ... in the order of their numbers."""
    values = {int(name.rpartition(".")[2]): value for name, value in tensors.items() if name.startswith(prefix + ".")}
    return [values[number] for number in sorted(values)]


def _kao_image(first: Tensor, head: Tensor, blocks: int) -> tuple[int, int, int]:
    """Infer C, H, W of square images that `blocks` halvings bring to the width of the head."""
    side = math.isqrt(head.shape[1] // first.shape[0])
    fits = [each for each in KAO_SIDES if each >> blocks == side] or [side << blocks]
    return first.shape[1], fits[0], fits[0]
