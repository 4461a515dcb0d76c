"""Reuse or rapid learning? Four probes of the body on the same tasks, in one table (Raghu et al. 2020)."""

from dataclasses import replace

import pandas as pd
from scipy.stats import spearmanr

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import query_table
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import head_names
from mamlprobe.probe.adaptation.interventions import freeze
from mamlprobe.probe.adaptation.weight_change import weight_distance
from mamlprobe.probe.representation.layer_similarity import Measure, similarity

BEFORE, FROZEN, WHOLE = "before adapting", "body frozen", "whole net adapts"
FREEZING, CCA, CKA, WAY = "cost of freezing", "CCA (mean)", "CKA (debiased)", "body's share of the way"
SIGNS = {FREEZING: 1, CCA: -1, CKA: -1, WAY: 1}
"""The probes, each with 1 if larger values mean rapid learning, -1 if larger values mean reuse."""

SIMILARITIES: dict[Measure, str] = {"cca_mean": CCA, "cka_debiased": CKA}


def reuse(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, quantity: str, chunk: int | None = None
) -> pd.DataFrame:
    """Compute a row for every task and quantity after the last test step: ``task quantity value norm episodes``.

    The first three quantities are the query loss or accuracy (`quantity`) of the start, with the body frozen, and with
    all of `method` adapting. ``cost of freezing`` is how much worse the frozen body is; the similarities compare body
    layers before and after adaptation on the query inputs, averaged over layers; ``body's share of the way`` is the
    body's share of the squared distance that all weights move in the inner loop (NaN where nothing moves). `chunk`
    tasks are in memory at a time; None picks a number that suits the device.

    Raises:
        UserError: another quantity; no test steps; a chunk below 1.
    """
    body = net.layers[:-1]
    variants = {BEFORE: replace(method, inner=replace(method.inner, test_steps=0)), WHOLE: method}
    variants[FROZEN] = freeze(net, method, 1, len(body))
    scores = query_table(net, theta, episodes, variants, quantity=quantity, chunk=chunk)
    wide = scores.pivot_table(index="task", columns="variant", values="value")
    quantities = {name: wide[name] for name in (BEFORE, FROZEN, WHOLE)}
    quantities[FREEZING] = (wide[FROZEN] - wide[WHOLE]) * (1 if quantity == "loss" else -1)
    alike = similarity(net, theta, episodes, method, measures=tuple(SIMILARITIES), layers=body, chunk=chunk)
    for measure, name in SIMILARITIES.items():
        quantities[name] = alike[alike["measure"] == measure].groupby("task")["value"].mean()
    moved = weight_distance(net, theta, episodes, method, chunk=chunk)
    square = moved[moved["quantity"] == "distance"].pivot_table(index="task", columns="layer", values="value") ** 2
    head = {net.parameters[name] for name in head_names(net)}
    quantities[WAY] = 1 - square[sorted(head)].sum(axis=1) / square.sum(axis=1)
    parts = [values.reset_index(name="value").assign(quantity=name) for name, values in quantities.items()]
    table = pd.concat(parts, ignore_index=True)[["task", "quantity", "value"]]
    return table.assign(norm=method.norm.statistics, episodes=alike["episodes"].iloc[0])


def orders(table: pd.DataFrame, *, by: str) -> pd.DataFrame:
    """Correlate every probe with the column `by` (Spearman), times its sign in `SIGNS`: ``quantity value``.

    1 where the probe shows more rapid learning at every larger value of `by`. `table` has one row a probe and value.
    """
    rows = [
        {"quantity": name, "value": sign * float(spearmanr(part[by], part["value"]).statistic)}
        for name, sign in SIGNS.items()
        if len(part := table[table["quantity"] == name])
    ]
    return pd.DataFrame(rows)
