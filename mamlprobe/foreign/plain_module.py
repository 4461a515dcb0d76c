"""The net of a run as a plain module of torch, and the files that torch's own exporters make of it."""

import io
import json
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.foreign.net_spec import blocks_of, name_in_words
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.by_layers.layers_net import layers_module
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.spec import NetSpec
from mamlprobe.nets.wrap import Wrapped

METADATA = "mamlprobe.json"
"""Name of the extra file with the metadata in a TorchScript file; without its ending, of the entry in an ONNX file."""

REGIMES = {"batch": "batch", "per_step_unused": "batch", "running": "running", "per_step": "running"}
"""Norm regime of a run -> whose moments its norms go by where there is no support set."""

NEAR = 1e-3
"""How far logits of the module may lie from those of the net, as a share of the largest."""


class OwnStatistics(nn.Module):
    """A batch norm that always goes by its input's own statistics, written in plain operations."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.eps, self.weight, self.bias = norm.eps, norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [R, C, ...] over all but the channels."""
        axes = [axis for axis in range(x.ndim) if axis != 1]
        z = x - x.mean(axes, keepdim=True)
        z = z * torch.rsqrt(z.square().mean(axes, keepdim=True) + self.eps)
        shape = (1, -1) + (1,) * (x.ndim - 2)
        z = z if self.weight is None else z * self.weight.reshape(shape)
        return z if self.bias is None else z + self.bias.reshape(shape)


class Traced(nn.Module):
    """A net that maps images [R, C, H, W] to logits [R, N] and the features before them."""

    def __init__(self, module: nn.Module, head: str) -> None:
        super().__init__()
        self.module, self.head_name = module, head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the head's output and its input."""
        passed: list[Tensor] = []

        def note(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            given = next(each for each in (*args, *named.values()) if isinstance(each, Tensor))
            first = output if isinstance(output, Tensor) else output[0]
            passed[:] = [first.flatten(1) if first.ndim > 2 else first, given]

        handle = self.module.get_submodule(self.head_name).register_forward_hook(note, with_kwargs=True)
        try:
            self.module(images)
        finally:
            handle.remove()
        logits, features = passed
        return logits, features


def plain_module(spec: NetSpec, net: Net, theta: Theta, *, image: tuple[int, ...], statistics: str) -> nn.Module:
    """Return a module of torch alone with the weights of theta, which gives logits and features; features without head.

    `statistics` of norms is ``batch`` or ``running``. The module of a `Wrapped` net is changed: give one that nobody
    else uses.

    Raises:
        UserError: a net that no words are for; a module that gives others than the net's logits.
    """
    module = net.module if isinstance(net, Wrapped) and spec.kind == "module" else _in_words(spec, theta, image)
    running = statistics == "running"
    rows = _rows(image, 3, next(iter(theta.net.values())).dtype)
    moments = add_task_axis(theta.moments) if running else None
    with torch.no_grad():
        wanted = net(add_task_axis(theta.net), rows[None], moments=moments)
    _fill(module, spec, theta)
    if not running:
        _by_batch(module)
    whole = module.eval() if spec.headless else Traced(module, getattr(net, "head_name", "head")).eval()
    _same(whole, rows, [wanted.features[0]] if spec.headless else [wanted.logits[0], wanted.features[0]])
    return whole


def _in_words(spec: NetSpec, theta: Theta, image: tuple[int, ...]) -> nn.Module:
    """Build the module of the spec's blocks; torch's generator is not changed."""
    blocks = blocks_of(spec)
    if blocks is None:
        got = f"a net of kind {spec.kind} with activation {spec.activation}"
        raise UserError("export", "the net must be one of blocks with ReLU", got, "take safetensors")
    shape = (1, 1, torch.Size(image).numel()) if spec.kind == "mlp" else (image[0], image[1], image[2])
    way = theta.net["head.weight"].shape[0]
    with torch.random.fork_rng(devices=[]):
        module = layers_module(blocks, image=shape, way=way, bias="head.bias" in theta.net, head=not spec.headless)
    return module


def _rows(image: tuple[int, ...], count: int, dtype: torch.dtype) -> Tensor:
    random = torch.Generator().manual_seed(count)
    return torch.randn(count, *image, generator=random, dtype=torch.float32, device="cpu").to(dtype)


def _fill(module: nn.Module, spec: NetSpec, theta: Theta) -> None:
    """Copy the weights and the running moments into the module."""
    with torch.no_grad():
        for name, value in theta.net.items():
            if not (spec.headless and name.startswith("head.")):
                module.get_parameter(name_in_words(spec, name)).copy_(value)
        buffers = dict(module.named_buffers())
        for name, value in theta.moments.items():
            part, _, last = name_in_words(spec, name).rpartition(".")
            if f"{part}.running_{last}" in buffers:
                buffers[f"{part}.running_{last}"].copy_(value)


def _by_batch(module: nn.Module) -> None:
    """Have norms go by each batch's own statistics."""
    made: dict[int, nn.Module] = {}
    for name, part in list(module.named_modules(remove_duplicate=False)):
        if isinstance(part, _BatchNorm):
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, made.setdefault(id(part), OwnStatistics(part)))
        elif isinstance(part, _InstanceNorm):
            vars(part).update(track_running_stats=False)
            part._buffers.update(dict.fromkeys(part._buffers))


def _same(module: Any, rows: Tensor, wanted: list[Tensor]) -> None:
    """Refuse a module that gives others than the net's outputs.

    Raises:
        UserError: it does, or fails.
    """
    with torch.no_grad():
        try:
            given = module(rows)
        except Exception as error:
            raise _refused("run by itself", error) from None
    outputs = [given] if isinstance(given, Tensor) else list(given)
    for output, value in zip(outputs, wanted, strict=True):
        apart = (output.reshape(-1) - value.reshape(-1)).abs().max() if output.numel() == value.numel() else torch.inf
        if not apart <= NEAR * max(1.0, float(value.abs().max())):
            must = "the module must give the net's outputs by itself"
            raise UserError("export", must, f"others, by {float(apart):.2g}", "take safetensors")


def _refused(must: str, error: Exception) -> UserError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return UserError("export", f"the module must {must}", lines[0][:200], "take safetensors")


def torchscript(module: nn.Module, image: tuple[int, ...], metadata: Mapping[str, Any]) -> bytes:
    """Return the bytes of a TorchScript file of the module, for any number of rows; `METADATA` lies in it.

    Raises:
        UserError: torch cannot trace it, or what it traced gives other outputs.
    """
    dtype, file = next(module.parameters()).dtype, io.BytesIO()
    rows, jit = _rows(image, 3, dtype), cast(Any, torch.jit)  # whose functions have no types
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that TorchScript is old, and on shapes: the outputs are compared below
        wanted = module(rows)
        try:
            traced = jit.trace(module, (_rows(image, 2, dtype),), check_trace=False)
            jit.save(traced, file, _extra_files={METADATA: json.dumps(metadata, sort_keys=True)})
        except Exception as error:
            raise _refused("be one that torch can trace", error) from None
        again = jit.load(io.BytesIO(file.getvalue()))
    _same(again, rows, [wanted] if isinstance(wanted, Tensor) else list(wanted))
    return file.getvalue()


def onnx(module: nn.Module, image: tuple[int, ...], metadata: Mapping[str, Any]) -> bytes:
    """Return the bytes of an ONNX file of the module, for any number of rows, the metadata among its properties.

    Raises:
        UserError: a package that is missing; torch cannot export it.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        advice = f"pip install {' '.join(missing)}, or take torchscript"
        raise UserError(
            "export", "onnx needs the packages onnx and onnxscript", f"no {' and no '.join(missing)}", advice
        )
    rows = _rows(image, 2, next(module.parameters()).dtype)
    names = ["logits", "features"] if isinstance(module, Traced) else ["features"]
    options: dict[str, Any] = {"dynamo": True, "verbose": False, "input_names": ["images"], "output_names": names}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            shapes = ({0: torch.export.Dim("rows")},)
            program: Any = torch.onnx.export(module, (rows,), dynamic_shapes=shapes, **options)
            model = program.model_proto
        except Exception as error:
            raise _refused("be one that torch can export to ONNX", error) from None
    model.metadata_props.add(key=METADATA.removesuffix(".json"), value=json.dumps(metadata, sort_keys=True))
    data: bytes = model.SerializeToString()
    return data


def regime(method: Method, theta: Theta, norm: str | None) -> str:
    """Return whose moments the norms go by.

    Raises:
        UserError: another word; running moments that there are none of; a run whose norms need a support set.
    """
    if norm is not None and norm not in ("batch", "running"):
        raise unknown("export", "norm", norm, ("batch", "running"))
    if norm == "running" and not theta.moments:
        raise UserError("export", "norm running needs running moments", "none in the run", "take batch")
    usual = REGIMES.get(method.norm.statistics, "" if theta.moments else "batch")
    if norm is None and not usual:
        got = f"{method.norm.statistics}, the support set's"
        raise UserError(
            "export", "norms must go by each batch, or by running moments", got, "say norm batch or running"
        )
    return norm or usual
