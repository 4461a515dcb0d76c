"""The commands that ask a run or a data set, as dataclasses, one field per option; `commands.answers` does the work."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from mamlprobe.commands.questions import QUESTIONS
from mamlprobe.runs.inner import InnerWords


@dataclass(frozen=True, kw_only=True)
class Tasks(InnerWords):
    """Which tasks a run is judged by, and with which inner loop; what is not given is as in training."""

    split: str | None = None
    """train, val or test; test where not given."""
    update: int | None = None
    """State after so many updates; else the last one kept."""
    shot: int | None = None
    """Support items a class."""
    query: int | None = None
    """Query items a class."""
    dataset: str | None = None
    """Name of a data set, or path of class folders, of a zip of these, or of files of another project."""
    data_root: str | None = None
    """Folder of raw files; else MAMLPROBE_DATA, else the cache folder."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""
    module: str | None = None
    """package.file:Class of a run whose net is your own module: it must be what the folder names, which is never
    imported by itself. Of several runs, their modules parted by commas."""
    manifest: str | None = None
    """File that names the tasks, as --write-manifest writes it: exactly these are taken, in this order."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(Tasks):
    """Accuracy of a run under variants of its method, all on the same tasks, with 95 % intervals over tasks."""

    run_folder: Annotated[Positional[str], arg(metavar="RUN", help="Folder of the run.")]
    episodes: int | None = None
    """Number of tasks; 600 where not given."""
    variants: str = "keep"
    """Parted by commas: keep as trained; zero_at_test; nil: no inner loop and no head; head or body adapts alone;
    freeze:1-4 these layers; freeze every prefix of the body; adapt:PATTERN."""
    out: str | None = None
    """CSV file for the accuracy of every task after every step."""
    write_manifest: str | None = None
    """JSON file that names the tasks, for --manifest."""

    def run(self) -> None:
        """Print the means and write the table."""
        from mamlprobe.commands import answers  # imports torch, which no help waits for

        answers.evaluate(self)


@dataclass(frozen=True, kw_only=True)
class Probe(Tasks):
    """A question to a run, answered by a table and a figure."""

    probe: Annotated[
        Positional[str], arg(metavar="PROBE", help="; ".join(f"{name}: {about}" for name, about in QUESTIONS.items()))
    ]
    runs: Annotated[
        Positional[tuple[str, ...]],
        arg(
            metavar="RUN",
            help="Folder of the run, or FOLDER@UPDATE; layers and grid compare two of them on the same tasks.",
        ),
    ]
    episodes: int | None = None
    """Number of tasks; 20 where not given."""
    out: str | None = None
    """CSV file for the tidy table."""
    figure: str | None = None
    """PNG (300 dots an inch), PDF or SVG file for the figure; without a suffix, PNG and PDF."""
    write_manifest: str | None = None
    """JSON file that names the tasks, for --manifest."""
    from_table: str | None = None
    """CSV file that --out wrote: it is summed up and drawn again, and no run is needed."""

    def run(self) -> None:
        """Print the means, write table and figure."""
        from mamlprobe.commands import answers  # imports torch, which no help waits for

        answers.probe(self)


@dataclass(frozen=True, kw_only=True)
class Report(Tasks):
    """Tables on runs, with intervals over tasks or seeds, as files or as one self-contained HTML page.

    Runs that differ only in their seed are one learner.
    """

    runs: Annotated[
        Positional[tuple[str, ...]], arg(metavar="RUN", help="Folders of the runs, each a FOLDER or FOLDER@UPDATE.")
    ]
    out: str | None = None
    """HTML file for the page."""
    tables: str | None = None
    """Folder for the tables, a file each."""
    formats: str = "csv"
    """Formats of the tables, parted by commas: csv, parquet, latex."""
    questions: str | None = None
    """Tables to be computed, parted by commas: settings, understood, log, accuracy, differences, similarity, distance,
    contrast, cosine, claims; all where not given."""
    episodes: int | None = None
    """Number of tasks; 100 where not given. Similarity, distances, terms and cosines take the first 20."""
    store: bool = True
    """Whether answers are kept in the folder "answers" of each run, so that they are not computed again."""

    def run(self) -> None:
        """Compute, and write page and tables."""
        from mamlprobe.commands.report import report  # imports torch, which no help waits for

        report(self)


@dataclass(frozen=True, kw_only=True)
class Show:
    """Lists the data sets, or describes one."""

    name: Annotated[Positional[str | None], arg(metavar="NAME", help="Name or path; none for the list.")] = None
    fetch: bool = False
    """Download it first (omniglot)."""
    split: str | None = None
    """Division of the classes, of data sets that have several: vinyals, first1200, cifar-fs, fc100, closerlook ..."""
    refresh: bool = False
    """Read its files anew, not what is cached of them."""
    data_root: str | None = None
    """Folder of raw files; else MAMLPROBE_DATA, else the cache folder."""

    def run(self) -> None:
        """Print the list, or what a data set holds."""
        from mamlprobe.commands import answers  # imports torch, which no help waits for

        answers.data(self)
