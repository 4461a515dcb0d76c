"""Tables as they are stored (tidy CSV) and as they are printed (means with intervals over tasks)."""

import os
from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import access, occupied
from mamlprobe.draw.table_text import cell, folded
from mamlprobe.runs.writing import write
from mamlprobe.statistics.intervals import t_interval
from mamlprobe.statistics.tables import last_step, task_means


def accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Return as text each variant's accuracy in percent after its last step, and its difference from the first variant.

    The difference is taken task by task, which makes its interval narrower than those of the two accuracies.
    """
    last = last_step(table)
    means = folded(task_means(_percent(last), ["variant", "step"]), digits=1).rename(columns={"value": "accuracy in %"})
    first = last[last["variant"] == means["variant"][0]]["value"].to_numpy() * 100
    against = f"minus {means['variant'][0]}"
    texts = []
    for variant in means["variant"][1:]:
        other = last[last["variant"] == variant]["value"].to_numpy() * 100
        low, high = t_interval(other - first)
        row = pd.DataFrame({"value": [(other - first).mean()], "low": [low], "high": [high]})
        texts.append(folded(row, digits=1)["value"][0])
    return means.assign(**{against: ["", *texts]}) if texts else means


def readable(means: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Format means with their intervals, such as those of `task_means`, as text."""
    return folded(means, digits=digits)


def show(table: pd.DataFrame) -> None:
    """Print the table in columns, aligned to the left."""
    columns = [[str(name), *(cell(entry) for entry in table[name])] for name in table.columns]
    widths = [max(len(text) for text in column) for column in columns]
    for row in zip(*columns, strict=True):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def headline(table: pd.DataFrame) -> str:
    """Return one line that says where the numbers come from."""
    row = table.iloc[0]
    tasks = f"{row['tasks']} tasks {row['way']}-way {row['shot']}-shot of {row['dataset']} {row['split']}"
    inner = f", {row['inner_loop']}" if "inner_loop" in row else ""
    return f"{row['run']} at update {row['update']}: {tasks} (episodes {row['episodes']}, norm {row['norm']}{inner})"


def keep(table: pd.DataFrame, out: str | None) -> None:
    """Write the table to the file, if one is named, all or nothing."""
    if out is not None:
        write(Path(out), table.to_csv(index=False, lineterminator="\n").encode())
        print(f"table: {out}")


def ready(out: str | None, *suffixes: str) -> None:
    """Refuse, before the work starts, an output file that could not be written at its end.

    Raises:
        UserError: a suffix that is not among those given, a folder in its place, a folder that cannot be written to.
    """
    if out is None:
        return
    path = Path(out)
    if suffixes and path.suffix not in suffixes:
        raise UserError("write", f"{path} must end in {' or '.join(suffixes)}", repr(path.suffix), "rename it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("write", f"{path.parent} must be a folder", error.strerror, "choose another") from None
    with access(path):
        kind = occupied(path)
    if kind is not None:
        advice = "name a file in it" if kind == "a folder" else "name another"
        raise UserError("write", f"{path} must be a file", kind, advice)
    if not os.access(path.parent, os.W_OK):
        raise UserError("write", f"{path.parent} must be open for writing", "no right to", "choose another")


def _percent(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(value=table["value"] * 100)
