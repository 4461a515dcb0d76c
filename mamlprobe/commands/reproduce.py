"""The command `reproduce` as a dataclass, one field per option."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from tyro.conf import Positional, arg

from mamlprobe.base.errors import Stopped, UserError, unknown

if TYPE_CHECKING:
    from mamlprobe.reproduce.scripts import Script

Preset = Literal["smoke", "quick", "long", "paper"]
Print = Literal["pdf", "svg", "png"]


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Draws figures of the papers anew, each with its table, claims and a page; trains what they need, once each."""

    names: Annotated[
        Positional[tuple[str, ...]], arg(metavar="[NAME ...]", help="Figures; all where none is named.")
    ] = ()
    core: bool = False
    """Only the figures of the first papers (ANIL, zeroing trick): some ten minutes on two cores."""
    preset: Preset = "quick"
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
    """Draw figures that are up to date too."""
    from_table: bool = False
    """Only draw the figures again from their tables."""
    prints: tuple[Print, ...] = ("pdf",)
    """Files for print beside each picture: pdf, svg, png (300 dots an inch, NAME-print.png)."""
    list: bool = False
    """Only list the figures: name, paper and title."""

    def run(self) -> None:
        """Draw the figures whose scripts come with the package."""
        from mamlprobe.reproduce.scripts import shipped

        self.draw(shipped())

    def draw(self, every: Sequence["Script"]) -> None:
        """Draw the chosen ones of these figures, or list them, and print how each ended.

        Raises:
            UserError: an unknown figure, or options that make no sense.
            Stopped: the user has interrupted it.
        """
        from mamlprobe.reproduce.scripts import chosen

        numbers = {"seeds": (self.seeds, 1), "updates": (self.updates, 1), "workers": (self.workers, 0)}
        for word, (number, least) in numbers.items():
            if number is not None and number < least:
                raise UserError("reproduce", f"{word} must be {least} or more", number, "leave it out for the usual")
        for word, given, known in (("preset", (self.preset,), Preset), ("kind of print", self.prints, Print)):
            for each in given:
                if each not in get_args(known):
                    raise unknown("reproduce", word, each, get_args(known))
        scripts = chosen(every, self.names, core=self.core)
        if self.list:
            print("\n".join(f"{each.name:24} {each.analysis.paper}: {each.analysis.title}" for each in scripts))
            return
        _folder(self.out)
        _folder(self.runs)
        try:
            print(self._made(scripts, every))
        except (KeyboardInterrupt, Stopped):
            raise Stopped("interrupted; the same command goes on from here") from None
        if (self.out / "index.html").is_file():
            print(f"page: {self.out / 'index.html'}")

    def _made(self, scripts: Sequence["Script"], every: Sequence["Script"]) -> str:
        """Draw them and return a line for each."""
        from mamlprobe.reproduce.gallery import build, redraw, summary  # imports torch, which no help waits for
        from mamlprobe.reproduce.study import Study
        from mamlprobe.training.compute import pick_device

        stage = Study(
            preset=self.preset,
            dataset=self.dataset,
            repeats=self.seeds,
            updates=self.updates,
            finished=self.finished,
            root=self.data_root,
            device=self.device,
            folder=self.runs,
            out=self.out,
        )
        if self.from_table:
            return summary(redraw(stage, scripts, every, prints=self.prints))
        cores = min(4, os.cpu_count() or 1) if pick_device(self.device).type == "cpu" else 1
        workers = self.workers or cores
        return summary(build(stage, scripts, every, workers=workers, force=self.force, prints=self.prints))


def _folder(path: Path) -> None:
    """Refuse a place that cannot be a folder before anything is trained.

    Raises:
        UserError: a file stands there, or above it, or the folder is not one we may write to.
    """
    place = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        got = "one that is read only" if place.is_dir() else f"the file {place}"
        raise UserError("reproduce", f"{path} must be a folder open for writing", got, "choose another")
