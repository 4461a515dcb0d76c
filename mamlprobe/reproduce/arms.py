"""Treatments of one training ("arms") compared over updates, each evaluated with both heads at test."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pandas as pd

from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.probe.adaptation.interventions import zero_at_test
from mamlprobe.reproduce.study import Study
from mamlprobe.runs.folder import Run
from mamlprobe.statistics.tables import difference, means

KEPT, ZEROED = "as trained", "zeroed"
HEADS = (KEPT, ZEROED)


def arm_rows(
    stage: Study,
    arms: Mapping[str, str],
    *,
    steps: int | Sequence[int] | None = 1,
    updates: Callable[[Run], Iterable[int]] = lambda run: run.updates(),
    tasks: int | None = None,
    shot: int = 1,
    slots: str = "drawn",
) -> pd.DataFrame:
    """Measure accuracy in percent of every task after `steps` inner steps at each saved update, a row a head at test.

    `arms` maps each recipe to the name of its arm. Columns are those of `Study.score`, and ``arm head``. Each of the
    `steps` has a row; None takes as many as each was trained with. Zeroed means before the inner loop at test.
    `updates` of a run, `tasks`, `shot` and `slots` as in `Study.score`.
    """
    wanted = [] if steps is None else [steps] if isinstance(steps, int) else list(steps)

    def heads(net: Net, method: Method) -> dict[str, Method]:
        last = max(wanted, default=method.inner.steps)
        one = replace(method, inner=replace(method.inner, test_steps=last))
        return {KEPT: one, ZEROED: zero_at_test(one)}

    which: Literal["every", "last"] = "every" if len(wanted) > 1 else "last"
    rows = stage.score(tuple(arms), heads, updates, steps=which, tasks=tasks, shot=shot, slots=slots)
    rows = rows[rows["step"].isin(wanted)] if wanted else rows
    return rows.assign(arm=rows["method"].map(arms)).rename(columns={"variant": "head"})


def arm_table(rows: pd.DataFrame, pairs: Sequence[tuple[str, str]], *, at: Sequence[int] = ()) -> pd.DataFrame:
    """Average `arm_rows` by ``arm head update``: accuracy, paired differences of two arms, and lift by zeroing at test.

    The column ``quantity`` says which: accuracy, difference or lift. Differences are at the last update and at those
    in `at`, lifts at the last update.
    """
    last = int(rows["update"].max())
    wanted = rows[rows["update"].isin([*at, last])]
    on = ("seed", "task", "head", "update")
    differences = [difference(wanted, "arm", a, b, on=on) for a, b in pairs]
    lifted = rows[rows["update"] == last]
    lifts = difference(lifted, "head", ZEROED, KEPT, on=("seed", "task", "arm", "update"))
    parts = [
        means(rows, ["arm", "head", "update"]).assign(quantity="accuracy"),
        means(pd.concat(differences), ["arm", "head", "update"]).assign(quantity="difference"),
        means(lifts, ["arm", "head", "update"]).assign(quantity="lift"),
    ]
    return pd.concat(parts, ignore_index=True).assign(last=last)
