"""A checkpoint of another project as a run folder."""

from pathlib import Path

from mamlprobe.foreign.load_foreign import Foreign
from mamlprobe.runs.folder import Run
from mamlprobe.runs.import_weights import write_run


def write_foreign(given: Foreign, out: str | Path) -> Run:
    """Write what was read of a file to the run folder `out`, with the lines on what was seen and assumed in env.json.

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
    )
