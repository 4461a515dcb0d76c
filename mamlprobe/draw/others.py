"""Figures of the tables that no probe of the command line returns: distances, geometry, logs, tasks, certificates."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped, grouped
from mamlprobe.draw.charts.curves import curves, draw_curves
from mamlprobe.draw.crowding import readable
from mamlprobe.draw.layout import broken, composite
from mamlprobe.draw.names import fitted
from mamlprobe.draw.probes import some_steps
from mamlprobe.draw.style import GREY, WIDTHS, canvas, style
from mamlprobe.draw.table_text import VERDICTS, levels
from mamlprobe.statistics.tables import task_means

SIGNS = {"passes": (VERDICTS["holds"], "#00704F"), "fails": (VERDICTS["fails"], "#A84300")}
"""Sign and colour of each verdict of a certificate."""

DISTANCES = {"distance": "|w - w start|", "relative": "share of |w start|", "per parameter": "root mean square move"}
"""Axis labels of the quantities of a distance."""

_NAMES = 0.5
"""Share of the width that the checks of a certificate may take."""


def distance_figure(table: pd.DataFrame) -> Figure:
    """Plot each layer's distance from its start, a panel a quantity, a line for each step if there are several."""
    table = some_steps(table).dropna(subset="value")
    means = task_means(table, ["quantity", "layer", "step"])
    hue = "step" if len(set(means["step"])) > 1 else None

    def lines(quantity: str) -> Callable[[Axes], object]:
        rows = means[means["quantity"] == quantity]

        def draw(ax: Axes) -> None:
            draw_curves(ax, rows, x="layer", hue=hue)
            ax.set(xlabel="layer", ylabel=DISTANCES.get(quantity, quantity))
            ax.set_ylim(bottom=0)

        return draw

    panels = [(name.capitalize(), lines(name)) for name in means["quantity"].unique()]
    usual = min(3, len(panels))
    return fitted(lambda cols: composite(panels, cols=cols, ratio=cols / 3), list(range(usual, 0, -1)))


def geometry_figure(table: pd.DataFrame) -> Figure:
    """Plot a panel for each quantity, its mean at each moment."""
    return _dots(task_means(table.dropna(subset="value"), ["quantity", "moment"]), group="moment")


def quantity_figure(table: pd.DataFrame) -> Figure:
    """Plot the mean of each quantity."""
    means = task_means(table.dropna(subset="value"), ["quantity"])
    label = "cosine similarity" if means["quantity"].str.startswith("query-").all() else "value"
    return grouped(means, group="quantity", hue=None, label=label)


def pool_figure(table: pd.DataFrame) -> Figure:
    """Plot how many classes and images each split has, and items its smallest class."""
    names = {"classes": "classes", "items": "items of the smallest class", "images": "images"}
    parts = [table.assign(quantity=text, value=table[name].astype(float)) for name, text in names.items()]
    return _dots(pd.concat(parts, ignore_index=True), group="split")


def range_figure(table: pd.DataFrame) -> Figure:
    """Plot the range of each quantity."""
    low, high = (table[name].astype(float) for name in ("low", "high"))
    return _dots(table.assign(low=low, high=high, value=(low + high) / 2, group="range"), group="group")


def _dots(table: pd.DataFrame, *, group: str) -> Figure:
    """Plot a panel for each quantity, on its own axis."""

    def dots(quantity: str, orientation: str) -> Callable[[Axes], object]:
        rows = table[table["quantity"] == quantity]
        labels = {"ylabel" if orientation == "vertical" else "xlabel": quantity}

        def draw(ax: Axes) -> None:
            draw_grouped(ax, rows, group=group, hue=None, orientation=orientation)  # type: ignore[arg-type]
            ax.set(**labels)

        return draw

    def build(orientation: str, cols: int) -> Callable[[], Figure]:
        panels = [("", dots(name, orientation)) for name in table["quantity"].unique()]
        return lambda: composite(panels, cols=min(cols, len(panels)), ratio=min(cols, len(panels)) / 3)

    return readable([build("vertical", 3), build("horizontal", 2), build("horizontal", 1)])


def log_figure(table: pd.DataFrame) -> Figure:
    """Plot the course of a training: a panel a quantity, a line a split, with the interval in the log."""
    halves = table[table["quantity"] == "accuracy_half_width"].set_index(["update", "split"])["value"]
    table = table[table["quantity"] != "accuracy_half_width"]
    keys = list(zip(table["update"], table["split"], strict=True))
    half = [
        halves.get(at, np.nan) if name == "accuracy" else np.nan
        for at, name in zip(keys, table["quantity"], strict=True)
    ]
    table = table.assign(low=table["value"] - half, high=table["value"] + half)

    def lines(quantity: str) -> Callable[[Axes], object]:
        rows = table[table["quantity"] == quantity]

        def draw(ax: Axes) -> None:
            draw_curves(ax, rows, x="update", hue="split")
            ax.set(xlabel="update", ylabel=quantity.replace("_", " "))

        return draw

    panels = [(name.replace("_", " ").capitalize(), lines(name)) for name in table["quantity"].unique()]
    cols = min(3, len(panels))
    return composite(panels, cols=cols, ratio=(0.0, 0.45, 0.7, 1.0)[cols])


def tasks_figure(table: pd.DataFrame) -> Figure:
    """Plot how many rows of each set a class has over all tasks; labels or tasks if classes are not known."""
    over = next(name for name in ("class", "label", "task") if name in table)
    counts = table.groupby(["set", over], sort=False).size().rename("value").reset_index()
    top = 1.05 * float(counts["value"].max())
    label = f"rows over {table['task'].nunique()} tasks"
    return curves(counts, x=over, hue="set", ylabel=label, ylim=(0.0, top), ratio=0.45)


def certificate_figure(table: pd.DataFrame) -> Figure:
    """Plot the checks below one another with their verdicts, and errors next to their bounds if a check has one."""
    table = table.reset_index(drop=True).fillna("")
    errors, bound = (pd.to_numeric(table[name], errors="coerce").to_numpy(float) for name in ("value", "bound"))
    names = [broken(f"{c}: {w}", _NAMES * WIDTHS["full"]) for c, w in zip(table["check"], table["what"], strict=True)]
    lines = sum(name.count("\n") + 1 for name in names)
    figure, axes = canvas(1, 1, ratio=(0.7 + 0.13 * lines + 0.07 * len(names)) / WIDTHS["full"])
    tops = np.cumsum([0, *(0.13 * (name.count("\n") + 1) + 0.07 for name in names)])
    places = (tops[:-1] + tops[1:]) / 2
    smallest = np.nanmin([1e-16, *errors[errors > 0]])
    with style():
        ax = axes[0, 0]
        ax.set_xscale("log")
        for word in levels(table["verdict"]):
            sign, colour = SIGNS.get(str(word), ("–", GREY))
            chosen = (table["verdict"] == word).to_numpy()
            ax.plot(np.maximum(errors[chosen], smallest), places[chosen], "o", color=colour, mec="white", gid="error")
            for at in places[chosen]:
                ax.annotate(f"{sign} {word}", (1.01, at), xycoords=("axes fraction", "data"), va="center", color=colour)
        known = np.isfinite(bound)
        ax.plot(bound[known], places[known], "|", color=GREY, ms=8, mew=1.2, label="bound", gid="reference")
        ax.set_yticks(places, names)
        ax.set_ylim(tops[-1], 0)
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("error, and the bound (|) on it")
        if not (np.isfinite(errors).any() or known.any()):
            ax.set(xticks=[], xlabel="")
    return figure
