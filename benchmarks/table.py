"""The table: its columns, where it was made, and how it is written, printed and shown."""

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.cases import Row
from benchmarks.options import Options
from mamlprobe.base.errors import UserError
from mamlprobe.draw.table_text import markdown
from mamlprobe.native.load import kernels
from mamlprobe.runs.environment import environment
from mamlprobe.runs.writing import write

MEASURED = {
    "part": "training, evaluation, ...",
    "work": "name of the work",
    "method": "maml, fomaml, anil",
    "arm": "whose code",
    "route": "the way within the arm, where it has several",
    "tasks": "tasks of one call",
    "steps": "inner steps",
    "milliseconds": "of one call, median over rounds",
    "low": "the shortest round",
    "high": "the longest round",
    "rounds": "how many",
    "ratio": "how many times as fast as the arm of the next column: median over paired rounds",
    "ratio_to": "name of that arm",
    "gflop": "convolutions of the work, counted",
    "gflops": "billions of them a second",
    "peak_gflops": "the machine's matrix peak in the same rounds",
    "peak_share": "gflops / peak_gflops",
    "times_floor": "milliseconds as a multiple of what the peak allows",
    "peak_mb": "peak memory above the start, in 10^6 bytes",
    "peak_ratio": "peak_mb as a multiple of the reference's",
    "launches": "launches on CUDA",
    "agreement": "how far the result is from the reference arm's",
    "note": "what is to be said",
}
"""Column -> what it holds; the second half of a row says where it was measured."""

ORIGIN = ("date", "machine", "vectors", "threads", "precision", "torch", "python", "commit", "kernels", "allocator")

WHOLE = dict.fromkeys(("tasks", "steps", "rounds", "launches"), "Int64")
"""Columns of whole numbers, and how pandas holds them where some are missing."""

SHOWN = {
    "part": "part",
    "work": "work",
    "method": "method",
    "arm": "arm",
    "route": "route",
    "steps": "steps",
    "tasks": "tasks",
    "time": "ms [lowest, highest]",
    "ratio": "times as fast",
    "ratio_to": "as",
    "gflops": "GFLOP/s",
    "peak_share": "share of peak",
    "peak_mb": "peak MB",
    "note": "note",
}
"""Columns of the README's table, and their heads."""

ALLOCATOR = (
    "MALLOC_",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "MAMLPROBE_MALLOC",
)

BEGIN, END = "<!-- benchmarks: written by python -m benchmarks --readme -->", "<!-- /benchmarks -->"


def origin(options: Options) -> dict[str, str]:
    """Date, machine, versions and settings, as words."""
    device = options.place()
    facts = environment(device)
    commit, more, _ = str(facts["commit"] or "unknown").partition("+changes")
    precision = "float32" if device.type == "cpu" or not options.tf32 else "float32 with TF32 products"
    return {
        "date": datetime.date.today().isoformat(),
        "machine": str(facts["device"]),
        "vectors": vectors(),
        "threads": str(facts["threads"]),
        "precision": precision,
        "torch": str(facts["torch"]),
        "python": str(facts["python"]),
        "commit": commit[:12] + more,
        "kernels": "none" if kernels() is None else "compiled",
        "allocator": allocator(os.environ, ours=True),
    }


def vectors(path: Path = Path("/proc/cpuinfo")) -> str:
    """The widest set of vector instructions of the processor: avx512f, avx2 or none of these."""
    if not path.is_file():
        return "unknown"
    flags = set(path.read_text().split())
    return next((name for name in ("avx512f", "avx2") if name in flags), "none")


def allocator(words: Mapping[str, str], *, ours: bool) -> str:
    """What the environment says to the allocator; `ours` where we have set it, for all arms timed."""
    told = [f"{name}={value}" for name, value in sorted(words.items()) if name.startswith(ALLOCATOR)]
    if ours and words.get("MAMLPROBE_MALLOC") != "default" and platform.libc_ver()[0] == "glibc":
        told = ["set by mamlprobe", *told]
    return " ".join(told) or "default"


def table_of(rows: Sequence[Row], origin: Mapping[str, str]) -> pd.DataFrame:
    """One row a measurement, with all columns.

    Raises:
        UserError: a row with a column that the table has not.
    """
    for row in rows:
        if odd := set(row) - set(MEASURED):
            raise UserError("benchmarks", f"columns must be among {', '.join(MEASURED)}", sorted(odd), "rename them")
    return pd.DataFrame(list(rows), columns=[*MEASURED]).astype(WHOLE).assign(**origin)


def save(table: pd.DataFrame, path: Path) -> None:
    """Writes the table, whole or not at all."""
    write(path, table.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode())


def load(path: Path) -> pd.DataFrame:
    """The table that stands there.

    Raises:
        UserError: there is none.
    """
    if not path.is_file():
        raise UserError("benchmarks", "the table must be there", path, "measure first, without --from-table")
    table = pd.read_csv(path, dtype=WHOLE | dict.fromkeys(ORIGIN, "str"))
    lacking = [name for name in ORIGIN if name not in table]
    return table.assign(**dict.fromkeys(lacking, "unknown"))


def printed(table: pd.DataFrame) -> str:
    """The table for a terminal, columns without a value left out, with its origin in a line before it."""
    seen = table.drop(columns=list(ORIGIN)).replace("", None).dropna(axis=1, how="all")
    seen = seen.astype({name: object for name in WHOLE if name in seen}).where(seen.notna(), float("nan"))
    return f"{where(table)}\n{seen.to_string(index=False, na_rep='', float_format=short)}"


def where(table: pd.DataFrame) -> str:
    """Where and when the table was made, in a line."""
    return "; ".join(f"{name} {'/'.join(map(str, table[name].unique()))}" for name in ORIGIN)


def short(value: float) -> str:
    """Three digits, and no exponent for large numbers."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def shown(table: pd.DataFrame) -> str:
    """The table in markdown, its main columns, with its origin below."""
    text = table.astype(object).where(table.notna(), "")
    for name in ("ratio", "gflops", "peak_mb", "milliseconds", "low", "high"):
        text[name] = [short(value) if value != "" else "" for value in text[name]]
    text["peak_share"] = [f"{100 * value:.0f} %" if value != "" else "" for value in text["peak_share"]]
    text["time"] = [f"{t} [{a}, {b}]" if t else "" for t, a, b in zip(*(text[n] for n in TIMES), strict=True)]
    for name in ("steps", "tasks"):
        text[name] = [str(int(value)) if value != "" else "" for value in text[name]]
    several = {name: name for name in ("vectors", "allocator") if len(table[name].unique()) > 1}
    columns = SHOWN | several
    seen = text[list(columns)]
    seen = seen.loc[:, (seen != "").any()].rename(columns=columns)
    return f"{markdown(seen.astype(str)).strip()}\n\n{where(table)}."


TIMES = ("milliseconds", "low", "high")


def show(readme: Path, table: pd.DataFrame) -> None:
    """Puts the table between the README's two marks.

    Raises:
        UserError: a README without the marks.
    """
    text = readme.read_text() if readme.is_file() else ""
    if BEGIN not in text or END not in text:
        raise UserError(str(readme), f"there must be the marks {BEGIN} and {END}", "none", "put them where it goes")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    write(readme, f"{before}{BEGIN}\n{shown(table)}\n{END}{after}".encode())
