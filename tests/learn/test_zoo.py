"""Outer gradients, regimes of norms and paths of users' modules against loops over tasks in plain torch."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Norm
from mamlprobe.nets.params import adapting
from mamlprobe.nets.wrap import wrap
from tests.oracles import alone, close, slow_outer, slow_path
from tests.zoo import ZOO, made, tasks_for

STEPS, LR = 2, 0.3


def plain(module: nn.Module) -> nn.Module:
    """In evaluation mode but for the norms, which have the statistics of their input."""
    for part in module.eval().modules():
        if isinstance(part, _NormBase):
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
    return module


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", ZOO)
def test_outer_gradients_are_those_of_the_loop(name, order):
    net, episodes = wrap(made(name), ZOO[name].head), tasks_for(name, tasks=2)
    theta = init(net, seed=0)
    for adapts in (("*",), ("head.*",)) if order == 2 else (("*",),):
        inner = replace(METHODS["maml"].inner, steps=STEPS, lr=LR, order=order, adapts=adapts)
        found, told = meta_gradient(net, theta, episodes, replace(METHODS["maml"], inner=inner))
        names = adapting(net, adapts)
        with sdpa_kernel(SDPBackend.MATH):
            words = {"adapts": names, "steps": STEPS, "lr": LR, "order": order}
            wanted, losses = slow_outer(plain(made(name)), theta.net, episodes, **words)
        close(found, wanted, 1e-10)
        torch.testing.assert_close(told.losses, torch.tensor(losses, dtype=torch.float64), rtol=1e-10, atol=1e-10)


def regime(statistics: str):
    inner = replace(METHODS["maml"].inner, steps=STEPS, test_steps=STEPS, lr=LR)
    return replace(METHODS["maml"], inner=inner, norm=Norm(statistics=statistics))


@alone()
def end_of(module: nn.Module, weights: dict[str, Tensor], episodes, task: int) -> dict[str, Tensor]:
    """The loop's end of the inner path of one task."""
    x, y = episodes.support_x[task], episodes.support_y[task]

    def run(at, rows):
        return functional_call(module, at, (rows,))

    words = {"adapts": list(weights), "steps": STEPS, "loss": "cross_entropy", "graph": False}
    return {n: v.detach() for n, v in slow_path(run, weights, x, y, rate=lambda *_: LR, **words)[0][-1].items()}


@pytest.mark.parametrize("name", ["conv", "residual", "instance"])
def test_running_is_evaluation_mode(name):
    """Along the whole path of test time, for batch norms and for instance norms that keep statistics."""
    module, episodes, method = made(name), tasks_for(name, tasks=2), regime("running")
    net = wrap(module, ZOO[name].head)
    theta = init(net, seed=0)
    assert theta.moments
    tasks, path = inner_paths(net, theta, episodes, method, stage="test", track="none")
    logits, module = tasks.query_logits(path[-1], step=STEPS), module.eval()
    for task in range(2):
        end = end_of(module, theta.net, episodes, task)
        close({n: v[task] for n, v in path[-1].items()}, end, 1e-10)
        torch.testing.assert_close(logits[task], functional_call(module, end, (episodes.query_x[task],)))


@pytest.mark.parametrize("name", ["conv", "residual", "instance", "functional"])
def test_support_is_that_of_the_support_set(name):
    """Batch norms take the support set's statistics to the query set; instance norms have each row's own."""
    module, episodes, method = made(name), tasks_for(name, tasks=2), regime("support")
    net = wrap(module, ZOO[name].head)
    theta = init(net, seed=0)
    tasks, path = inner_paths(net, theta, episodes, method, stage="test", track="none")
    logits = tasks.query_logits(path[-1], step=STEPS)
    for task in range(2):
        own = plain(made(name))
        end = end_of(own, theta.net, episodes, task)
        close({n: v[task] for n, v in path[-1].items()}, end, 1e-10)
        wanted = with_support(own, end, episodes.support_x[task], episodes.query_x[task])
        torch.testing.assert_close(logits[task], wanted)


def with_support(module: nn.Module, weights: dict[str, Tensor], support: Tensor, query: Tensor) -> Tensor:
    """Logits of query rows under the moments that the module's batch norms had of the support set."""
    kept: dict[str, tuple[Tensor, Tensor]] = {}
    fused = nn.functional.batch_norm

    def keep(x, mean, variance, *words, **more):
        dims = [d for d in range(x.ndim) if d != 1]
        kept[str(len(kept))] = x.mean(dims), x.var(dims, unbiased=False)
        return fused(x, mean, variance, *words, **more)

    def use(x, mean, variance, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        return fused(x, *kept[str(next(calls))], weight, bias, False, momentum, eps)

    calls = iter(range(99))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "batch_norm", keep)
        functional_call(module, weights, (support,))
        patch.setattr(nn.functional, "batch_norm", use)
        return functional_call(module, weights, (query,))


def test_moments_that_training_keeps_are_those_of_the_query_sets():
    """Regime "running": of batch norms over a task's rows, of instance norms over each row, on average over all."""
    for name in ("conv", "instance"):
        module, episodes, method = made(name), tasks_for(name, tasks=2), regime("running")
        net = wrap(module, ZOO[name].head)
        theta = init(net, seed=0)
        _, told = meta_gradient(net, theta, episodes, method)
        path = adapt_tasks(net, theta, episodes, regime("batch"))
        norm = next(key for key, part in module.named_modules() if isinstance(part, _NormBase))
        seen = []
        for task in range(2):
            own = plain(deepcopy(module))
            hook = own.get_submodule(norm).register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
            functional_call(own, {n: v[task] for n, v in path[-1].items()}, (episodes.query_x[task],))
            hook.remove()
        dims = [0, 2, 3] if isinstance(module.get_submodule(norm), _BatchNorm) else [2, 3]
        means = torch.stack([x.mean(dims).reshape(-1, x.shape[1]).mean(0) for x in seen]).mean(0)
        variances = torch.stack([x.var(dims, unbiased=False).reshape(-1, x.shape[1]).mean(0) for x in seen]).mean(0)
        torch.testing.assert_close(told.moments[f"{norm}.mean"], means)
        torch.testing.assert_close(told.moments[f"{norm}.var"], variances)
