"""The outer gradient of one step of the head as that of an explicit contrastive loss (Kao et al. 2022, section 4)."""

from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import targets
from mamlprobe.learn.outer.contrast_terms import Terms, linear_head, predictions, terms_of
from mamlprobe.learn.outer.rematerialised import vjp
from mamlprobe.learn.outer.result import OuterResult
from mamlprobe.learn.run_index import RunIndex
from mamlprobe.learn.task_batch import start_tasks
from mamlprobe.learn.theta import Theta, check_method
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import expand_tasks


def contrastive(
    net: Net, live: Theta, episodes: Episodes, method: Method, *, mean_over: int, run_index: RunIndex | None
) -> OuterResult:
    """Return tasks, path, query logits at its end [B, N*Q, N], gradients by name; there is no inner loop.

    The body's gradient is that of the surrogate: inner products of its features with coefficients that are constants,
    such as the head after the step. In order 1 only query features move, support features are anchors; in order 2 both
    do, and `curvature` completes the sum. With all terms and pairs it is that of the unrolled rule. The head's gradient
    is exact whichever terms the body takes.

    Raises:
        UserError: a body that adapts, a head that is not one linear layer, real targets with pairs of the same label.
    """
    check_method(net, method)
    if method.outer.pairs == "same" and episodes.support_y.is_floating_point():
        raise UserError("contrastive", "pairs of the same label need labels", "real targets", "set outer.pairs to all")
    head = linear_head(net, "contrastive")
    tasks, start, names = start_tasks(net, live, episodes, method, stage="train", run_index=run_index)
    support, query = tasks.support(start).features, tasks.query(start).features
    if method.inner.order == 1:
        support, tasks = support.detach(), replace(tasks, prefix=None)  # no reference to the graph of the support pass
    with torch.no_grad():
        end = {**start, **stepped(net, start, support, episodes.support_y, method, names=names)}
        contrast = terms_of(net, episodes, method, [start, end], names=names, support=[support], query=query)
        slopes = dict(zip(head, contrast.head_gradient(second=method.inner.order == 2), strict=False))
        logits, sides = contrast.logits, surrogate_slopes(contrast, method)
    surrogate = (sides["query"] * query).sum() + (sides["support"] * support).sum()
    outputs = {"surrogate": surrogate, **expand_tasks({name: start[name] for name in head}, episodes.tasks, head)}
    slopes = {name: slope / mean_over for name, slope in {"surrogate": torch.ones_like(surrogate), **slopes}.items()}
    del contrast, sides  # the graph of the surrogate has what it needs, and frees it on the way
    return OuterResult(tasks, [start, end], logits, vjp(outputs, slopes, live.learned))


def stepped(
    net: Net, start: Params, support: Tensor, labels: Tensor, method: Method, *, names: tuple[str, ...]
) -> Params:
    """Return the head [B, ...] after its step, what adapts of it: w_j + a/n_s sum_i (1[j = t_i] - p_i[j]) f(s_i).

    support [B, n_s, F], labels [B, n_s] or real targets.
    """
    logits = net.head(start, support)
    errors = (targets(logits, labels) - predictions(logits, method)) * (method.inner.lr / support.shape[1])
    moves = zip(linear_head(net, "contrastive"), (errors.mT @ support, errors.sum(1)), strict=False)
    return {name: start[name] + move for name, move in moves if name in names}


def surrogate_slopes(contrast: Terms, method: Method) -> Params:
    """Differentiate the surrogate by the features, "query" [B, n_q, F] and "support" [B, n_s, F], 0 in order 1."""
    outer = method.outer
    if outer.pairs == "same":
        noises = [noise * contrast.same for noise in contrast.noises]
        contrast = replace(contrast, clean=contrast.clean * contrast.same, noises=noises)
    sides = {"query": (contrast.query_side(), contrast.query)}
    sides["support"] = (contrast.support_side() if method.inner.order == 2 else {}, contrast.support[0])
    return {
        side: sum((slope for term, slope in terms.items() if term in outer.terms), torch.zeros_like(features))
        for side, (terms, features) in sides.items()
    }
