"""What a notebook shows of a run."""

from typing import TYPE_CHECKING

from mamlprobe.base.errors import UserError
from mamlprobe.base.notebook import card, fields_shown

if TYPE_CHECKING:
    from mamlprobe.runs.folder import Run


def run_shown(run: "Run") -> str:
    """Show in a notebook where it is, how far it is and what it came to; what is damaged is told."""
    facts: dict[str, object] = {"folder": str(run.path)}
    try:
        made = f"{max(run.updates(), default=0):,} of {run.config.updates:,} updates"
        facts["state"] = "imported" if run.imported else "finished" if run.done else f"{made} are kept"
        log = run.log
        for row in log[log["update"] == log["update"].max()].itertuples():
            facts[f"{row.split} {row.quantity} at update {row.update}"] = row.value
    except UserError as error:
        facts["state"] = str(error)
    return card(f"Run {run.path.name}", facts, {"settings": fields_shown(run.config)})
