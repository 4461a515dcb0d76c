"""What is meta-learned, and how it starts."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from mamlprobe.base.arrays import reachable, real_numbers
from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.learn.inner_optimizers import initial_rates
from mamlprobe.learn.method_params import initial_extra, initial_moments
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Moments, Net, Params
from mamlprobe.nets.params import adapting, head_names, map_tensors


@door()
@dataclass(frozen=True, kw_only=True)
class Theta:
    """Meta-learned tensors by name, without task axis; never written to.

    Raises:
        UserError: a part that is no dict of tensors by name.

    Examples:
        >>> import torch
        >>> import mamlprobe as mp
        >>> net = mp.mlp(inputs=4, way=2, hidden=(8,))
        >>> theta = mp.init(net, seed=0, method=mp.METHODS["meta_sgd"])
        >>> theta
        Theta(net: 4 tensors of 58 numbers, float32 on cpu,
        rates: 4 tensors of 58 numbers, float32 on cpu)
        >>> [name for name in theta.learned if "head" in name]
        ['head.weight', 'head.bias', 'rates.head.weight', 'rates.head.bias']
        >>> theta.to(dtype=torch.float64).net["head.weight"].dtype
        torch.float64
    """

    __repr__ = described

    net: Params
    """Parameters of the net by name, as ``net.parameters`` lists them: of a linear head weight [N, F], bias [N]."""
    rates: Params = field(default_factory=dict)
    """Learned inner step sizes by parameter name: [S], or the parameter's shape."""
    moments: Moments = field(default_factory=dict)
    """Running mean and biased variance of the batch norms [C], or [S+1, C] for every point of the inner path."""
    extra: Params = field(default_factory=dict)
    """What a method learns in addition to the net and its rates: see `learn.method_params`."""

    @door(reachable, real_numbers)
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Theta":
        """Copy theta to another device, its real numbers to another precision.

        Raises:
            UserError: a device that there is not; a type that is no real number's.
        """

        def move(value: Tensor) -> Tensor:
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        return self.map_tensors(move)

    @door()
    def map_tensors(self, function: Callable[[Tensor], Tensor]) -> "Theta":
        """Apply `function` to every tensor of theta, whatever its shape, and return the result as theta.

        Raises:
            UserError: something that cannot be called, or does not return tensors.
        """
        return Theta(**{each.name: map_tensors(function, getattr(self, each.name)) for each in fields(self)})

    @property
    def learned(self) -> Params:
        """Return all that has an outer gradient: the net's by name, others as ``rates.<name>``, ``extra.<name>``.

        Without task axis: a linear head has weight [N, F] and bias [N].
        """
        parts = {"rates": self.rates, "extra": self.extra}
        return {**self.net, **{f"{part}.{n}": v for part, values in parts.items() for n, v in values.items()}}


@door()
@torch.inference_mode(False)
def init(net: Net, *, seed: int, method: Method | None = None) -> Theta:
    """Initialise theta: the net's initial parameters, the head scaled or zeroed as the method says, initial rates.

    `seed` decides what is drawn. A wrapped module starts from the weights it has, whatever the seed.

    Raises:
        UserError: a zeroed head that does not adapt; norms by step in a net without norms, or that adapt; the
            contrastive rule if the body adapts.

    Examples:
        >>> import mamlprobe as mp
        >>> net = mp.conv4(image=(1, 14, 14), way=5, filters=4, blocks=2)
        >>> mp.init(net, seed=0)
        Theta(net: 10 tensors of 389 numbers, float32 on cpu,
        moments: 4 tensors of 16 numbers, float32 on cpu)
        >>> zeroed = mp.init(net, seed=0, method=mp.METHODS["maml_zeroing"])
        >>> zeroed.net["head.weight"].count_nonzero().item()
        0
        >>> mp.init(net, seed=0, method=mp.METHODS["meta_sgd"]).rates["head.weight"].shape
        torch.Size([5, 36])
    """
    method = method or Method()
    params, moments = drawn(net, generator(seed, "init"))
    scale = 0.0 if method.head in ("zero_once", "zero_each_update") else method.head_scale
    if scale not in (0.0, 1.0) and not net.linear:
        must, got = "a head that is scaled must be one linear layer", f"head_scale {scale} on another"
        raise UserError("method", must, got, "scale the weights before wrap, or name the last linear layer")
    params = {**params, **{name: params[name] * scale for name in head_names(net)}} if scale != 1.0 else params
    check_method(net, method)
    rates, extra = initial_rates(net, params, method.inner), initial_extra(net, params, moments, method)
    return Theta(net=params, rates=rates, moments=initial_moments(moments, method), extra=extra)


def drawn(net: Net, random: torch.Generator) -> tuple[Params, Moments]:
    """Return the parameters and moments that the net starts from.

    Raises:
        UserError: its `init` returns anything else.
    """
    made: object = net.init(random)
    if not isinstance(made, tuple) or len(made) != 2 or not all(isinstance(each, dict) for each in made):
        must = "init of a net must return parameters and moments, two dicts of tensors"
        raise UserError("net", must, f"a {type(made).__name__}", "give an empty dict where there are no moments")
    return made


def check_method(net: Net, method: Method) -> None:
    """Refuse a method that does not go with its net.

    Raises:
        UserError: a head that is zeroed at each update and does not adapt: the body's gradient through it is zero, so
            nothing would ever move; one that cannot move once it is zero; the contrastive rule if the body adapts; a
            readout or head that must be linear.
    """
    if method.head in ZEROED:
        able_to_move(net)
    if (method.readout == "siamese" or method.head == "prototype") and not net.linear:
        word = "readout siamese" if method.readout == "siamese" else "head prototype"
        raise UserError(
            "method", f"{word} needs a head that is one linear layer", "another", "name the last linear layer"
        )
    names, head = set(adapting(net, method.inner.adapts)), head_names(net)
    got = f"inner.adapts {list(method.inner.adapts)}"
    if method.head == "zero_each_update" and method.readout == "head" and names and not names & set(head):
        advice = "let the head adapt, or set head to keep"
        raise UserError("method", "a head that is zeroed at each update must adapt", got, advice)
    if method.outer.rule == "contrastive" and names - set(head):
        must, advice = "the contrastive rule needs a body that does not adapt", "set inner.adapts to head.*"
        raise UserError("method", must, got, advice)


ZEROED = ("zero_once", "zero_each_update", "zero_at_test")
"""Settings of `head` that set it to zero."""


def able_to_move(net: Net) -> None:
    """Refuse to zero a head that then has no gradient: nothing would move, and accuracy would be chance.

    Raises:
        UserError: such a head, or one that shares its weight with the body.
    """
    if net.lent:
        must, got = "a head that is zeroed must have a weight of its own", f"{net.lent[0]}, which is the body's too"
        raise UserError("method", must, got, "untie the weight")
    if not net.slope_at_zero:
        must = "a head whose weights are all zero must have a slope"
        got = f"none (weights {', '.join(head_names(net)[:6])})"
        raise UserError(
            "method", must, got, "name its last linear layer alone, as in wrap(head=...): that is zeroed then"
        )


def zero_head(net: Net, params: Params) -> Params:
    """Set head weight and bias to zero (the zeroing trick, Kao et al. 2022, section 4).

    The value is zero, the derivative the identity: gradients are those at the zeroed head.
    """
    return {**params, **{name: params[name] - params[name].detach() for name in head_names(net)}}


def start(net: Net, params: Params, method: Method, *, stage: str) -> Params:
    """Return the inner loop's start in this stage, "train" or "test": theta, its head zeroed if the method says so."""
    zeroed = ("zero_each_update",) if stage == "train" else ("zero_each_update", "zero_at_test")
    if method.head in zeroed:
        able_to_move(net)
    return zero_head(net, params) if method.head in zeroed else params


def fits(net: Net, theta: Theta, method: Method) -> None:
    """Refuse an inner loop that this net and theta cannot have.

    Raises:
        UserError: patterns that select nothing, missing running averages.
    """
    adapting(net, method.inner.adapts)
    if method.norm.statistics == "running" and not theta.moments:
        must, got = "norm 'running' needs batch norms with running averages", "none"
        raise UserError("inner loop", must, got, "use batch or support")
