"""The page of a report: figures of few learners, one by one; of many, their tables, folded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mamlprobe.draw.charts.bars import draw_grouped, grouped
from mamlprobe.draw.charts.curves import curves
from mamlprobe.draw.files import SCREEN, encode
from mamlprobe.draw.layout import composite
from mamlprobe.draw.page import Section, page
from mamlprobe.draw.probes import spans
from mamlprobe.draw.ranges import bounded
from mamlprobe.draw.style import PALE
from mamlprobe.reports.asked import KEEP, QUESTIONS
from mamlprobe.reports.shown_tables import facts_of, is_constant, of_one_quantity, short, wide, with_differences

FIGURES = 8
"""Most learners that have figures of their of_one."""

COMPARED = 40
"""Most learners in the figure that compares them."""

ROWS = 200
"""Rows of a table on the page; the file that goes with it has all."""

Tables = Mapping[str, pd.DataFrame]


def report_page(title: str, tables: Tables, notes: Sequence[tuple[str, str]]) -> str:
    """Write the page: accuracies of all, then what each learner has, then claims, origin and files."""
    names = list(dict.fromkeys(tables["runs"]["learner"]))
    sections = [_compared(tables, names)] if len(names) > 1 and len(tables.get("accuracy", ())) else []
    if len(names) <= FIGURES:
        for number, learner in enumerate(names, start=1):
            of_one = {name: table[table["learner"] == learner] for name, table in tables.items() if "learner" in table}
            sections += _of_learner(of_one, learner, f"run{number}", dict.fromkeys(line for run, line in notes
                                    if run in set(of_one["runs"]["run"])))  # fmt: skip
    else:
        sections += _of_all(tables, len(names))
    sections += _ending(tables, len(names))
    over = "over seeds where a learner has several, else over tasks"
    intro = f"Intervals are of means {over}, 95 %, by Student's t. Learners on the same data see the same tasks."
    lines = list(dict.fromkeys(f"{run}: {line}" for run, line in notes)) if len(names) > FIGURES else []
    return page(sections, title=f"Report on {title}", intro="\n\n".join([intro, *lines[:ROWS]]), rows=ROWS)


def _compared(tables: Tables, names: Sequence[str]) -> Section:
    """Plot the accuracies of all learners side by side, beside their differences; of many as trained alone."""
    table, quantity = of_one_quantity(tables["accuracy"])
    differences = tables.get("differences", table[:0])
    differences = differences[differences["quantity"] == quantity]
    if len(names) <= FIGURES:
        panels = [(quantity.capitalize(), _dots(table, "learner", quantity, chance=_chance(table)))]
        if len(differences):
            panels.append(
                ("Minus as trained, paired", _dots(differences, "learner", f"difference in {quantity}", zero=True))
            )
        picture: bytes | None = encode(_side_by_side(panels), dpi=SCREEN)
    elif len(names) <= COMPARED:
        shown = table[table["variant"].isin([KEEP, "nil"])].drop_duplicates("learner")
        picture = encode(
            grouped(shown, group="learner", hue=None, label=quantity, orientation="horizontal"), dpi=SCREEN
        )
    else:
        picture = None
    about = "Score of query items after the last inner step, as trained and changed at test"
    about += "." if len(names) <= FIGURES else f": one row for each of {len(names)} learners."
    shown = short(table) if len(names) <= FIGURES else wide(table)
    return Section(name="runs", title="All runs", about=about, picture=picture, table=shown, provenance=facts_of(table))


def _of_learner(of_one: Tables, learner: str, name: str, notes: Mapping[str, None]) -> Iterator[Section]:
    """Yield the sections on one learner."""
    if "settings" in of_one:
        runs = of_one["runs"]
        first = runs.iloc[0]
        seeds = ", ".join(str(seed) for seed in runs["seed"].dropna())
        about = f"{first['recipe'] or first['method']} at update {first['update']}"
        about += f", seeds {seeds}" if len(runs) > 1 else f", seed {seeds}" if seeds else ""
        about = ". ".join([about, *notes])
        provenance = _origin(of_one["origin"])
        table = of_one["settings"][["setting", "value", "differs"]]
        title = f"{learner}: settings"
        yield Section(name=f"{name}-settings", title=title, about=about, table=table, provenance=provenance)
    makers: dict[str, Callable[[Tables], Figure | None]] = {
        "log": _log, "accuracy": _accuracy, "similarity": _layers, "distance": _moved, "contrast": _terms,
        "cosine": _cosine,
    }  # fmt: skip
    anchors = {"similarity": "layers", "contrast": "terms"}
    for question, draw in makers.items():
        if question not in of_one or (question == "accuracy" and "accuracy" not in of_one):
            continue
        table, reason = of_one[question], _reason(of_one, question)
        title = f"{learner}: {TITLES[question]}"
        about = reason if table.empty else ABOUT[question]
        figure = None if table.empty else draw(of_one)
        if figure is None and not table.empty:
            about = f"No value is defined. {about}"
        source = QUESTIONS[question].source if question in QUESTIONS and len(table) else ""
        shown = None if table.empty else short(with_differences(of_one) if question == "accuracy" else table)
        yield Section(
            name=f"{name}-{anchors.get(question, question)}", title=title, source=source, about=about,
            picture=None if figure is None else encode(figure, dpi=SCREEN), table=shown,
            provenance={} if table.empty else facts_of(table) | _files(of_one, question),
        )  # fmt: skip


TITLES = {"log": "training", "accuracy": "accuracy", "similarity": "layers", "distance": "weights moved",
          "contrast": "outer gradient", "cosine": "features of classes"}  # fmt: skip

ABOUT = {
    "log": "Score after the inner loop: means of training tasks since the point before, and of the validation tasks.",
    "accuracy": "Score after the last inner step, as trained and changed at test; right: each minus keep on the same "
    "tasks, whose interval is mostly narrower.",
    "similarity": "Similarity of activations before and after the inner loop; dashed: null floor.",
    "distance": "How far the inner loop moves each layer's parameters, relative to their norm at the start.",
    "contrast": "Terms of the body's outer gradient: left the share of its squared norm, right the norm of each.",
    "cosine": "Cosines between the features of items, before the inner loop.",
}


def _reason(of_one: Tables, question: str) -> str:
    """Return why a learner has no rows, as a sentence."""
    reasons = of_one["left_out"][of_one["left_out"]["question"] == question]["reason"]
    text = str(reasons.iloc[0]) if len(reasons) else "no rows"
    return f"{text[0].upper()}{text[1:]}."


def _log(of_one: Tables) -> Figure:
    table = of_one["log"]
    quantity = "accuracy" if (table["quantity"] == "accuracy").any() else "loss"
    rows = table[table["quantity"] == quantity]
    limits: dict[str, Any] = {"ylim": (0.0, 1.0), "chance": _chance(rows)} if quantity == "accuracy" else {}
    rows = bounded(rows, 0.0, 1.0) if quantity == "accuracy" else rows
    return curves(rows, x="update", hue="split", ylabel=quantity, ratio=0.45, **limits)


def _accuracy(of_one: Tables) -> Figure:
    table = of_one["accuracy"]
    quantity = str(table["quantity"].iloc[0])
    panels = [(quantity.capitalize(), _dots(table, None, quantity, chance=_chance(table)))]
    differences = of_one.get("differences", table[:0])
    if len(differences):
        panels.append(("Minus as trained, paired", _dots(differences, None, f"difference in {quantity}", zero=True)))
    return _side_by_side(panels)


def _layers(of_one: Tables) -> Figure | None:
    means = of_one["similarity"]
    means = means[means["value"].notna() & (means["measure"] != "cca_top98")]  # which is near that of all directions
    return (
        curves(means, x="layer", hue=None, panel="measure", floor="floor", ylabel="similarity") if len(means) else None
    )


def _moved(of_one: Tables) -> Figure | None:
    rows = of_one["distance"][of_one["distance"]["quantity"] == "relative"]
    rows = rows[rows["value"].notna()]
    return curves(rows, x="layer", hue=None, ylabel="distance / norm", ratio=0.45) if len(rows) else None


def _terms(of_one: Tables) -> Figure | None:
    table = of_one["contrast"]
    panels = []
    for quantity, label in (("share", "share of |gradient|^2"), ("norm", "norm of the gradient")):
        rows = table[(table["quantity"] == quantity) & table["value"].notna()]
        if len(rows):
            panels.append((quantity.capitalize(), _dots(rows, None, label, group="part", zero=quantity == "share")))
    return _side_by_side(panels) if panels else None


def _cosine(of_one: Tables) -> Figure:
    return grouped(of_one["cosine"], group="quantity", hue=None, label="cosine", orientation="horizontal", ratio=0.3)


def _dots(
    rows: pd.DataFrame, hue: str | None, label: str, *, group: str = "variant", chance: float | None = None,
    zero: bool = False,
) -> Callable[[Axes], object]:  # fmt: skip
    """Return what draws dots with whiskers, one below the other."""
    if group == "variant":
        names = list(dict.fromkeys(rows[group]))
        rows = rows.assign(**{group: rows[group].map(dict(zip(names, spans(names), strict=True)))})

    def draw(ax: Axes) -> None:
        draw_grouped(ax, rows, group=group, hue=hue, chance=chance, orientation="horizontal")
        if zero:
            ax.axvline(0, color=PALE, linewidth=0.8, zorder=1, gid="aside")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set(xlabel=label)

    return draw


def _side_by_side(panels: Sequence[tuple[str, Callable[[Axes], object]]]) -> Figure:
    return composite(list(panels), cols=2, ratio=0.8)


def _chance(rows: pd.DataFrame) -> float | None:
    """Return the accuracy of guessing, if it is the same for all rows."""
    known = (rows["quantity"] == "accuracy").all() and is_constant(rows["way"])
    return 1 / int(rows["way"].iloc[0]) if known and int(rows["way"].iloc[0]) > 1 else None


def _origin(table: pd.DataFrame) -> dict[str, str]:
    """Return every fact on the runs once, with its several values."""
    facts: dict[str, list[str]] = {}
    for name, value in zip(table["fact"], table["value"], strict=True):
        facts.setdefault(name, []).append(value)
    return {name: "; ".join(dict.fromkeys(values)) for name, values in facts.items()}


def _files(of_one: Tables, question: str) -> dict[str, str]:
    """Name the files that the rows come from, but the weights, which are named below."""
    rows = of_one["files"]
    rows = rows[[question in tables.split(", ") for tables in rows["tables"]]] if len(rows) else rows
    names = [path for path in rows["file"] if not path.endswith(".safetensors")]
    more = f" and {len(names) - 3} others, listed below" if len(names) > 3 else ""
    return {"files": ", ".join(names[:3]) + more} if names else {}


def _of_all(tables: Tables, learners: int) -> Iterator[Section]:
    """Yield a section for each table, without figures."""
    texts = {"settings": "Settings that differ", "log": "Training"}
    texts |= {name: question.about.capitalize() for name, question in QUESTIONS.items()}
    for name, about in texts.items():
        if name in tables and name != "accuracy" and len(tables[name]):
            table = tables[name]
            facts = {} if name == "settings" else facts_of(table)
            if name == "settings":
                table = table[table["differs"]].drop(columns="differs")
            shown = wide(of_one_quantity(table)[0]) if name == "differences" else short(table)
            source = QUESTIONS[name].source if name in QUESTIONS else ""
            title = f"{name.capitalize()} of {learners} learners"
            yield Section(name=name, title=title, source=source, about=f"{about}.", table=shown, provenance=facts)


def _ending(tables: Tables, learners: int) -> Iterator[Section]:
    """Yield claims, what imports understood, what was left out, and the files."""
    if len(tables.get("claims", ())):
        claims = tables["claims"]
        shown = claims.assign(claim=claims["learner"] + ": " + claims["claim"]) if learners > 1 else claims
        about = "Statements of the papers that are about such learners; a claim holds if its whole interval does."
        whole: dict[str, Any] = {"claims": shown} if len(shown) <= ROWS else {"table": shown}
        yield Section(name="claims", title="Claims", about=about, **whole)
    if len(tables.get("understood", ())):
        about = "What the import of weights from elsewhere saw in the file, assumed because no file says it, and left "
        about += "out, and what was stated by an option."
        yield Section(name="understood", title="What imports understood", about=about, table=tables["understood"])
    if len(tables["left_out"]):
        about = "Questions that do not apply."
        yield Section(name="left-out", title="Left out", about=about, table=tables["left_out"])
    about = "Every file that the numbers come from, with the first digits of its SHA-256."
    yield Section(name="files", title="Files", about=about, table=tables["files"])
