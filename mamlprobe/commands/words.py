"""The commands but training as dataclasses, a field an option; `run` does what they say."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pandas as pd
from tyro.conf import Positional, arg

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.commands.cases import Case, open_case
from mamlprobe.commands.pairs import PAIRS
from mamlprobe.commands.pools import download, known_pools
from mamlprobe.commands.probes import PROBES, accuracy_table
from mamlprobe.commands.probes import Probe as Question
from mamlprobe.commands.tables import accuracies, headline, keep, kept, ready, show
from mamlprobe.data.sources import load_source
from mamlprobe.draw.files import save
from mamlprobe.native.load import compile_kernels
from mamlprobe.report import report
from mamlprobe.runs.inner import InnerWords
from mamlprobe.runs.writing import write

FIGURES = (".png", ".pdf", ".svg")
PAGES = (".html", ".htm")


ENOUGH = 300
"""Tasks to be judged by that are worth compiling the kernels for, once."""


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
    """Name of a data set, or path of a folder or zip of class folders."""
    data_root: str | None = None
    """Folder of raw files; else MAMLPROBE_DATA, else the cache folder."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""
    manifest: str | None = None
    """File that names the tasks, as --write-manifest writes it: exactly these are taken, in this order."""

    def case(self, run: str, episodes: int | None, usual: int) -> Case:
        """The run in this folder with so many of these tasks; FOLDER@100 names its update too."""
        folder, _, update = run.rpartition("@")
        named = update.isdecimal() and folder != "" and not Path(run).exists()
        return open_case(
            folder if named else run,
            update=int(update) if named else self.update,
            split=self.split,
            tasks=episodes,
            shot=self.shot,
            query=self.query,
            dataset=self.dataset,
            root=self.data_root,
            device=self.device,
            manifest=self.manifest,
            usual=usual,
            inner=InnerWords(**self.said),
        )


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
        """Prints the means and writes the table."""
        ready(self.out)
        ready(self.write_manifest, ".json")
        case = replace(self.case(self.run_folder, self.episodes, usual=600), every=self.out is not None)
        if case.tasks >= ENOUGH:
            compile_kernels()
        table = accuracy_table(case, self.variants)
        say_assumed(case)
        print(headline(table))
        show(accuracies(table))
        name_tasks(case, self.write_manifest)
        keep(table, self.out)


def say_assumed(*cases: Case) -> None:
    """Prints a line for each case whose run was imported with words of the inner loop that nobody said."""
    for case in cases:
        if case.assumed:
            print(f"{case.name}: {case.assumed}" if len(cases) > 1 else case.assumed)


def name_tasks(case: Case, path: str | None) -> None:
    """Writes the tasks of the case to the file, if one is named."""
    if path is not None:
        case.write_manifest(path)
        print(f"manifest: {path}")


@dataclass(frozen=True, kw_only=True)
class Probe(Tasks):
    """A question to a run, answered by a table and a figure."""

    probe: Annotated[
        Positional[str], arg(metavar="PROBE", help="; ".join(f"{name}: {each.about}" for name, each in PROBES.items()))
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
    """PNG, PDF or SVG file for the figure."""
    write_manifest: str | None = None
    """JSON file that names the tasks, for --manifest."""
    from_table: str | None = None
    """CSV file that --out wrote: it is summed up and drawn again, and no run is needed."""

    def run(self) -> None:
        """Prints the means, writes table and figure."""
        if self.probe not in PROBES:
            raise unknown("probe", "probe", self.probe, PROBES)
        ready(self.out)
        ready(self.figure, *FIGURES)
        ready(self.write_manifest, ".json")
        if self.from_table is not None:
            table = kept(self.from_table, no_runs=self.runs)
            probe = (PAIRS if "run_b" in table else PROBES)[self.probe]
            show_means(table, probe)
            return self.draw(table, probe)
        most = 2 if self.probe in PAIRS else 1
        if not 1 <= len(self.runs) <= most:
            must = f"{self.probe} must be asked of one run{' or two' if most == 2 else ''}"
            raise UserError("probe", must, len(self.runs), "name the folder of a run")
        probe = (PAIRS if len(self.runs) == 2 else PROBES)[self.probe]
        of_tasks = [self, *[replace(self, manifest=None)] * (len(self.runs) - 1)]  # the first run's are everyone's
        cases = [words.case(run, self.episodes, usual=20) for words, run in zip(of_tasks, self.runs, strict=True)]
        table = probe.table(*(replace(case, every=self.out is not None) for case in cases))
        say_assumed(*cases)
        show_means(table, probe)
        name_tasks(cases[0], self.write_manifest)
        keep(table, self.out)
        self.draw(table, probe)

    def draw(self, table: pd.DataFrame, probe: Question) -> None:
        """Draws the figure, if one is named."""
        if self.figure is not None:
            save(probe.figure(table), self.figure)
            print(f"figure: {self.figure}")


def show_means(table: pd.DataFrame, probe: Question) -> None:
    """Prints what the table is of, and its means."""
    print(headline(table))
    if "run_b" in table:
        print("against {run_b} at update {update_b}".format(**table.iloc[0]))
    show(probe.summary(table))


@dataclass(frozen=True, kw_only=True)
class Report(Tasks):
    """One self-contained HTML page on runs: settings, log, accuracy under variants, layer similarity, origin."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN", help="Folders of the runs.")]
    out: str
    """HTML file."""
    episodes: int | None = None
    """Number of tasks; 100 where not given."""

    def run(self) -> None:
        """Computes and writes the page."""
        if not self.runs:
            raise UserError("report", "at least one run must be named", "none", "name the folders of runs")
        ready(self.out, *PAGES)
        cases = [self.case(run, self.episodes, usual=100) for run in self.runs]
        write(Path(self.out), report(cases).encode())
        say_assumed(*cases)
        print(f"report: {self.out}")


@dataclass(frozen=True, kw_only=True)
class Show:
    """Lists the data sets, or describes one."""

    name: Annotated[Positional[str | None], arg(metavar="NAME", help="Name or path; none for the list.")] = None
    fetch: bool = False
    """Download it first (omniglot)."""
    data_root: str | None = None
    """Folder of raw files; else MAMLPROBE_DATA, else the cache folder."""

    def run(self) -> None:
        """Prints."""
        if self.fetch:
            download(self.name, self.data_root)
        if self.name is None:
            return show(known_pools(self.data_root))
        pool = load_source(self.name, root=self.data_root)
        print(f"{pool.name}: {pool.source}\ndigest {pool.digest()}")
        show(pool.describe())
