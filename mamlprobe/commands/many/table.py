"""The command `table` as a dataclass, one field per option; `run` does what it says."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from mamlprobe.base.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Table:
    """One tidy table over many runs, a row each: settings that differ, the last values of the log, answers if asked."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN", help="Folders of runs, or folders that hold them.")]
    out: str | None = None
    """CSV or Parquet file for the table; it is printed where not given."""
    questions: str | None = None
    """Tables of `report` whose values become columns, parted by commas: accuracy, differences, similarity, distance,
    contrast, cosine. Answers are kept in the folder "answers" of each run and are not computed again."""
    episodes: int | None = None
    """Number of tasks of the questions; 100 where not given."""
    split: str | None = None
    """train, val or test; test where not given."""
    dataset: str | None = None
    """Data that tasks are drawn from, by name or path; each run's own where not given."""
    data_root: str | None = None
    """Folder of raw files; else MAMLPROBE_DATA, else the cache folder."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""

    def run(self) -> None:
        """Make the table, and print or write it."""
        from mamlprobe.commands.subjects.summaries import ready  # imports torch, which no help waits for
        from mamlprobe.reports.written import need_parquet
        from mamlprobe.runs.writing import write
        from mamlprobe.sweeps.runs_table import runs_table

        if not self.runs:
            raise UserError("table", "at least one run must be named", "none", "name folders of runs")
        ready(self.out, ".csv", ".parquet")
        parquet = self.out is not None and self.out.endswith(".parquet")
        if parquet:
            need_parquet()
        how = {"split": self.split, "dataset": self.dataset, "root": self.data_root, "device": self.device}
        questions = () if self.questions is None else self.questions
        table = runs_table(self.runs, questions=questions, episodes=self.episodes, **how)
        if self.out is None:
            print(table.to_string(index=False))
            return
        if parquet:
            buffer = BytesIO()
            table.to_parquet(buffer, engine="pyarrow", index=False)
            write(Path(self.out), buffer.getvalue())
        else:
            write(Path(self.out), table.to_csv(index=False, lineterminator="\n").encode())
        print(f"table: {self.out} ({len(table)} runs, {len(table.columns)} columns)")
