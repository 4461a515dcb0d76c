"""The convolutional block with its own first and second derivative: the fast route behind `Conv4`.

Tasks with their own conv weights lie side by side in the channels, one group of the convolution each; tasks that share
them lie behind each other as rows, and the convolution is an ordinary one. Maps are [G, R, H, W, K] in memory, channels
innermost: grouped [1, R, H, W, B*K], else [B, R, H, W, K].

Two differentiable functions make a block: the convolution, whose second derivative is four more convolutions, and the
cells of norm, ReLU and pooling (`cells`). A third derivative is refused.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from mamlprobe.base.errors import UserError
from mamlprobe.nets import cells, kernels
from mamlprobe.nets.cells import Kind
from mamlprobe.nets.norm import enough

Gradients = tuple[Tensor | None, ...]


def _last(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """The backward without graph, refused where a graph is asked for: torch's own mark lets gradients get lost."""

    @wraps(backward)
    def wrapper(ctx: Any, *along: Tensor | None) -> Gradients:
        if torch.is_grad_enabled() and any(h is not None and h.requires_grad for h in along):
            raise UserError(
                "conv4",
                "the fast blocks can be differentiated twice",
                "a third derivative",
                "set MAMLPROBE_KERNELS=off (on the CPU), or leave out create_graph in the second",
            )
        with torch.no_grad():
            return backward(ctx, *along)

    return wrapper


def fast(x: Tensor) -> bool:
    """Whether this route is the faster one for inputs like `x`: on a GPU, and on a CPU with compiled kernels."""
    return x.device.type == "cuda" or kernels.ready(x)


def grouped_maps(z: Tensor) -> Tensor:
    """[1, R, H, W, B*K] of maps [B, R, H, W, K]."""
    return z.permute(1, 2, 3, 0, 4).flatten(3).unsqueeze(0)


def by_task(z: Tensor, tasks: int) -> Tensor:
    """[B, R, H, W, K] of maps in either layout, as a view."""
    if z.shape[0] == tasks and tasks > 1:
        return z
    return z.squeeze(0).unflatten(3, (tasks, -1)).permute(3, 0, 1, 2, 4)


def block(
    z: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    step: int,
    kind: Kind,
    images: bool,
    name: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps [B, R, h, w, K] after conv, norm, ReLU and pooling, and the moments of the norm [B, K], without graph.

    z [B, R, H, W, C], or images [B, R, C, H, W]; weight [B or 1, K, C, 3, 3]; bias, scale, shift [B or 1, K].
    """
    tasks = z.shape[0]
    grouped = weight.shape[0] > 1 or tasks == 1
    y = _convolve(z, weight, step, grouped=grouped, images=images)
    enough(name, y.numel() // (tasks * weight.shape[1]))
    lead = max(p.shape[0] for p in (bias, scale, shift))
    vectors = [p.expand(lead, -1) for p in (bias, scale, shift)]
    if grouped:
        vectors = [p.expand(tasks, -1).reshape(1, -1) for p in vectors]
    p, mean, var = _Cells.apply(y, *(v.contiguous() for v in vectors), kind)
    mean, var = mean.reshape(tasks, -1), var.reshape(tasks, -1)
    return by_task(p, tasks), mean if kind.relu_first else mean + bias.detach(), var


def _convolve(z: Tensor, weight: Tensor, step: int, *, grouped: bool, images: bool) -> Tensor:
    """Maps [G, R, h, w, K'] of the convolution."""
    if images and z.shape[2] in (1, 3) and not z.requires_grad and kernels.ready(z):
        return _FirstConv.apply(z.contiguous(), weight, step, grouped)
    z = z.movedim(2, -1) if images else z
    return _Conv.apply((grouped_maps(z) if grouped else z).contiguous(), weight.contiguous(), step)


def _compiled(x: Tensor, step: int) -> bool:
    """Whether our own convolution is the faster one: not on the smallest maps."""
    return step == 1 and x.shape[2] * x.shape[3] > 16 and kernels.ready(x)


def _conv(x: Tensor, w: Tensor, step: int, *more: Tensor) -> Tensor:
    """3x3 convolution, padding 1, of maps x [G, R, H, W, B*C] by w [B, K, C, 3, 3]; plus that of a second x and w."""
    if _compiled(x, step):
        return kernels.conv(x, w, *more)
    y = F.conv2d(_planes(x), _filters(w), None, step, 1, 1, len(w)).movedim(1, -1)
    if more:
        y = y + F.conv2d(_planes(more[0]), _filters(more[1]), None, step, 1, 1, len(w)).movedim(1, -1)
    return y.contiguous().unflatten(0, x.shape[:2])


def _planes(x: Tensor) -> Tensor:
    """Maps as torch's convolutions take them: [G R, K, H, W], channels last in memory."""
    return x.flatten(0, 1).movedim(-1, 1)


def _filters(w: Tensor) -> Tensor:
    return w.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _conv_backward(
    gy: Tensor, x: Tensor, w: Tensor, step: int, mask: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the input and of the weight, those that the mask asks for."""
    if _compiled(x, step):
        gx = kernels.conv(gy, w, turned=True) if mask[0] else None
        return gx, kernels.conv_weight(x, gy, len(w)) if mask[1] else None
    if not any(mask):
        return None, None
    ones, twos = [1, 1], [step, step]
    flags = [*mask, False]
    gx, gw, _ = torch.ops.aten.convolution_backward(
        _planes(gy), _planes(x), _filters(w), None, twos, ones, ones, False, [0, 0], len(w), flags
    )
    gx = gx.movedim(1, -1).contiguous().unflatten(0, x.shape[:2]) if mask[0] else None
    return gx, gw.reshape(w.shape) if mask[1] else None


class _Conv(Function):
    """`_conv`; the shared weights of B tasks whose maps lie behind each other are B = 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, step: int) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.step = step
        return _conv(x, w, step)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Gradients:
        x, w = ctx.saved_tensors
        gx, gw = _ConvGradient.apply(gy.contiguous(), x, w, ctx.step, ctx.needs_input_grad[:2])
        return gx, gw, None


class _ConvGradient(Function):
    """The first derivative of `_Conv`: bilinear in gy and (w, x), so its own derivative is four convolutions."""

    @staticmethod
    def forward(
        ctx: Any, gy: Tensor, x: Tensor, w: Tensor, step: int, mask: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.save_for_backward(gy, x, w)
        ctx.step = step
        ctx.set_materialize_grads(False)
        return _conv_backward(gy, x, w, step, mask)

    @staticmethod
    @_last
    def backward(ctx: Any, hx: Tensor | None, hw: Tensor | None) -> Gradients:
        gy, x, w = ctx.saved_tensors
        step = ctx.step
        need_gy, need_x, need_w = ctx.needs_input_grad[:3]
        pairs = [] if hx is None else [hx.contiguous(), w]
        pairs += [] if hw is None else [x, hw.contiguous()]
        ggy = _conv(pairs[0], pairs[1], step, *pairs[2:]) if need_gy and pairs else None
        gw = None if hx is None else _conv_backward(gy, hx.contiguous(), w, step, (False, need_w))[1]
        gx = None if hw is None else _conv_backward(gy, x, hw.contiguous(), step, (need_x, False))[0]
        return ggy, gx, gw, None, None


class _FirstConv(Function):
    """The same of images that need no gradient, compiled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, step: int, grouped: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.weights, ctx.step, ctx.grouped = len(w), step, grouped
        return kernels.first_conv(x, w, step, grouped)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Gradients:
        (x,) = ctx.saved_tensors
        return None, _FirstConvGradient.apply(gy.contiguous(), x, ctx.weights, ctx.step, ctx.grouped), None, None


class _FirstConvGradient(Function):
    @staticmethod
    def forward(ctx: Any, gy: Tensor, x: Tensor, weights: int, step: int, grouped: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.step, ctx.grouped = step, grouped
        return kernels.first_conv_weight(x, gy, weights, step, grouped)

    @staticmethod
    @_last
    def backward(ctx: Any, hw: Tensor) -> Gradients:
        (x,) = ctx.saved_tensors
        return kernels.first_conv(x, hw, ctx.step, ctx.grouped), None, None, None, None


def _shared(per_group: Tensor, like: Tensor) -> Tensor:
    """[G, K] summed over groups where these share the parameter [1, K]."""
    return per_group if len(like) == len(per_group) else per_group.sum(0, keepdim=True)


class _Cells(Function):
    """Norm, ReLU and pooling: y [G, R, H, W, K]; bias, scale, shift [G or 1, K]."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, kind: Kind
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = y.contiguous()
        route = kernels if kernels.ready(y) else cells
        p, mean, rstd, var = route.forward(y, bias, scale, shift, kind)
        ctx.save_for_backward(y, bias, scale, shift, mean, rstd)
        ctx.kind = kind
        ctx.mark_non_differentiable(mean, var)
        return p, mean, var

    @staticmethod
    def backward(ctx: Any, gp: Tensor, *_: Tensor) -> Gradients:
        y, bias, scale, shift, mean, rstd = ctx.saved_tensors
        found = _CellsGradient.apply(gp.contiguous(), y, bias, scale, shift, mean, rstd, ctx.kind)
        return *found, None


class _CellsGradient(Function):
    @staticmethod
    def forward(
        ctx: Any,
        gp: Tensor,
        y: Tensor,
        bias: Tensor,
        scale: Tensor,
        shift: Tensor,
        mean: Tensor,
        rstd: Tensor,
        kind: Kind,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        route = kernels if kernels.ready(y) else cells
        gy, gbias, gscale, gshift = route.backward(gp, y, bias, scale, shift, mean, rstd, kind)
        ctx.save_for_backward(gp, y, bias, scale, shift, mean, rstd, gscale, gshift)
        ctx.kind = kind
        return gy, _shared(gbias, bias), _shared(gscale, scale), _shared(gshift, shift)

    @staticmethod
    @_last
    def backward(ctx: Any, hy: Tensor, *vectors: Tensor) -> Gradients:
        saved = ctx.saved_tensors
        y, bias, scale = saved[1:4]
        route = kernels if kernels.ready(y) else cells
        along = [v.expand_as(saved[5]).contiguous() for v in vectors]
        xgp, xy, xbias, xscale = route.twice(*saved, hy.contiguous(), *along, ctx.kind)
        return xgp, xy, _shared(xbias, bias), _shared(xscale, scale), None, None, None, None
