"""Runs the analysis scripts: ``python -m analyses [NAME ...] [--preset smoke|quick|paper]``."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mamlprobe.base.errors import UserError
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.reproduce.gallery import build, redraw, summary
from mamlprobe.reproduce.readme import marked_pages, update
from mamlprobe.reproduce.scripts import chosen, scripts_of
from mamlprobe.reproduce.study import Study
from mamlprobe.training.compute import pick_device
from mamlprobe.training.loop import Interrupted

EXAMPLE = "example: python -m analyses raghu_fig2_layers kao_fig2_cosine --preset quick --out figures"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Trains the models that the figures need, once each, and draws figures, tables, claims and a page."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Scripts to run; all where none is named."""
    core: bool = False
    """Only the figures of the first papers (ANIL, zeroing trick): some ten minutes on two cores."""
    preset: Literal["smoke", "quick", "long", "paper"] = "quick"
    """smoke: seconds, to see that all works; quick: minutes on two cores; long: hours, for data that are not built in;
    paper: the published settings."""
    dataset: str | None = None
    """Another data set: glyphs, omniglot, or a folder of images."""
    seeds: int | None = None
    """Number of models a training; 3 where it is not given, 2 at smoke."""
    updates: int | None = None
    """Updates of every training, where the preset's own number is not meant; schedules and checkpoints go along."""
    finished: bool = False
    """Train nothing: draw from the runs that are trained whole, of each recipe as many of the seeds as there are."""
    data_root: str | None = None
    """Folder of raw data; MAMLPROBE_DATA where it is not given."""
    out: Path = Path("figures")
    """Folder of figures, tables and the page."""
    runs: Path = Path("runs")
    """Folder of trained models."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""
    workers: int = 0
    """Processes beside one another; 0: one a core, at most 4, and one on an accelerator."""
    force: bool = False
    """Run scripts that are up to date too."""
    from_table: bool = False
    """Only draw the figures again from their tables."""
    prints: tuple[Literal["pdf", "svg", "png"], ...] = ("pdf",)
    """Files for print beside each picture: pdf, svg, png (300 dots an inch, NAME-print.png)."""
    readme: Path | None = None
    """Also write results between the marks of this README (its central rows) and of docs/results/index.md beside it (all)."""
    list: bool = False
    """Only list the scripts."""


def main(argv: list[str] | None = None) -> int:
    """Run the scripts and return the exit code: 0, or 2 for the user's mistake, 130 for Ctrl-C."""
    options = tyro.cli(Options, prog="python -m analyses", args=argv, description=f"{Options.__doc__}\n\n{EXAMPLE}")
    try:
        if options.seeds is not None and options.seeds < 1:
            raise UserError("analyses", "seeds must be 1 or more", options.seeds, "leave it out for the usual number")
        if options.updates is not None and options.updates < 1:
            raise UserError(
                "analyses", "updates must be 1 or more", options.updates, "leave it out for the usual number"
            )
        if options.readme is not None:
            marked_pages(options.readme)  # fail before the work starts
        tune_malloc()
        every = scripts_of("analyses", Path(__file__).parent)
        scripts = chosen(every, options.names, core=options.core)
        if options.list:
            print("\n".join(f"{each.name:24} {each.analysis.paper}: {each.analysis.title}" for each in scripts))
            return 0
        stage = Study(
            preset=options.preset,
            dataset=options.dataset,
            repeats=options.seeds,
            updates=options.updates,
            finished=options.finished,
            root=options.data_root,
            device=options.device,
            folder=options.runs,
            out=options.out,
        )
        workers = options.workers or (min(4, os.cpu_count() or 1) if pick_device(options.device).type == "cpu" else 1)
        if options.from_table:
            done = redraw(stage, scripts, every, prints=options.prints)
        else:
            done = build(stage, scripts, every, workers=workers, force=options.force, prints=options.prints)
        if options.readme is not None:
            update(options.readme, options.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Interrupted):
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(summary(done))
    if (options.out / "index.html").is_file():
        print(f"page: {options.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
