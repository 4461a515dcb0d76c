"""A checkpoint of another project as a run folder."""

from collections.abc import Sequence
from pathlib import Path

from mamlprobe.foreign.load_foreign import Foreign
from mamlprobe.runs.folder import Run
from mamlprobe.runs.import_weights import write_run


def write_foreign(
    given: Foreign, out: str | Path, *, trained_on: Sequence[str] = (), stated: Sequence[str] = ()
) -> Run:
    """Write what was read of a file to the run folder `out`, with the lines on what was seen and assumed in env.json.

    `trained_on` names the training classes; an evaluation on one of them says so. `stated` lists what options said.

    Raises:
        UserError: as `write_run`.
    """
    return write_run(
        given.experiment,
        given.theta,
        out,
        source=given.file,
        assumed=given.inner_assumed,
        understood=given.lines,
        rows=given.rows,
        trained_on=trained_on,
        stated=stated,
    )
