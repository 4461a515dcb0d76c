"""What moves in the inner loop, compared with what the method lets adapt."""

import re
from collections.abc import Iterator, Sequence

from mamlprobe.certificates.checks import FAILS, NOT_AVAILABLE, PASSES, Row
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import Theta, start
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import adapting, head_names

STILL = 1e-6
"""Movement below this fraction of the largest is rounding."""


def adapting_rows(net: Net, theta: Theta, episodes: Episodes, method: Method) -> Iterator[Row]:
    """Count the parameters that move but should not, and those that should and do; name those that do not move.

    In training, on these tasks. For one that should move and does not, the row gives the reason if it is known.
    """
    names = adapting(net, method.inner.adapts)
    _, path = inner_paths(net, theta, episodes, method, stage="train", track="none")
    plain = {name: value for name, value in path[0].items() if name in net.parameters}
    away = {name: float((path[-1][name] - value).abs().max()) for name, value in plain.items()}
    longest = max(away[name] for name in names) if names else 0.0
    others = [name for name in away if name not in names and not _by_step(net, theta, name)]
    strayed = [name for name in others if away[name] > 0]
    label = f"of {len(others)} that are to stay" + (f": {shortly(net, strayed)}" if strayed else "")
    value = f"{len(strayed)} moved"
    yield Row(check="adapts", what=label, value=value, bound="0 moved", verdict=FAILS if strayed else PASSES)
    unmoved = [name for name in names if not away[name] > STILL * longest]
    moved = f"{len(names) - len(unmoved)} moved"
    what = f"of {len(names)} that inner.adapts selects"
    yield Row(check="adapts", what=what, value=moved, bound=f"{len(names)} selected", verdict=PASSES)
    reasons: dict[str, list[str]] = {}
    for name in unmoved:
        reasons.setdefault(_reason(net, theta, method, name), []).append(name)
    for reason, which in reasons.items():
        verdict = PASSES if reason else NOT_AVAILABLE
        label = "all of them" if len(which) == len(names) else shortly(net, which)
        what = f"{label}: {reason or 'no reason is known'}"
        yield Row(check="adapts", what=what, value=f"{len(which)} still", bound="told", verdict=verdict)


def shortly(net: Net, names: Sequence[str]) -> str:
    """Return the names, or shell patterns with a star for the number if these select no others."""
    patterns = list(dict.fromkeys(re.sub(r"\d+", "*", name) for name in names))
    return ", ".join(patterns if set(adapting(net, patterns)) == set(names) else names)


def _by_step(net: Net, theta: Theta, name: str) -> bool:
    """Tell whether a norm weight has its own value at every point of the path."""
    return f"steps.{name}" in theta.extra


def _reason(net: Net, theta: Theta, method: Method, name: str) -> str:
    """Explain why a parameter that is to adapt does not move; empty if that is not known."""
    inner, layer = method.inner, net.parameters[name]
    head = head_names(net)
    if inner.steps == 0:
        return "there are no inner steps in training"
    if inner.rates == "fixed" and inner.lr == 0:
        return "the inner rate is 0"
    if inner.rates != "fixed" and not theta.rates[name].any():
        return "its learned rate is 0"
    begin = start(net, theta.net, method, stage="train")
    if method.head != "prototype" and inner.steps == 1 and not any(begin[each].any() for each in head):
        if name not in head:
            return "the head is zero in the only step, so no slope comes through it"
        return "the logits of a zero head are equal, which leaves a bias no slope where classes are balanced"
    normed = any(".norm." in net.roles(each) for each, owner in net.parameters.items() if owner == layer)
    shifted = name.endswith(".bias") and ".norm." not in net.roles(name)
    if shifted and normed and getattr(net, "order", "") != "conv-relu-bn":
        return "the batch norm behind takes its shift away"
    return ""
