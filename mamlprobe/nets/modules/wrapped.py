"""A user's module as a net: it returns its layers' outputs, norms follow the regime, tasks run one by one."""

import weakref
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from mamlprobe.base.errors import UserError
from mamlprobe.nets.modules.copies import Stock
from mamlprobe.nets.modules.feature_axis import Layout, feature_axis
from mamlprobe.nets.modules.handwritten_norms import refuse_own_norms
from mamlprobe.nets.modules.head_checks import HeadFacts, head_facts
from mamlprobe.nets.modules.output import Output, as_logits, logits_of
from mamlprobe.nets.modules.passes import Cutting
from mamlprobe.nets.modules.runner import TRACKED, Runner, convolves
from mamlprobe.nets.modules.structure import BODY, ordered, owners, same_owners
from mamlprobe.nets.modules.task_by_task import by_size, one_by_one, together
from mamlprobe.nets.modules.trial import Trial, look, refuse_changing, refuse_odd, row_axes
from mamlprobe.nets.net import ForwardPass, Moments, Params
from mamlprobe.nets.params import as_params, layer_range


class Wrapped(Cutting):
    """A net made of a module; see `wrap`. Its passes run task by task, brief ones only if they must."""

    def __init__(
        self,
        module: nn.Module,
        head: str,
        layers: Sequence[str],
        *,
        trial: Trial | None,
        fixed: frozenset[str],
        output: Output,
        features: Mapping[str, str],
        theirs: Iterable[Tensor] = (),
        kernels: bool = True,
    ) -> None:
        self.module, self.head_name, self.output, self.known = module, head, output, trial
        body = ordered(layers, head, trial) or [BODY]
        self.layers = (*body, head)
        self._keywords = trial.keywords.get(head, ("",)) if trial else ("",)
        self.parameters = owners(module, head, body, trial)
        self.fixed = fixed
        parts = dict(module.named_modules())
        tracked = [name for name, part in parts.items() if isinstance(part, TRACKED) and part.running_mean is not None]
        self.norms = tuple(tracked)
        self.by_row = tuple(name for name in tracked if isinstance(parts[name], _InstanceNorm))
        self._norm_names = {name for name, part in parts.items() if isinstance(part, nn.modules.batchnorm._BatchNorm)}
        self._names = {id(value): name for name, value in module.named_parameters()}
        self._parts = {name: parts[name] for name in self.layers if name in parts}
        self._features, self._layouts = dict(features), dict[str, tuple[Layout | None, ...]]()
        self._tails = by_size([trial.inputs.get(head, (0,))[1:]] if trial else [])
        self._row_axes: dict[str, int] = {}
        self._theirs = [weakref.ref(value) for value in theirs]
        self._met, self._facts = False, dict[tuple[int, ...], HeadFacts]()
        self._kernels = kernels
        self._make_ready()
        self.recognise(trial if kernels else None)

    def _make_ready(self) -> None:
        """Create what cannot be copied: locks and runners."""
        written, plain = set[str](), set[Hashable]()
        self._lock, self._looking = Lock(), Lock()
        self._runners = Stock(lambda: Runner(self.module, self.head_name, self.layers, written, plain, self._kernels))

    def __getstate__(self) -> dict[str, Any]:
        state = {
            name: value
            for name, value in vars(self).items()
            if name not in ("_lock", "_looking", "_runners", "_names", "_parts")
        }
        return state | {"_theirs": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._names = {id(value): name for name, value in self.module.named_parameters()}
        self._parts = {name: part for name, part in self.module.named_modules() if name in self.layers}
        self._make_ready()

    def __repr__(self) -> str:
        sizes = {name: value.numel() for name, value in self.module.named_parameters()}
        of_layers = dict.fromkeys(self.layers, 0)
        for name, layer in self.parameters.items():
            of_layers[layer] += sizes[name]
        width = max(map(len, self.layers))
        lines = [f"{type(self.module).__name__} as a net: {sum(sizes.values()):,} parameters"]
        lines += [
            f"  {number:2} {layer:{width}} {of_layers[layer]:>12,}" for number, layer in enumerate(self.layers, 1)
        ]
        lines[-1] += f"  (the head, {'linear' if self.linear else 'not one linear layer'})"
        if self.fixed:
            lines.append(f"not adapted, for requires_grad=False: {', '.join(sorted(self.fixed))}")
        if self.known_as is not None:
            lines.append(f"runs as {self.known_as.description}")
        elif self._kernels and convolves(self.module):
            lines.append("task by task; in float32 on a CPU convolutions have their channels innermost")
        if self.norms:
            lines.append(f"norms with running statistics: {len(self.norms)}")
        return "\n".join(lines)

    def roles(self, name: str) -> str:
        """Return ``head.<rest>``, ``body.<name>``, or for a batch norm ``body.<norm>.norm.<rest>``."""
        owner, _, rest = name.rpartition(".")
        if self.parameters[name] == self.head_name:
            return "head." + name.removeprefix(self.head_name + ".")
        return f"body.{owner}.norm.{rest}" if owner in self._norm_names else f"body.{name}"

    @cached_property
    def lent(self) -> tuple[str, ...]:
        """List the parameters of the body that the head uses too."""
        names = [self._names[id(value)] for value in self.module.get_submodule(self.head_name).parameters()]
        return tuple(name for name in names if self.parameters[name] != self.head_name)

    @property
    def _head_facts(self) -> HeadFacts:
        shape = next(reversed(self._tails.values()), ())
        if shape not in self._facts:
            self._facts[shape] = head_facts(self.module.get_submodule(self.head_name), shape)
        return self._facts[shape]

    @property
    def linear(self) -> bool:
        """Tell, by numerical tests, whether logits are W f + b of the head's weight [N, F] and optional bias [N]."""
        return self._head_facts.linear and not self.lent

    @property
    def slope_at_zero(self) -> bool:
        """Tell, by numerical tests, whether the logits move with some weight of the head when all of them are zero."""
        return self._head_facts.slope_at_zero

    def init(self, generator: torch.Generator) -> tuple[Params, Moments]:
        """Return the module's weights and running moments as they are: wrapping never draws new ones."""
        params = {name: value.detach().clone() for name, value in self.module.named_parameters()}
        buffers = dict(self.module.named_buffers())
        moments = {
            f"{name}.{short}": buffers[f"{name}.{long}"].clone()
            for name in self.norms
            for short, long in (("mean", "running_mean"), ("var", "running_var"))
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
    ) -> ForwardPass:
        """Compute named activations [B, R, ...] of inputs x [B, R, ...], in evaluation mode (no dropout).

        Floating inputs are taken in the precision of the parameters.

        Raises:
            UserError: the module fails on such inputs, or differs from what `wrap` found.
        """
        layer_range(self, begin, end)
        if begin == self.head_name:
            logits, seen = self._of_features(params, x, moments, collect)
            return ForwardPass(layers={self.head_name: logits}, features=x, moments=seen)
        x = as_params(x, params)
        if begin is None:
            self._meet(params, x)
        return self.plainly(params, x, moments, collect, end, begin)

    def _meet(self, params: Params, x: Tensor) -> None:
        """Check on the first pass what the module does with such inputs.

        Raises:
            UserError: it draws random numbers, calls parts of another module, or differs from what `wrap` found.
        """
        if self._met:
            return
        with self._lock:
            if self._met:
                return
            task_params = {name: value[0] for name, value in params.items()}
            try:
                others = {id(value) for each in self._theirs if (value := each()) is not None}
                trial = look(self.module, task_params, x[0], strangers=others)
                longer = torch.cat([x[0], x[0][:1]])
                axes = row_axes(trial, len(x[0]), self.layers, lambda: look(self.module, task_params, longer))
            except Exception:
                return  # the pass itself will raise the error
            refuse_odd(trial)
            refuse_own_norms(self.module, task_params, x[0])
            same_owners(self.module, self.parameters, self.layers, trial)
            self._same_logits(task_params, x[0])
            self._layouts = {name: (trial.layouts.get(name), trial.taken.get(name)) for name in self.layers}
            self._keywords, self._row_axes = trial.keywords.get(self.head_name, ("",)), axes
            self._met = True

    @torch.inference_mode(False)
    def _same_logits(self, values: Params, rows: Tensor) -> None:
        """Refuse a module whose logits are the head's output only at its present weights.

        Refuse also one whose second pass gives something else, and one that detaches its logits from the head's graph.
        """
        draws = torch.Generator().manual_seed(0)
        noise = {n: torch.randn(v.shape, generator=draws, device="cpu") / 8 for n, v in values.items()}
        moved = {n: v.detach() + noise[n].to(v) if v.is_floating_point() else v for n, v in values.items()}
        for name, value in moved.items():
            if self.parameters[name] == self.head_name and value.is_floating_point():
                value.requires_grad_()
        outputs: list[tuple[Any, Tensor | None]] = []
        with torch.enable_grad(), self._runners.one() as runner:
            try:
                for _ in range(2):
                    caught = runner.run(moved, rows, None, collect=False)
                    outputs.append((caught.output, caught.layers.get(self.head_name)))
            except UserError:
                return  # the pass itself will raise the error
        (output, logits), (_, again) = outputs
        if logits is not None and again is not None and logits.isfinite().all():
            logits_of(output, logits, self.output, self.head_name)
            refuse_changing(logits.detach(), again.detach())

    def feature_axis(self, layer: str, shape: Sequence[int]) -> int:
        """Return the axis of the features in activations [B, R, ...] of the layer, which have this shape.

        It is known from the class of the module that computed them, or from ``wrap(features=)``.

        Raises:
            UserError: it cannot be known.
        """
        rows = tuple(shape[1:])
        word = self._features.get(layer, self._features.get("*"))
        if word is not None and len(rows) > 2:
            return 2 if word == "first" else len(shape) - 1
        return 1 + feature_axis(layer, rows, *self._layouts.get(layer, (None,)))

    def head(self, params: Params, features: Tensor) -> Tensor:
        """Compute the logits [B, R, N] of the head's input [B, R, F]."""
        return self._of_features(params, features, None, False)[0]

    def _of_features(
        self, params: Params, features: Tensor, moments: Moments | None, collect: bool
    ) -> tuple[Tensor, Moments]:
        """Compute the head's logits under given moments, and collect the moments of the norms in it."""
        if known := self.known_head(features):
            return known.head(params, as_params(features, params)), {}
        part = self.module.get_submodule(self.head_name)
        if _is_linear(part) and self._tails.get(features.shape[2:].numel(), (0,)) == features.shape[2:]:
            names = [self._names[id(value)] for value in (part.weight, part.bias) if value is not None]
            head_params = {name: params[name] for name in names}
            each = one_by_one(head_params, as_params(features, head_params), None)
            return together(
                [F.linear(rows, *(task_params[name] for name in names)) for task_params, rows, _ in each]
            ), {}
        if len(self._keywords) != 1:
            must, advice = "a head that runs alone must be given one tensor", "give wrap(inputs=) an example"
            raise UserError("wrap", must, f"{len(self._keywords)} in {self.head_name!r}", advice)
        head_params = {name: params[self._names[id(value)]] for name, value in part.named_parameters()}
        outputs, seen = [], []
        with self._runners.one() as runner:
            for task_params, rows, task_moments in one_by_one(head_params, as_params(features, head_params), moments):
                rows = rows.reshape(len(rows), *self._tails.get(rows.shape[1:].numel(), rows.shape[1:]))
                logits, own_moments = runner.run_head(
                    task_params, rows, task_moments, collect=collect, word=self._keywords[0]
                )
                outputs.append(as_logits(logits))
                seen.append(own_moments)
        return together(outputs), {name: together([each[name] for each in seen]) for name in seen[0]}


def _is_linear(part: nn.Module) -> bool:
    """Tell whether calling the part is one linear map of its weight and bias, and nothing else."""
    hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks)
    usual = part._parameters.keys() <= {"weight", "bias"} and "weight" in part._parameters
    return type(part) is nn.Linear and usual and not any(hooks) and "forward" not in vars(part)
