"""Runs the benchmark: ``python -m benchmarks [--works A,B,B5] [--learn2learn FOLDER] [--memory] ...``."""

import sys
from collections.abc import Sequence

import pandas as pd
import torch
import tyro
from tyro.conf import DisallowNone

from benchmarks.cases import WRONG, Row
from benchmarks.memory import child
from benchmarks.options import Options
from benchmarks.parts import PARTS, chosen
from benchmarks.peer import check
from benchmarks.table import load, origin, printed, save, show, table_of
from mamlprobe.base.errors import UserError
from mamlprobe.native.load import compile_kernels
from mamlprobe.native.malloc import tune_malloc

EXAMPLE = "example: python -m benchmarks --works A --methods anil --rounds 3 --learn2learn ../learn2learn-0.2.0"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 where arms that should agree do not, 2 for the user's mistake, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--child"]:
        return child(words[1:])
    try:
        about = f"{Options.__doc__}\n\n{EXAMPLE}"
        options = tyro.cli(Options, prog="python -m benchmarks", args=words, description=about, config=(DisallowNone,))
        table = load(options.out) if options.from_table else measure(options)
        if options.readme is not None:
            show(options.readme, table)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was measured stands in the table", file=sys.stderr)
        return 130
    print(printed(table))
    return int(table["note"].dropna().astype(str).str.startswith(WRONG).any())


def measure(options: Options) -> pd.DataFrame:
    """The table, which is also written after every row."""
    options.check()
    if options.learn2learn is not None:
        check(options.learn2learn)
    if options.threads:
        torch.set_num_threads(options.threads)
    tune_malloc()
    compile_kernels()
    facts, rows = origin(options), list[Row]()
    for part in chosen(options):
        for row in PARTS[part](options):
            rows.append(row)
            save(table_of(rows, facts), options.out)
    if not rows:
        got = f"{options.parts} of {options.works}"
        raise UserError("benchmarks", "the parts must measure something of the works", got, "evaluate B, for example")
    return load(options.out)


if __name__ == "__main__":
    raise SystemExit(main())
