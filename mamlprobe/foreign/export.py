"""`export`: the weights of a run as a file for other programs."""

import io
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.spec import to_dict
from mamlprobe.foreign.families.plain_families import POOLED, STRIDED
from mamlprobe.foreign.net_spec import blocks_of, name_in_words
from mamlprobe.foreign.plain_module import onnx, plain_module, regime, torchscript
from mamlprobe.learn.method_params import RELATION, SIAMESE, at_step, by_step
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.by_layers.layer_words import map_after, read_blocks, stated_blocks
from mamlprobe.nets.maker import Maker
from mamlprobe.nets.spec import NetSpec
from mamlprobe.nets.wrap import Wrapped
from mamlprobe.runs.checkpoint import Checkpoint, digest, named_tensors
from mamlprobe.runs.folder import Run, load_run
from mamlprobe.runs.inner import in_words, values_of
from mamlprobe.runs.writing import write

FORMAT = 1
"""Number of the layout of the metadata."""


@dataclass(frozen=True)
class Layout:
    """The names that a family gives to the tensors of its net, and the net."""

    name: str
    block: str
    """Layers of every block, without filters."""
    convs: tuple[str, ...]
    """Names of the conv of a block, of which 0 is the first; several where the family saves it several times."""
    norms: tuple[str, ...]
    end: str = ""
    """What stands behind the last block."""
    moments: bool = True
    """Whether the family saves running moments."""


BASE = ("base.{}.conv", "features.1.{}.conv"), ("base.{}.normalize", "features.1.{}.normalize")
"""Names of OmniglotCNN, which is saved with each tensor under two."""

LAYOUTS = {
    "learn2learn": (
        Layout("learn2learn CNN4", POOLED, ("features.{}.conv",), ("features.{}.normalize",)),
        Layout("learn2learn OmniglotCNN", STRIDED, *BASE, end=", mean"),
    ),
    "torchmeta": (Layout("torchmeta's example", POOLED, ("features.{}.0",), ("features.{}.1",), moments=False),),
}
"""Kind of file -> the nets that its project has."""

MODULES = {"torchscript": torchscript, "onnx": onnx}
"""Kind of file -> what writes a module that runs by itself."""

KINDS = (*LAYOUTS, "safetensors", *MODULES)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written, and what of the run is not in it."""

    __repr__ = described

    file: Path
    """Where it was written."""
    kind: str
    """As it was asked for."""
    holds: str
    """What is in it."""
    left_out: tuple[str, ...] = ()
    """What is not."""

    @property
    def lines(self) -> list[str]:
        """Return what was written and left out, line by line."""
        return [f"{self.kind}: {self.holds}", *(f"left out: {each}" for each in self.left_out), f"file: {self.file}"]


@door()
def export(
    run: Run | str | Path,
    *,
    kind: str,
    out: str | Path,
    update: int | None = None,
    norm: str | None = None,
    module: Maker | str | None = None,
) -> Exported:
    """Write the weights of a run, by default those of its last checkpoint, to a file for other programs.

    Args:
        kind: ``learn2learn`` or ``torchmeta``: a state dict under the names of that project's net, saved by torch;
            ``safetensors``: all that was meta-learned under the names it has here; ``torchscript`` or ``onnx``: a
            module that maps images [R, C, H, W] to logits and features, and runs without this package.
        update: state after so many updates.
        norm: what the norms of such a module go by: ``batch``, the statistics of the rows that it is given, or
            ``running``, the averages of training; by default what the run's do.
        module: class or function of a net that is a module of your own, as for `load_run`.

    The file is written whole or not at all, in place of one that is there.

    Raises:
        UserError: no run or checkpoint; a net that this kind of file cannot hold; a package that is missing; a place
            that cannot be written to.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> small = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14))
        >>> run = mp.train(small, "runs", progress=False)
        >>> exported = mp.export(run, kind="safetensors", out="weights.safetensors")
        >>> exported.holds
        '26 tensors, 573 numbers, under the names they have here'
        >>> from safetensors.torch import load_file
        >>> load_file("weights.safetensors")["net.head.weight"].shape
        torch.Size([5, 4])
    """
    if kind not in KINDS:
        raise unknown("export", "kind of file", kind, KINDS)
    if norm is not None and kind not in MODULES:
        raise UserError("export", f"norm must be left out of {kind}", norm, f"it is for {' and '.join(MODULES)}")
    loaded = run if isinstance(run, Run) and module is None else load_run(run.path if isinstance(run, Run) else run)
    loaded = loaded if module is None else load_run(loaded.path, module=module)
    if kind == "safetensors":
        data, holds, left = _of_theta(loaded, update)
    elif kind in LAYOUTS:
        data, holds, left = _of_family(loaded, update, kind)
    else:
        data, holds, left = _of_module(loaded, update, kind, norm)
    write(Path(out), data)
    return Exported(file=Path(out), kind=kind, holds=holds, left_out=tuple(left))


Made = tuple[bytes, str, list[str]]
"""The bytes of a file, what it holds, and what it leaves out."""


def _of_theta(run: Run, update: int | None) -> Made:
    """Make a file of all that was meta-learned."""
    checkpoint = run.checkpoint(update)
    tensors = named_tensors(Checkpoint(update=checkpoint.update, theta=checkpoint.theta))
    about = json.dumps(_about(run, checkpoint), sort_keys=True)
    data = save({name: value.contiguous() for name, value in tensors.items()}, {"mamlprobe": about})
    return data, f"{_counted(tensors)}, under the names they have here", []


def _of_family(run: Run, update: int | None, kind: str) -> Made:
    """Make a file of a project's net.

    Raises:
        UserError: the project has no such net.
    """
    spec = run.config.net
    layout = _layout(spec, kind, run)
    theta, left = _at_the_start(run.theta(update), spec)
    state, file = _named(layout, spec, theta), io.BytesIO()
    torch.save(state, file)
    left += [] if layout.moments or not theta.moments else ["running moments"]
    return file.getvalue(), f"{layout.name}, {_counted(state)}", [*left, _inner_loop(run.config.method)]


def _about(run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what is said beside the tensors: which run, after how many updates, its settings, and a digest."""
    tensors = named_tensors(Checkpoint(update=checkpoint.update, theta=checkpoint.theta))
    image = None if run.image is None else list(run.image)
    facts = {"format": FORMAT, "run": run.path.name, "update": checkpoint.update, "digest": digest(tensors)}
    return {**facts, "image": image, "settings": to_dict(run.config)}


def _counted(tensors: Mapping[str, Tensor]) -> str:
    numbers = sum(value.numel() for value in {id(value): value for value in tensors.values()}.values())
    return f"{len(tensors)} tensors, {numbers:,} numbers"


def _inner_loop(method: Method) -> str:
    """Say the inner loop, which no state dict holds."""
    settings = values_of(method)
    return f"the inner loop ({', '.join(in_words(name, value) for name, value in settings.items())})"


def _at_the_start(theta: Theta, spec: NetSpec) -> tuple[Theta, list[str]]:
    """Return net and moments as they are before the first inner step, and what no file of a net has of the rest."""
    left = ["the head, which was never learned"] if spec.headless else []
    left += ["learned inner rates"] if theta.rates else []
    left += ["weights of the siamese readout"] if SIAMESE in theta.extra else []
    left += ["the relation network"] if any(name.startswith(RELATION) for name in theta.extra) else []
    left += ["norm weights of the later steps"] if by_step(theta.extra) else []
    moments = theta.moments
    if any(value.ndim > 1 for value in moments.values()):
        moments = {name: value[0] for name, value in moments.items()}
        left.append("moments of the later steps")
    return Theta(net=at_step(theta.net, theta.extra, 0), moments=moments), left


def _layout(spec: NetSpec, kind: str, run: Run) -> Layout:
    """Return the family's names for the net.

    Raises:
        UserError: the family has no such net.
    """
    blocks = blocks_of(spec)
    if (layout := _fitting(spec, kind, run)) is not None:
        return layout
    others = [other for other in LAYOUTS if _fitting(spec, other, run) is not None]
    others += ["safetensors", *(MODULES if blocks is not None or spec.kind == "module" else ())]
    nets = " or ".join(f"({each.block}{each.end and '; then mean'})" for each in LAYOUTS[kind])
    got = f"a module {spec.module}" if blocks is None and spec.kind == "module" else f"a net of kind {spec.kind}"
    got += f" with blocks ({'; '.join(dict.fromkeys(blocks))})" if blocks is not None else ""
    raise UserError("export", f"{kind} must be given a net of blocks {nets}", got, f"take {' or '.join(others)}")


def _fitting(spec: NetSpec, kind: str, run: Run) -> Layout | None:
    """Return the layout of this kind whose net the spec's is; None if there is none."""
    texts = blocks_of(spec)
    if texts is None:
        return None
    blocks = read_blocks(texts)
    widths = [block[0].whole("filters") if block[0].kind == "conv" else 0 for block in blocks]
    if len(set(widths)) > 1 or not widths[0]:
        return None
    height, width = (spec.image or run.image or (0, 0, 0))[-2:]
    for block in blocks:
        height, width = map_after(block, height, width)
    for layout in LAYOUTS[kind]:
        wanted = stated_blocks(layout.block, widths)
        ends = {layout.end, ""} if (height, width) == (1, 1) else {layout.end}  # a mean over one place is that place
        if texts in [(*wanted[:-1], wanted[-1] + end) for end in ends]:
            return layout
    return None


def _named(layout: Layout, spec: NetSpec, theta: Theta) -> "OrderedDict[str, Tensor]":
    """Return the tensors under the family's names, in its order; a head without a bias has one of zeros."""
    tensors = {name_in_words(spec, name): value.detach().cpu().contiguous() for name, value in theta.net.items()}
    if layout.moments:
        named = {name_in_words(spec, name).rpartition("."): value for name, value in theta.moments.items()}
        tensors |= {f"{part}.running_{last}": value.contiguous() for (part, _, last), value in named.items()}
    state: OrderedDict[str, Tensor] = OrderedDict()
    blocks = range(sum(name.endswith("conv.weight") for name in tensors))
    for convs, norms in zip(layout.convs, layout.norms, strict=True):
        for number in blocks:
            for part, name in (("conv", convs.format(number)), ("norm", norms.format(number))):
                prefix = f"conv{number + 1}.{part}."
                last = {each.removeprefix(prefix): value for each, value in tensors.items() if each.startswith(prefix)}
                state |= {f"{name}.{each}": value for each, value in last.items()}
    if not spec.headless:
        weight = tensors["head.weight"]
        state["classifier.weight"] = weight
        state["classifier.bias"] = tensors.get("head.bias", torch.zeros_like(weight[:, 0]))
    return state


def _of_module(run: Run, update: int | None, kind: str, norm: str | None) -> Made:
    """Make a file of a module that runs by itself.

    Raises:
        UserError: a regime that it cannot have; inputs that are not known; a net that torch cannot export.
    """
    spec, method, net = run.config.net, run.config.method, run.net()
    tried = net.known.row if isinstance(net, Wrapped) and net.known is not None else None
    image = spec.image or run.image or tried
    if image is None:
        advice = "import it with --image, or take safetensors"
        raise UserError("export", "the shape of the net's inputs must be known", "none", advice)
    checkpoint = run.checkpoint(update)
    statistics = regime(method, checkpoint.theta, norm)
    theta, left = _at_the_start(checkpoint.theta, spec)
    if theta.moments and statistics == "batch":
        left.append("running moments (norms go by each batch)")
    if method.readout != "head":
        left.append(f"readout {method.readout} (the logits are the head's)")
    about = {**_about(run, checkpoint), "norm": statistics, "left_out": left}
    made = plain_module(spec, net, theta, image=image, statistics=statistics)
    gives = "features" if spec.headless else "logits and features"
    shape = f"[R, {', '.join(map(str, image))}]{'' if spec.image or run.image else ', found by trial'}"
    holds = f"{gives} of rows {shape}, norm {statistics}"
    return MODULES[kind](made, image, about), holds, left
