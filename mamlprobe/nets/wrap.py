"""Any ``nn.Module`` as a net: layers caught by hooks and returned, norms computed from primitives, tasks by vmap."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.nets.params import Moments, Params, Pass, span

Catch = dict[str, Tensor]


class PlainNorms(TorchFunctionMode):
    """Inside, ``F.batch_norm``, ``instance_norm``, ``group_norm`` and ``layer_norm`` are computed from primitives.

    The fused kernels lose second-order terms where an inner gradient is taken inside vmap and their affine weights
    adapt (torch 2.13); these do not, wherever it is taken. Batch norms use the statistics of their input, or the given
    `moments`, whatever the module's own mode says.

    Moments go by the name of the norm that is `running`; a second call of one norm adds ``@2``, and a call outside of
    any norm module is ``batch_norm@1``, ``batch_norm@2``, ... A call whose moments are not given takes the first one's.
    """

    def __init__(self, moments: Moments | None) -> None:
        super().__init__()
        self.moments = moments
        self.collected: Moments = {}
        self.running: str | None = None
        self.calls: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces the four norms; everything else passes."""
        plain = {
            torch.nn.functional.batch_norm: self.batch_norm,
            torch.nn.functional.instance_norm: instance_norm,
            torch.nn.functional.group_norm: group_norm,
            torch.nn.functional.layer_norm: layer_norm,
        }.get(func, func)
        return plain(*args, **(kwargs or {}))

    def batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Batch norm by the input's own statistics or by the given moments."""
        first = self.running or "batch_norm"
        self.calls[first] += 1
        name = first if self.running and self.calls[first] == 1 else f"{first}@{self.calls[first]}"
        variance, mean = torch.var_mean(x, dim=[d for d in range(x.ndim) if d != 1], correction=0)
        self.collected[f"{name}.mean"], self.collected[f"{name}.var"] = mean, variance
        if self.moments is not None:
            known = name if f"{name}.mean" in self.moments else first
            if f"{known}.mean" not in self.moments:
                raise UserError(
                    name, "the norm regime needs moments of this norm", "none", "use the norm regime 'batch'"
                )
            mean, variance = self.moments[f"{known}.mean"], self.moments[f"{known}.var"]
        elif x.numel() == x.shape[1]:
            raise UserError(
                name,
                "batch statistics need more than one value a channel and task",
                1,
                "use more rows, larger images or the norm regime 'running'",
            )
        return _affine(x, mean, variance, weight, bias, eps)


def _affine(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias; flat statistics are broadcast along axis 1."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, variance = (s.reshape(shape) if s.ndim == 1 else s for s in (mean, variance))
    x = (x - mean) * torch.rsqrt(variance + eps)
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Instance norm of x [R, C, ...] by its own statistics."""
    variance, mean = torch.var_mean(x, dim=list(range(2, x.ndim)), correction=0, keepdim=True)
    return _affine(x, mean, variance, weight, bias, eps)


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Group norm of x [R, C, ...]."""
    grouped = x.reshape(x.shape[0], num_groups, -1)
    variance, mean = torch.var_mean(grouped, dim=2, correction=0, keepdim=True)
    plain = ((grouped - mean) * torch.rsqrt(variance + eps)).reshape(x.shape)
    return _affine(plain, plain.new_zeros(1), plain.new_ones(1), weight, bias, 0.0)


def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Layer norm over the last axes."""
    variance, mean = torch.var_mean(x, dim=list(range(-len(normalized_shape), 0)), correction=0, keepdim=True)
    x = (x - mean) * torch.rsqrt(variance + eps)
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


class Wrapped:
    """A net made of a module; see `wrap`."""

    def __init__(self, module: nn.Module, head: str, layers: tuple[str, ...]) -> None:
        self.module = deepcopy(module).eval()
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        self.head_name = head
        self.layers = layers
        self.entries = layers[-1:]  # what other layers give each other is the module's own affair
        self.parameters = {name: _owner(name, layers) for name, _ in self.module.named_parameters()}
        norms = nn.modules.batchnorm._BatchNorm
        self.norms = [name for name, part in self.module.named_modules() if isinstance(part, norms)]

    def roles(self, name: str) -> str:
        """``head.<rest>``, ``body.<name>``, or of a norm ``body.<norm>.norm.<rest>``."""
        prefix, (owner, _, rest) = self.head_name + ".", name.rpartition(".")
        if name.startswith(prefix):
            return "head." + name.removeprefix(prefix)
        return f"body.{owner}.norm.{rest}" if owner in self.norms else f"body.{name}"

    def init(self, generator: torch.Generator) -> tuple[Params, Moments]:
        """The module's own weights and running moments: wrapping never draws new ones."""
        params = {name: value.detach().clone() for name, value in self.module.named_parameters()}
        buffers = dict(self.module.named_buffers())
        moments = {
            f"{name}.{short}": buffers[f"{name}.{long}"].clone()
            for name in self.norms
            for short, long in (("mean", "running_mean"), ("var", "running_var"))
            if buffers.get(f"{name}.{long}") is not None
        }
        return params, moments

    def __call__(
        self,
        params: Params,
        x: Tensor,
        *,
        moments: Moments | None = None,
        collect: bool = False,
        begin: str | None = None,
        end: str | None = None,
    ) -> Pass:
        """Named activations [B, R, ...] of inputs x [B, R, ...]; the module runs in evaluation mode (no dropout)."""
        span(self, begin, end)
        if begin is not None:
            return Pass(layers={self.layers[-1]: self.head(params, x)}, features=x)
        shared = {name for name, value in params.items() if value.shape[0] == 1 and x.shape[0] > 1}
        mine = {name: value[0] if name in shared else value for name, value in params.items()}
        axes = {name: None if name in shared else 0 for name in params}
        still = None if moments is None else {k: v[0] if v.shape[0] == 1 else v for k, v in moments.items()}
        still_axes = None if still is None else {k: 0 if v.ndim > 1 else None for k, v in still.items()}
        order: list[str] = []

        def one(own: Params, rows: Tensor, fixed: Moments | None) -> tuple[Catch, Tensor, Moments]:
            caught, features, collected = self._run(own, rows, fixed)
            order[:] = list(caught)
            return caught, features, collected

        layers, features, collected = vmap(one, in_dims=(axes, 0, still_axes))(mine, x, still)
        layers = {name: layers[name] for name in order if name != end}
        return Pass(layers=layers, features=features, moments=collected if collect else {})

    def _run(self, params: Params, x: Tensor, moments: Moments | None) -> tuple[Catch, Tensor, Moments]:
        """One task: layers in the order of their calls, input of the head, moments of the norms."""
        caught: Catch = {}
        inputs: list[Tensor] = []
        buffers = {name: value.to(x.device, copy=True) for name, value in self.module.named_buffers()}
        mode = PlainNorms(moments)
        # attention from primitives too: its fused kernels have no second derivative
        with self._hooks(caught, inputs, mode), mode, sdpa_kernel(SDPBackend.MATH):
            output = functional_call(self.module, {**params, **buffers}, (x,))
        if not inputs or caught.get(self.layers[-1]) is not output:
            raise UserError(
                "wrap", "the head must be the module's last layer", repr(self.head_name), "name the last linear layer"
            )
        missing = [name for name in self.layers if name not in caught]
        if missing:
            raise UserError("wrap", "every layer must run in the forward pass", missing, "name other layers")
        return caught, inputs[0], mode.collected

    @contextmanager
    def _hooks(self, caught: Catch, inputs: list[Tensor], mode: PlainNorms) -> Iterator[None]:
        """Catches the layers' outputs, the head's input and the names of the running norms; removes every hook.

        A later in-place operation may write into what a hook is given, so what is caught is a copy.
        """
        handles = []

        def take(part: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs[:] = [args[0].flatten(1).clone()]

        def catch(name: str) -> Any:
            def hook(part: nn.Module, args: tuple[Tensor, ...], output: object) -> None:
                if not isinstance(output, Tensor):
                    raise UserError(
                        "wrap", f"layer {name!r} must return a tensor", type(output).__name__, "name other layers"
                    )
                caught.pop(name, None)
                caught[name] = output if name == self.head_name else output.clone()

            return hook

        def announce(name: str | None) -> Any:
            def hook(part: nn.Module, *call: Any) -> None:
                mode.running = name

            return hook

        try:
            for name, part in self.module.named_modules():
                if name in self.layers:
                    handles.append(part.register_forward_hook(catch(name)))
                if name == self.head_name:
                    handles.append(part.register_forward_pre_hook(take))
                if name in self.norms:
                    handles.append(part.register_forward_pre_hook(announce(name)))
                    handles.append(part.register_forward_hook(announce(None)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def head(self, params: Params, features: Tensor) -> Tensor:
        """Logits [B, R, N] of the head's input [B, R, F]."""
        part = self.module.get_submodule(self.head_name)
        names = {value: name for name, value in self.module.named_parameters()}  # a tied weight goes by its first name
        own = {name: params[names[value]] for name, value in part.named_parameters()}
        own = {name: value.expand(features.shape[0], *value.shape[1:]) for name, value in own.items()}
        logits: Tensor = vmap(lambda p, f: functional_call(part, p, (f.clone(),)))(own, features)
        return logits


def _owner(parameter: str, layers: Sequence[str]) -> str:
    """The layer with the longest prefix of the parameter's name; the part before the last dot where none has."""
    owners = [layer for layer in layers if parameter.startswith(layer + ".")]
    return max(owners, key=len) if owners else parameter.rpartition(".")[0]


def _outer_layers(module: nn.Module, prefix: str = "") -> list[str]:
    """Direct children that own parameters, Sequential ones opened up."""
    names: list[str] = []
    for name, part in module.named_children():
        if next(part.parameters(), None) is None:
            continue
        names += _outer_layers(part, f"{prefix}{name}.") if isinstance(part, nn.Sequential) else [prefix + name]
    return names


def wrap(module: nn.Module, head: str, *, layers: Sequence[str] | None = None) -> Wrapped:
    """A net of any ``nn.Module`` that maps rows [R, ...] to logits [R, N]; the module itself is copied, never changed.

    `head` is the prefix of the head's parameters (its last layer), `layers` the modules to record and to freeze by, in
    order; by default the children that own parameters, with Sequential ones opened. Parameters keep the module's
    names; for patterns their roles are ``head.*`` and ``body.*``. Batch norms follow the method's norm regime; one that
    is called twice has one pair of running moments, those of its first call.

    Raises:
        UserError: a head or a layer that is not there, a head without parameters.
    """
    known = [name for name, _ in module.named_modules() if name]
    for name in (head, *(layers or ())):
        if name not in known:
            raise unknown("wrap", "module", name, known)
    if next(module.get_submodule(head).parameters(), None) is None:
        raise UserError("wrap", "the head must have parameters", repr(head), "name the last linear layer")
    names = [name for name in (layers or _outer_layers(module)) if name != head and not name.startswith(head + ".")]
    return Wrapped(module, head, (*names, head))
