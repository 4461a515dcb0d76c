"""Runs the analysis scripts: ``python -m analyses [NAME ...] [--preset smoke|quick|paper]``.

The same as ``mamlprobe reproduce``, with ``--readme`` beside it for the pages of this repository.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from mamlprobe.base.errors import Stopped, UserError
from mamlprobe.commands.reproduce import Reproduce
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.native.waiting import wait_asleep
from mamlprobe.reproduce.readme import marked_pages, update
from mamlprobe.reproduce.scripts import scripts_of

EXAMPLE = "example: python -m analyses raghu_fig2_layers kao_fig2_cosine --preset quick --out figures"


@dataclass(frozen=True, kw_only=True)
class Options(Reproduce):
    """Trains the models that the figures need, once each, and draws figures, tables, claims and a page."""

    readme: Path | None = None
    """Also write results between the marks of this README (its central rows) and of docs/results beside it (all)."""


def main(argv: list[str] | None = None) -> int:
    """Run the scripts and return the exit code: 0, or 2 for the user's mistake, 130 for Ctrl-C."""
    wait_asleep()
    options = tyro.cli(Options, prog="python -m analyses", args=argv, description=f"{Options.__doc__}\n\n{EXAMPLE}")
    tune_malloc()
    try:
        if options.readme is not None:
            marked_pages(options.readme)  # fail before the work starts
        options.draw(scripts_of(__package__, Path(__file__).parent))
        if options.readme is not None and not options.list:
            update(options.readme, options.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (Stopped, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
