"""Weights from elsewhere: the files of Kao et al. 2022, and state dicts of any module, as run folders of ours."""

import hashlib
import math
import pickle
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.learn.methods import METHODS, Method
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.build import NetSpec, build
from mamlprobe.nets.params import Params
from mamlprobe.nets.wrap import Wrapped
from mamlprobe.runs.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mamlprobe.runs.environment import environment
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.folder import FORMAT, Run, load_run, make_run, write_json
from mamlprobe.runs.writing import locked, write

NESTS = ("model_state_dict", "state_dict", "model", "network", "net")
"""Where training scripts put the state dict inside what they save."""

KAO_SIDES = (84, 28, 64, 32)
"""Image sides to choose from, by the width of the head; the first that fits."""

KAO_PARTS = ("conv.weight", "conv.bias", "norm.weight", "norm.bias")


def read_tensors(path: str | Path) -> Params:
    """The tensors of a .pt, .pth or .safetensors file by name, on the CPU; code in a pickle is never run.

    Raises:
        UserError: no such file; a damaged one; one that needs code to be read; one without a dict of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("import", "the file must exist", path, "check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the age of the pickle
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        got = f"a pickle that calls {code[1]}" if code else "something else"
        advice = "save model.state_dict() alone; a pickle that needs code is never run"
        raise UserError("import", f"{path.name} must be a whole file of plain tensors", got, advice) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, TypeError, OSError) as error:
        got = re.split(r"\.\s|\n", str(error))[0] or type(error).__name__
        raise UserError(
            "import", f"{path.name} must be a whole .pt, .pth or .safetensors file", got, "copy it again"
        ) from None
    for nest in NESTS:
        if isinstance(found, dict) and isinstance(found.get(nest), dict):
            found = found[nest]
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        kinds = sorted({type(value).__name__ for value in found.values()}) if isinstance(found, dict) else type(found)
        raise UserError("import", f"{path.name} must hold a dict of tensors", kinds, "save model.state_dict()")
    return {str(name): value.detach() for name, value in found.items()}


def import_kao(
    path: str | Path, *, inner_lr: float = 0.01, image: tuple[int, int, int] | None = None
) -> tuple[Experiment, Theta]:
    """The settings to test it by, and the weights, of a file of Kao et al. 2022 (and others of that code's lineage).

    ``vars.*`` are, in the order of their numbers, four tensors a block and the head's weight, with or without bias;
    ``vars_bn.*`` the running mean and unbiased variance of each block. The net is conv, ReLU, batch norm, max-pool;
    filters and blocks follow from the shapes, and so does `image` where it is not given. The inner rate is not in the
    file. Nets with unpadded convolutions, of the code that Kao's descends from, can have the same shapes: check an
    imported net by its accuracy.

    Raises:
        UserError: what `read_tensors` raises; names or shapes of another kind of file.
    """
    tensors = read_tensors(path)
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
    stills = [f"body.{block + 1}.norm.{part}" for block in range(blocks) for part in ("mean", "var")]
    method = METHODS["maml"]
    experiment = Experiment(
        recipe="kao",
        data=Data(dataset="tinyimagenet-fs", size=84, normalise="imagenet"),
        net=spec,
        method=replace(method, inner=replace(method.inner, lr=inner_lr)),
        way=head.shape[0],
        updates=0,
    )
    theta = Theta(net=dict(zip(names, weights, strict=False)), moments=dict(zip(stills, moments, strict=True)))
    fresh, still = build(spec, way=experiment.way).init(torch.Generator())
    _same_shapes("import kao", fresh, theta.net)
    _same_shapes("import kao", still, theta.moments)
    return experiment, theta


def _numbered(tensors: Params, prefix: str) -> list[Tensor]:
    """The tensors ``<prefix>.0``, ``<prefix>.1`` ... in the order of their numbers."""
    found = {int(name.rpartition(".")[2]): value for name, value in tensors.items() if name.startswith(prefix + ".")}
    return [found[number] for number in sorted(found)]


def _kao_image(first: Tensor, head: Tensor, blocks: int) -> tuple[int, int, int]:
    """C, H, W of square images that `blocks` halvings bring to the width of the head."""
    side = math.isqrt(head.shape[1] // first.shape[0])
    fits = [each for each in KAO_SIDES if each >> blocks == side] or [side << blocks]
    return first.shape[1], fits[0], fits[0]


def import_state_dict(
    path: str | Path,
    *,
    module: str,
    head: str,
    layers: tuple[str, ...] = (),
    data: Data | None = None,
    method: Method | None = None,
    image: tuple[int, int, int] | None = None,
) -> tuple[Experiment, Theta]:
    """The settings to test it by, and the weights, of a state dict of the module ``package.file:Class``.

    `head` is the prefix of the head's parameters. A prefix that all names in the file share (``module.``) is taken off.

    Raises:
        UserError: what `read_tensors` and `build` raise; names that are missing or not the module's, other shapes.
    """
    spec = NetSpec(kind="module", image=image, module=module, head=head, layers=layers)
    net = build(spec, way=1)
    assert isinstance(net, Wrapped)
    fresh, still = net.init(torch.Generator())
    buffers = {name: value for name, value in net.module.named_buffers() if not name.endswith("num_batches_tracked")}
    stills = {f"{norm}.{ours}": f"{norm}.running_{ours}" for norm in net.norms for ours in ("mean", "var")}
    wanted = {**fresh, **buffers}
    found = _unprefixed(read_tensors(path), wanted)
    found = {name: value for name, value in found.items() if not name.endswith("num_batches_tracked")}
    _same_shapes("import state_dict", wanted, found)
    for name in buffers.keys() - set(stills.values()):
        if not torch.equal(found[name], buffers[name]):
            advice = "make it a parameter, or set it in the constructor"
            raise UserError("import state_dict", f"buffer {name} must be as the constructor makes it", "others", advice)
    theta = Theta(
        net={name: found[name].clone() for name in fresh}, moments={name: found[stills[name]].clone() for name in still}
    )
    way = next(reversed([value for name, value in theta.net.items() if net.roles(name).startswith("head.")])).shape[0]
    experiment = Experiment(
        recipe="state_dict", data=data or Data(), net=spec, method=method or Method(), way=way, updates=0
    )
    return experiment, theta


def _unprefixed(found: Params, wanted: Params) -> Params:
    """The tensors without the prefix that brings most of their names in line with the wanted ones."""
    last = next(iter(wanted))
    prefixes = {name.removesuffix(last) for name in found if name == last or name.endswith("." + last)}
    best = max(sorted(prefixes), key=lambda prefix: sum(prefix + name in found for name in wanted), default="")
    return {name.removeprefix(best): value for name, value in found.items()}


def _same_shapes(where: str, wanted: Params, found: Params) -> None:
    """Refuses tensors whose names or shapes are not the wanted ones."""
    missing, more = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
    other = [
        f"{n} {list(found[n].shape)} instead of {list(wanted[n].shape)}"
        for n in wanted.keys() & found.keys()
        if found[n].shape != wanted[n].shape
    ]
    faults = {"without": missing, "with an unknown": more, "with": sorted(other)}
    got = "; ".join(f"{word} {', '.join(names[:6])}" for word, names in faults.items() if names)
    if got:
        raise UserError(where, "the file must hold the net's tensors", f"one {got}", "name the net it was made with")


def write_run(experiment: Experiment, theta: Theta, out: str | Path, *, source: str | Path | None = None) -> Run:
    """The run folder `out` that holds these weights as the checkpoint of update 0; `source` is the file they are from.

    Raises:
        UserError: the folder holds something already; a weight that is not finite.
    """
    path = Path(out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError("import", f"{path} must be a new or an empty folder", "one that is in use", "choose another")
    origin: dict[str, Any] | None = None
    if source is not None:
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
        origin = {"file": Path(source).name, "sha256": digest}
    with locked(path):
        make_run(path, experiment, experiment.net.image)
        words = {**environment(torch.device("cpu")), "source": origin, "seconds": 0.0}
        write_json(path / "env.json", {"format": FORMAT, **words})
        save_checkpoint(checkpoint_path(path, 0), Checkpoint(update=0, theta=theta))
        write(path / "done", b"imported\n")
    return load_run(path)
