"""The command `survey`: every checkpoint in a folder, on the same tasks, in one table and one figure."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mamlprobe.base.errors import UserError, one_line
from mamlprobe.commands.words import Tasks

if TYPE_CHECKING:
    import pandas as pd

    from mamlprobe.commands.subjects.probed_run import ProbedRun

EPISODES = 100
"""Tasks where no number is given."""


@dataclass(frozen=True, kw_only=True)
class Survey(Tasks):
    """Every checkpoint and run in a folder, on the same tasks: accuracy, NIL gap, freezing, similarity, contrast."""

    folder: Annotated[Positional[str], arg(metavar="FOLDER", help="Folder of checkpoints and runs, at any depth.")]
    out: str
    """Folder for survey.csv, survey.png and .pdf, tasks.csv, skipped.csv and the imported runs."""
    way: int | None = None
    """Classes a task; else as many as each model's head has rows, 5 for an encoder."""
    episodes: int | None = None
    """Number of tasks; 100 where not given."""

    def run(self) -> None:
        """Import, ask, and write table and figure."""
        from mamlprobe.commands.subjects.summaries import keep, ready, show
        from mamlprobe.commands.subjects.surveys import models_in, survey_means
        from mamlprobe.draw.files import save
        from mamlprobe.draw.models import survey_figure

        folder, out = Path(self.folder), Path(self.out)
        models = [path for path in models_in(folder) if not path.is_relative_to(out)]
        for name in ("survey.csv", "survey.png", "survey.pdf", "tasks.csv", "skipped.csv"):
            ready(str(out / name))
        tables, skipped = [], []
        for path in models:
            try:
                tables.append(self._asked(path))
            except UserError as error:
                skipped.append({"file": one_line(str(path.relative_to(folder))), "reason": str(error)})
                print(f"skipped {skipped[-1]['file']}: {error}")
        if not tables:
            got = f"{len(skipped)} files, of which none is one"
            raise UserError("survey", f"{folder} must hold checkpoints", got, "see the lines above")
        means = survey_means(tables)
        show(_overview(means))
        if len(set(means["episodes"])) > 1:
            print("tasks differ between models, so that differences are not paired: say --way and --dataset")
        keep(_joined(tables), str(out / "tasks.csv"))
        keep(means, str(out / "survey.csv"))
        if skipped:
            keep(_listed(skipped), str(out / "skipped.csv"))
        figure = survey_figure(means)
        for suffix in (".png", ".pdf"):
            save(figure, out / f"survey{suffix}")
            print(f"figure: {out / f'survey{suffix}'}")

    def _asked(self, path: Path) -> "pd.DataFrame":
        """Import the file, if it is no run, and ask it.

        Raises:
            UserError: it is no checkpoint, or cannot do such tasks.
        """
        from mamlprobe.commands.answers import case_of
        from mamlprobe.commands.subjects.surveys import name_of
        from mamlprobe.foreign.load_foreign import load_foreign
        from mamlprobe.foreign.write import write_foreign
        from mamlprobe.runs.folder import load_run

        run, family = path, "run"
        if path.is_file():
            foreign = load_foreign(path, way=self.way).judged_by(dataset=self.dataset)
            if foreign.method.readout == "relation" and foreign.file != path:
                must, advice = "a relation network must go with its encoder", "nothing: it is asked there"
                raise UserError("survey", must, f"that of {foreign.file.name}", advice)
            run = Path(self.out) / "runs" / name_of(path, Path(self.folder))
            write_foreign(foreign, run)
            family = foreign.family
            if family == "unknown":
                print(f"{name_of(path, Path(self.folder))}: of no known family: its layers are a guess")
        named = load_run(run).config.net.named  # of the modules that are stated, only a run that names it has one
        module = named if named in (self.module or "").split(",") else None
        case = case_of(replace(self, module=module), str(run), self.episodes, EPISODES)
        table = _at_hand(replace(case, every=False))
        return table.assign(run=name_of(path, Path(self.folder)), family=family)


def _at_hand(case: "ProbedRun") -> "pd.DataFrame":
    """Return the answers of a model: those in its folder, if a survey asked the same before; else keep them there.

    The code of a module of a user's own is not in the folder: it is asked anew.
    """
    from mamlprobe.commands.subjects.surveys import COLUMNS, survey_table
    from mamlprobe.reports.store import key_of, read_answer, write_answer
    from mamlprobe.runs.checkpoint import Checkpoint, digest, named_tensors

    run = case.run
    if run.config.net.kind == "module":
        return survey_table(case)
    device = next(iter(case.theta.net.values())).device
    bits = digest(named_tensors(Checkpoint(update=case.update, theta=case.theta.to("cpu"))))
    tasks = f"{case.dataset} {case.split} {case.shot} {case.query} {case.tasks} {case.pool.digest()} {case.given}"
    facts = case.name, bits, device, run.config, case.method, case.training_method, tasks
    key = key_of("survey", *facts, f"{case.pool.mean} {case.pool.std}")
    answer = read_answer(run.path, "survey", key, " ".join(COLUMNS), case.tasks)
    if answer is not None:
        return answer[0]
    table = survey_table(case)
    write_answer(run.path, "survey", key, table)
    return table


def _overview(means: "pd.DataFrame") -> "pd.DataFrame":
    """Return one row a run: accuracy and costs in percent, with intervals."""
    from mamlprobe.draw.table_text import folded

    rows = means[means["layer"] == ""].assign(
        **{name: means[name] * 100 for name in ("value", "low", "high")}, quantity=means["quantity"] + ", %"
    )
    text = folded(rows[["run", "quantity", "value", "low", "high"]], digits=1)
    wide = text.pivot_table(index="run", columns="quantity", values="value", aggfunc="first", sort=False)
    return wide.reset_index().rename_axis(columns=None).fillna("")


def _joined(tables: "list[pd.DataFrame]") -> "pd.DataFrame":
    import pandas as pd

    return pd.concat(tables, ignore_index=True)


def _listed(skipped: list[dict[str, str]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(skipped)
