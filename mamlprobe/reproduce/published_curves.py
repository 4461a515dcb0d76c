"""Curves that Kao et al. 2022 published as files: accuracy at test over the outer updates, a summary of each.

The summary is in the folder of this file. It is made from the rounded copy ``published_results.csv`` of the authors'
result files by ``python -m mamlprobe.reproduce.published_curves FILE``; curves differ in number of seeds, since
some files are lost.
The files are those of the authors' repository IandRover/MAML_noisy_contrasive_learner, (c) 2021 IandRover, MIT licence.
"""

import sys
from dataclasses import replace
from functools import cache
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.borders.csv_tables import Schema, read_table
from mamlprobe.borders.table_columns import REAL, TEXT, WHOLE
from mamlprobe.runs.writing import write

SUMMARY = Path(__file__).with_name("kao_curves.csv")
MINI, OMNIGLOT = "mini-imagenet", "omniglot"
LAST = 10
"""Number of last evaluations averaged as the end of a run."""
SHARES = (0, 1 / 60, 1 / 30, 1 / 15, 0.1, 0.2, 0.3, 0.5, 0.75, 1)
"""Points of a thinned curve, in shares of its length: early evaluations are closer together."""
SCALES = {1.0: "random init", 0.7: "x0.7", 0.5: "x0.5", 0.0: "zero-init"}
"""Name of an arm by the factor on its initial head, if training does not zero the head."""

CURVE = ["source", "dataset", "shot", "order", "scheme", "init_scale", "train_zeroing", "train_inner_steps"]
CURVE += ["inner_lr", "test_zeroing"]
"""Columns that identify a curve; `source` is ``kao2022/`` and the experiment, a folder of the authors."""
_ARMS = {
    **dict.fromkeys(("dataset", "order", "scheme"), TEXT),
    **dict.fromkeys(("shot", "train_zeroing", "train_inner_steps", "test_zeroing", "outer_step"), WHOLE),
    **dict.fromkeys(("init_scale", "inner_lr"), REAL),
}
RESULTS = Schema(
    columns={
        **_ARMS,
        "experiment": TEXT,
        **dict.fromkeys(("seed", "test_inner_steps"), WHOLE),
        **{f"acc_k{k}": replace(REAL, optional=k not in (1, 3, 10)) for k in range(1, 11)},
    },
    others=True,
)
CURVES = Schema(
    columns={
        "source": TEXT,
        **_ARMS,
        **dict.fromkeys(("evaluations", "seeds", "plotted_k", "last_k"), WHOLE),
        **{f"{word}_{end}": REAL for word in ("one", "plotted", "last") for end in ("mean", "sd")},
    }
)
"""The authors' file, and our summary of it."""
FILE = "Kao et al. 2022, published_results.csv"
"""The file that ``kao2022`` stands for."""
NAMED = {"train_inner_steps": "steps", "outer_step": "update"}


def summarise(path: Path) -> pd.DataFrame:
    """Summarise the authors' results: a row for each curve and evaluation, and one for the curve's end.

    Percent: mean and standard deviation over seeds (divided by their number) after one step, after the ``plotted_k``
    steps of the authors' figure, and after ``last_k`` steps, the most they took; the plotted ones are empty if
    ``plotted_k`` is 1. ``evaluations`` is 10 in the row of the end: each run's last ten are averaged, and
    ``outer_step`` is the last. Runs that stopped early are left out, and so are seeds that lack one head in experiments
    that tested both. A file that two experiments share (``same_as``) stays in both, since each draws its own seeds from
    them.

    Raises:
        UserError: the file is not there, or lacks a column.
    """
    advice = "give the published_results.csv of Kao et al. 2022"
    raw = read_table(path, RESULTS, where="published_curves", advice=advice, absent=advice)
    raw = raw.assign(source="kao2022/" + raw["experiment"])
    parts = [_curve(_whole(part)) for _, part in _paired(raw).groupby(CURVE, dropna=False, sort=True)]
    return pd.concat(parts, ignore_index=True)


def _paired(raw: pd.DataFrame) -> pd.DataFrame:
    """Keep the seeds that were tested with both heads, in experiments that tested both."""
    twins = [name for name in CURVE if name != "test_zeroing"]
    heads = raw.groupby("source")["test_zeroing"].transform("nunique")
    heads_of_seed = raw.groupby([*twins, "seed"], dropna=False)["test_zeroing"].transform("nunique")
    return raw[heads_of_seed == heads]


def _whole(part: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs of a curve that went on to its end."""
    ends = part.groupby("seed")["outer_step"].transform("max")
    whole: pd.DataFrame = part[ends >= 0.9 * part["outer_step"].max()]
    return whole


def _curve(part: pd.DataFrame) -> pd.DataFrame:
    """Summarise a curve: the thinned evaluations that all its runs share, and its end."""
    part = part.sort_values(["seed", "outer_step"])
    first = part.iloc[0]
    last = 3 if first["dataset"] == OMNIGLOT else 10
    # these files give one test step for every arm; the authors' figure shows as many steps as in training
    by_steps = first["experiment"] == "training_stage_zeroing"
    plotted = int(first["train_inner_steps" if by_steps else "test_inner_steps"])
    seeds = part["seed"].nunique()
    counts = part["outer_step"].value_counts()
    shared = sorted(counts[counts == seeds].index)
    thinned = {min(shared, key=lambda u: abs(u - share * shared[-1])) for share in SHARES}
    end = part.groupby("seed").tail(LAST).groupby("seed", as_index=False).mean(numeric_only=True)
    end = end.assign(outer_step=part["outer_step"].max(), evaluations=LAST)
    rows = pd.concat([part[part["outer_step"].isin(thinned)].assign(evaluations=1), end])
    groups = rows.groupby(["evaluations", "outer_step"])
    summary = groups["seed"].nunique().rename("seeds").reset_index()
    summary = summary.assign(plotted_k=plotted, last_k=last)
    for word, k in (("one", 1), ("plotted", plotted), ("last", last)):
        mean, sd = groups[f"acc_k{k}"].mean(), groups[f"acc_k{k}"].std(ddof=0)
        drop = word == "plotted" and k == 1
        summary[[f"{word}_mean", f"{word}_sd"]] = [
            (nan, nan) if drop else (round(100 * m, 2), round(100 * s, 2)) for m, s in zip(mean, sd, strict=True)
        ]
    return pd.concat([pd.DataFrame([first[CURVE]] * len(summary)).reset_index(drop=True), summary], axis=1)


@cache
def _summary() -> pd.DataFrame:
    return read_table(SUMMARY, CURVES, where="published_curves", advice="install the package again")


def _chosen(
    experiment: str, dataset: str, shot: int, k: int | None, test_zeroing: bool, evaluations: int
) -> pd.DataFrame:
    """Select rows of the summary, with the columns and arm names of our figures."""
    where, table = "published_curves", _summary()
    folders = table["source"].str.split("/").str[1]
    known = sorted(set(folders[table["dataset"] == dataset]))
    if not known:
        raise unknown(where, "dataset", dataset, sorted(set(table["dataset"])))
    if experiment not in known:
        raise unknown(where, f"experiment on {dataset}", experiment, known)
    table = table[(folders == experiment) & (table["dataset"] == dataset)]
    for column, wanted in (("shot", shot), ("test_zeroing", int(test_zeroing))):
        if wanted not in set(table[column]):
            choices = ", ".join(map(str, sorted(set(table[column]))))
            raise UserError(where, f"{column} of {experiment} must be among {choices}", wanted, "choose one of them")
        table = table[table[column] == wanted]
    table = table[table["evaluations"] == evaluations]
    steps = table["plotted_k"] if k is None else pd.Series(k, index=table.index)
    value, sd = (pd.Series(nan, index=table.index) for _ in range(2))
    for word, at in (("plotted", table["plotted_k"]), ("last", table["last_k"]), ("one", 1)):
        value = value.mask(steps == at, table[f"{word}_mean"])
        sd = sd.mask(steps == at, table[f"{word}_sd"])
    if value.isna().any():
        known = sorted({str(at) for at in (1, *table["last_k"])}, key=int)
        if len(set(table["plotted_k"])) == 1:
            known = sorted({*known, str(table["plotted_k"].iloc[0])}, key=int)
        must = f"k of {experiment} must be among {', '.join(known)}"
        raise UserError(where, must, k, "choose one of them, or None for that of the authors' figure")
    arms = table["init_scale"].map(SCALES).where(table["train_zeroing"] == 0, "zeroing")
    spread = sd.where(table["seeds"] > 1)
    added: dict[str, Any] = {
        "arm": arms,
        "head": "zeroed" if test_zeroing else "as trained",
        "k": steps,
        "value": value,
    }
    added |= {"low": value - spread, "high": value + spread, "interval": "sd over seeds"}
    added["source"] = f"{FILE}: {experiment}"
    added["quantity"] = "accuracy" if evaluations == 1 else "final"
    curves = table.rename(columns=NAMED).assign(**added)
    place = {arm: k for k, arm in enumerate([*SCALES.values(), "zeroing"])}
    curves = curves.sort_values("arm", key=lambda column: column.map(place), kind="stable")
    columns = ["arm", "order", "scheme", "steps", "head", "shot", "dataset", "k", "update", "quantity"]
    return curves[[*columns, "value", "low", "high", "interval", "seeds", "source"]].reset_index(drop=True)


def published_curves(
    experiment: str, *, dataset: str = MINI, shot: int = 1, k: int | None = None, test_zeroing: bool = True
) -> pd.DataFrame:
    """Return the authors' thinned curves of one experiment in percent: a row a curve and update, arms named as ours.

    Columns ``arm order scheme steps head shot dataset k update quantity value low high interval seeds source``; low
    and high are one standard deviation over seeds away from value, NaN with one seed. `k` is the number of inner steps
    at test, None that of the authors' figure.

    Raises:
        UserError: no such data set, experiment, shot, head or k.
    """
    return _chosen(experiment, dataset, shot, k, test_zeroing, 1)


def final(
    experiment: str, *, dataset: str = MINI, shot: int = 1, k: int | None = None, test_zeroing: bool = True
) -> pd.DataFrame:
    """Return the end of each of the `published_curves`: the mean of the last ten evaluations, quantity ``final``.

    Raises:
        UserError: as `published_curves`.
    """
    return _chosen(experiment, dataset, shot, k, test_zeroing, LAST)


def published_beside(ours: pd.DataFrame, *theirs: pd.DataFrame) -> pd.DataFrame:
    """Append the authors' rows to our table; the column ``whose`` is ours or published."""
    marked = [ours.assign(whose="ours"), *(each.assign(whose="published") for each in theirs)]
    return pd.concat(marked, ignore_index=True)


def main(path: str) -> None:
    """Rewrite the summary from the authors' results."""
    write(SUMMARY, summarise(Path(path)).to_csv(index=False, lineterminator="\n", float_format="%.6g").encode())


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
