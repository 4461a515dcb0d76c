"""Nets that come as modules: one outer gradient of MAML at 84 pixels, against a plain loop over tasks and steps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

import mamlprobe as mp
from benchmarks.cases import INNER_LR, Row
from benchmarks.gpu.others import noise
from benchmarks.gpu.timed import memory, spread, turns
from benchmarks.gpu.visit import Visit, guarded
from benchmarks.modules import ResNet12, ViT, conv4
from benchmarks.works import WORKS, Work
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.training.precision import precision


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A module, and the name of its head."""

    make: Callable[[int], nn.Module]
    """Of the images' side."""
    head: str


KINDS = {
    "conv4": Kind(make=lambda side: conv4(3, 32, side), head="17"),
    "resnet12": Kind(make=lambda side: ResNet12(), head="fc"),
    "vit": Kind(make=ViT, head="fc"),
}


def wrapped(visit: Visit) -> Iterator[Row]:
    """Every net in float32: ours, launched anew, and the loop."""
    work = WORKS["B"]
    if visit.rehearse:
        work = replace(work, image=(3, 16, 16), tasks=1, steps=1, query=1)
    names = ("conv4", "vit") if visit.rehearse else tuple(KINDS)
    keys: Row = {"method": "maml", "precision": "float32", "tasks": work.tasks, "steps": work.steps}
    yield from guarded(visit, [(keys | {"work": name}, lambda name=name: _one(visit, name, work)) for name in names])


def _one(visit: Visit, name: str, work: Work) -> Iterator[Row]:
    kind, tasks = KINDS[name], noise(work, work.tasks, visit.device)
    torch.manual_seed(0)
    module = kind.make(work.image[1]).to(visit.device)
    net = mp.wrap(kind.make(work.image[1]), kind.head, inputs=work.image)
    method = mp.METHODS["maml"]
    method = replace(method, inner=replace(method.inner, steps=work.steps, lr=INNER_LR))
    theta = mp.init(net, seed=0, method=method).to(visit.device)
    chunk: int | None = None
    with precision("float32", visit.device):
        try:
            _, peak = memory(lambda: meta_gradient(net, theta, tasks, method), visit.device)
        except torch.OutOfMemoryError:
            chunk = 1
            torch.cuda.empty_cache()
            _, peak = memory(lambda: meta_gradient(net, theta, tasks, method, chunk=1), visit.device)
        ours = turns({"": lambda: meta_gradient(net, theta, tasks, method, chunk=chunk)}, visit.device, rounds=3)[""]
        row = {"arm": "mamlprobe", "peak_mb": peak, "note": f"chunk {chunk}" if chunk else ""} | spread(ours)
        yield row
        _, peak = memory(lambda: loop(module, tasks, work.steps), visit.device)
        theirs = spread(turns({"": lambda: loop(module, tasks, work.steps)}, visit.device, rounds=2, warmup=0)[""])
    yield {"arm": "loop", "peak_mb": peak} | theirs
    ratio = theirs["milliseconds"] / row["milliseconds"]
    yield {"arm": "mamlprobe against loop", "ratio": ratio, "ratio_to": "loop"}


def loop(module: nn.Module, tasks: Episodes, steps: int) -> Tensor:
    """The outer gradient, task after task; the mean query loss."""
    module.zero_grad()
    losses = []
    for support_x, support_y, query_x, query_y in zip(
        tasks.support_x, tasks.support_y, tasks.query_x, tasks.query_y, strict=True
    ):
        params: dict[str, Tensor] = dict(module.named_parameters())
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            for _ in range(steps):
                loss = F.cross_entropy(functional_call(module, params, (support_x,)), support_y)
                slopes = torch.autograd.grad(loss, list(params.values()), create_graph=True)
                params = {name: value - INNER_LR * slope for (name, value), slope in zip(params.items(), slopes)}  # noqa: B905
            loss = F.cross_entropy(functional_call(module, params, (query_x,)), query_y)
            (loss / tasks.tasks).backward()
        losses.append(loss.detach())
    return torch.stack(losses).mean()
