"""The outer gradient as a contrastive gradient between support and query features (Kao et al. 2022, sections 3 and 4).

The terms, in closed form, are those of `mamlprobe.learn.outer.contrast_terms`. In second order with the body adapting,
the term "remainder" is the autograd gradient minus the first-order terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import adapt
from mamlprobe.learn.batching import map_tasks
from mamlprobe.learn.inner_optimizers import rate_of, sgd
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.contrast_terms import linear_head, terms_of
from mamlprobe.learn.task_batch import TaskBatch, start_tasks
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import TERMS as TERMS_OF_THE_RULE
from mamlprobe.methods.settings import Inner
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import expand_tasks, head_names

TERMS = (*TERMS_OF_THE_RULE, "remainder")
PAIRS = ("all", "same", "different")


@door()
@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """The body's outer gradient as a sum of terms, each task separately (Kao et al. 2022, sections 3 and 4).

    n_s is the number of support rows of a task, N * K, and n_q that of query rows, N * Q.

    Raises:
        UserError: parts that are no tensors.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["anil"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> parts = mp.decompose(net, theta, tasks, method)
        >>> parts.clean.shape  # three tasks, 5 support rows, 25 query rows
        torch.Size([3, 5, 25])
        >>> gradient, _ = mp.meta_gradient(net, theta, tasks, method)
        >>> name = "body.1.conv.weight"  # the terms sum to the outer gradient
        >>> bool((parts.total[name].mean(0) - gradient[name]).abs().max() < 1e-5)
        True
    """

    __repr__ = described

    terms: dict[str, Params]
    """Term -> gradient by body parameter [B, ...]; "contrastive" is the clean part, "noise" the other."""
    head: Params
    """Outer gradient of the head's parameters [B, ...] in closed form; empty where the term "remainder" is needed."""
    clean: Tensor
    """Clean pair coefficients r_m[t_i] - 1[t_i = u_m], times the steps [B, n_s, n_q]."""
    noise: Tensor
    """Noise pair coefficients, summed over steps [B, n_s, n_q]."""
    same: Tensor
    """Whether support item i and query item m share their label [B, n_s, n_q], bool."""

    @property
    def total(self) -> Params:
        """Sum the terms [B, ...]."""
        names = next(iter(self.terms.values()))
        return {name: torch.stack([term[name] for term in self.terms.values()]).sum(0) for name in names}


@door(of_its_net, on_one_device)
def decompose(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, pairs: str = "all", chunk: int | None = None
) -> Decomposition:
    """Decompose the outer gradient of the body under this method, on its training steps, into its terms.

    All terms, also where the contrastive rule uses only some. With `pairs` "same" or "different" the terms
    "contrastive" and "noise" come only from support and query items with the same label, or with different ones.
    `chunk` as in `evaluate`: apart from the result, memory does not grow with the tasks.

    The terms are those of Kao et al. 2022, sections 3 and 4.

    Raises:
        UserError: unknown pairs; learned rates, a readout other than the head, a head that is not one linear layer, or
            an outer loss that is not the one after plain gradient steps from theta; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["anil"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> parts = mp.decompose(net, theta, tasks, method)
        >>> list(parts.terms)
        ['interference', 'noise', 'contrastive', 'curvature']
        >>> parts.terms["noise"]["body.1.conv.weight"].shape
        torch.Size([3, 4, 1, 3, 3])
        >>> same = mp.decompose(net, theta, tasks, method, pairs="same")  # attraction alone
        >>> bool((same.clean[~parts.same] == 0).all())
        True
    """

    def work(part: Episodes, first: int) -> Decomposition:
        return decomposed(net, theta, part, method, pairs=pairs)

    parts = list(map_tasks(work, episodes, chunk, net=net, name="decomposing"))
    if len(parts) == 1:
        return parts[0]
    return Decomposition(
        terms={term: _joined([each.terms[term] for each in parts]) for term in parts[0].terms},
        head=_joined([each.head for each in parts]),
        **{name: torch.cat([getattr(each, name) for each in parts]) for name in ("clean", "noise", "same")},
    )


def _joined(parts: Sequence[Params]) -> Params:
    return {name: torch.cat([each[name] for each in parts]) for name in parts[0]}


@torch.enable_grad()
def decomposed(net: Net, theta: Theta, episodes: Episodes, method: Method, *, pairs: str = "all") -> Decomposition:
    """Compute what `decompose` returns, of all tasks at once."""
    if pairs not in PAIRS:
        raise unknown("contrast", "word for pairs", pairs, PAIRS)
    head = _head(net, method)
    tasks, params, names = start_tasks(net, theta, episodes, method, stage="train")
    episodes = tasks.episodes
    body = [name for name in params if name not in head_names(net) and name not in net.fixed]
    rule = sgd(rate_of(method.inner, {}))
    path = adapt(tasks.support_losses, params, names, steps=method.inner.steps, rule=rule, track="none")
    efil = not set(body) & set(names)
    plain = TaskBatch(net=net, method=method, episodes=episodes, stage="train", running=tasks.running)
    final = {n: v.detach() for n, v in expand_tasks(path[-1], episodes.tasks, path[-1]).items()}
    live = {n: v.clone().requires_grad_(n in body) for n, v in final.items()}
    query = plain.query(live).features
    with torch.no_grad():
        if efil:
            support = [plain.support(final).features] * max(method.inner.steps, 1)
        else:
            support = [plain.support(p).features for p in path[:-1]] or [plain.support(final).features]
        parts = terms_of(net, episodes, method, path, names=names, support=support, query=query.detach())
        if pairs != "all":
            mask = parts.same if pairs == "same" else ~parts.same
            parts = replace(parts, clean=parts.clean * mask, noises=[each * mask for each in parts.noises])
        sides = parts.query_side()
        anchors = parts.support_side() if efil and method.inner.order == 2 else {}
    moving = plain.support(live).features if anchors else None
    terms: dict[str, Params] = {}
    for term in TERMS[:-1]:
        value = (sides[term] * query).sum() if term in sides else query.new_zeros(())
        if moving is not None and term in anchors:
            value = value + (anchors[term] * moving).sum()
        if term in sides or term in anchors:
            terms[term] = _gradient(value, live, body)
    head_gradient = dict(zip(head, parts.head_gradient(second=method.inner.order == 2), strict=False))
    if method.inner.order == 2 and not efil and pairs == "all":
        first = {n: sum((t[n] for t in terms.values()), torch.zeros_like(live[n])) for n in body}
        each = [meta_gradient(net, theta, episodes.task(b), method)[0] for b in range(episodes.tasks)]
        terms["remainder"] = {n: torch.stack([g[n] for g in each]) - first[n] for n in body}
        head_gradient = {}
    clean = parts.clean * method.inner.steps
    zeros = {name: torch.zeros_like(live[name]) for name in params if name in net.fixed and name not in head}
    terms = {term: {**each, **zeros} for term, each in terms.items()}
    return Decomposition(terms=terms, head=head_gradient, clean=clean, noise=parts.noise, same=parts.same)


def _head(net: Net, method: Method) -> tuple[str, ...]:
    """Return the names of the head's weight and bias, and refuse methods that have no decomposition."""
    if method.inner.rates != "fixed" or method.readout != "head":
        raise UserError(
            "contrast",
            "rates must be fixed and the readout a head",
            f"{method.inner.rates}, {method.readout}",
            "use those",
        )
    inner, usual = method.inner, Method(inner=Inner(steps=method.inner.steps))
    others = {
        "outer.rule": (method.outer.rule in ("unrolled", "contrastive"), True),
        "step_weights": (method.step_weights, usual.step_weights),
        "head": (method.head == "prototype", False),
        "norm.affine": (method.norm.affine, usual.norm.affine),
        "inner.optimizer": (inner.optimizer, usual.inner.optimizer),
        "inner.batch": (inner.batch, usual.inner.batch),
        "inner.proximal": (inner.proximal, usual.inner.proximal),
    }
    for field, (got, plain) in others.items():
        if got != plain:
            must = "the outer loss must be that after plain gradient steps from theta"
            raise UserError("contrast", must, f"another {field}", "leave it as it is in Method()")
    return linear_head(net, "contrast")


def _gradient(value: Tensor, live: Params, body: list[str]) -> Params:
    """Differentiate `value` by body parameter [B, ...]; zeros where it does not depend on the parameter."""
    if not value.requires_grad:
        return {name: torch.zeros_like(live[name]) for name in body}
    gradients = torch.autograd.grad(value, [live[n] for n in body], retain_graph=True, allow_unused=True)
    return {n: torch.zeros_like(live[n]) if g is None else g for n, g in zip(body, gradients, strict=True)}
