"""Claims of the papers that apply to a learner, judged by the tables of its report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mamlprobe.methods.method import Method
from mamlprobe.statistics.verdict import verdict

Tables = Mapping[str, pd.DataFrame]
"""Tables of one learner, by name."""

NEEDS = ("differences", "similarity", "contrast")
"""Tables that claims are judged by."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A claim, the row that it is about, and the learners that it is about."""

    id: str
    paper: str
    text: str
    """``{row}`` stands for the row's name."""
    table: str
    row: Callable[[pd.DataFrame], pd.DataFrame]
    """Selects one row, or none."""
    side: str
    bound: float
    unit: str
    applies: Callable[[Method], bool]
    published: str = ""

    @property
    def scale(self) -> float:
        """Return the number by which the table's values are multiplied."""
        return 100.0 if self.unit == "points" else 1.0


def _variant(name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table[(table["variant"] == name) & (table["quantity"] == "accuracy")]


def _whole_body(table: pd.DataFrame) -> pd.DataFrame:
    """Select the longest prefix that is frozen."""
    frozen = table[table["variant"].str.startswith("freeze:") & (table["quantity"] == "accuracy")]
    return frozen.loc[[frozen["variant"].str.count(",").idxmax()]] if len(frozen) else frozen


def _lowest(measure: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Select the body's layer with the lowest similarity, of those that have one."""

    def select(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[(table["measure"] == measure) & (table["layer"] != _head(table)) & table["value"].notna()]
        return rows.loc[[rows["value"].idxmin()]] if len(rows) else rows

    return select


def _head(table: pd.DataFrame) -> str:
    return str(table["layer"].iloc[-1]) if len(table) else ""


def _head_row(table: pd.DataFrame) -> pd.DataFrame:
    rows = (table["measure"] == "cca_top98") & (table["layer"] == _head(table)) & table["value"].notna()
    return table[rows]


def _part(quantity: str, part: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table[(table["quantity"] == quantity) & (table["part"] == part)]


def _all_adapts(method: Method) -> bool:
    return method.inner.adapts == ("*",)


def _head_adapts(method: Method) -> bool:
    return method.inner.adapts == ("head.*",)


def _free_head(method: Method) -> bool:
    return method.head == "keep" and method.readout == "head"


RAGHU, KAO, OH = "Raghu et al. 2020", "Kao et al. 2022", "Oh et al. 2021"

RULES = (
    Rule(
        id="R2", paper=f"{RAGHU}, table 1", text="freezing the whole body in the inner loop costs at most 2 points",
        table="differences", row=_whole_body, side="above", bound=-2.0, unit="points", applies=_all_adapts,
        published="0.2",
    ),
    Rule(
        id="R3", paper=f"{RAGHU}, figure 2", text="CCA (top 98 %) of every layer of the body is above 0.9",
        table="similarity", row=_lowest("cca_top98"), side="above", bound=0.9, unit="cca_top98", applies=_all_adapts,
        published=">0.9",
    ),
    Rule(
        id="R3", paper=f"{RAGHU}, figure 2", text="CCA (top 98 %) of the head is below 0.5",
        table="similarity", row=_head_row, side="below", bound=0.5, unit="cca_top98", applies=_all_adapts,
        published="<0.5",
    ),
    Rule(
        id="B3", paper=f"{OH}", text="CKA of every layer of the body is above 0.9",
        table="similarity", row=_lowest("cka_debiased"), side="above", bound=0.9, unit="cka_debiased",
        applies=_all_adapts, published="~1",
    ),
    Rule(
        id="R9", paper=f"{RAGHU}, table 4", text="NIL minus ANIL is above -1.5 points",
        table="differences", row=_variant("nil"), side="above", bound=-1.5, unit="points", applies=_head_adapts,
        published="1.3",
    ),
    Rule(
        id="K4", paper=f"{KAO}, section 5", text="zeroing the head at test raises the accuracy after the last step",
        table="differences", row=_variant("zero_at_test"), side="above", bound=0.0, unit="points", applies=_free_head,
    ),
    Rule(
        id="D1", paper=f"{KAO}, section 4", text="the clean contrastive term is most of the body's gradient",
        table="contrast", row=_part("share", "contrastive"), side="above", bound=0.5, unit="share",
        applies=_free_head,
    ),
    Rule(
        id="D3", paper=f"{KAO}, section 4", text="pairs of different classes are pulled together (share of pairs)",
        table="contrast", row=_part("attracted", "different"), side="above", bound=0.05, unit="share",
        applies=_free_head,
    ),
)  # fmt: skip
"""The claims; ids and bounds are those of the analyses."""

COPIED = ("learner", "method", "dataset", "split", "way", "shot", "update", "interval", "seeds", "tasks", "estimator",
          "norm", "episodes", "inner_loop", "trained_classes")  # fmt: skip


def judged(tables: Tables, method: Method) -> list[dict[str, Any]]:
    """Return a row for each claim that applies to the learner of these tables and this method; of classes alone."""
    rows: list[dict[str, Any]] = []
    differences = tables.get("differences")
    if differences is not None and (differences["quantity"] == "loss").any():
        return rows
    for rule in RULES:
        table = tables.get(rule.table)
        if table is None or table.empty or not rule.applies(method):
            continue
        selected = rule.row(table)
        if len(selected) != 1:
            continue
        row = selected.iloc[0]
        value, low, high = (float(row[name]) * rule.scale for name in ("value", "low", "high"))
        lowest = f" (lowest: {row['layer']})" if "every layer" in rule.text else ""
        rows.append(
            {name: row[name] for name in COPIED if name in row}
            | {"id": rule.id, "paper": rule.paper, "claim": rule.text + lowest, "published": rule.published}
            | {"ours": value, "low": low, "high": high, "unit": rule.unit, "side": rule.side, "bound": rule.bound}
            | {"verdict": verdict(low, high, bound=rule.bound, side=rule.side)}
        )
    return rows
