"""The command `certify` as a dataclass, one field per option; `commands.certificate` does the work."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from mamlprobe.runs.inner import InnerWords


@dataclass(frozen=True, kw_only=True)
class Certify(InnerWords):
    """The gradient certificate: is the outer gradient, on this net, data and method, what the settings say?

    It ends with code 1 where a check fails. What is said of the inner loop holds for the certificate alone; steps are
    those of training.
    """

    target: Annotated[Positional[str], arg(metavar="RUN|RECIPE", help="Folder of a run, or name of a recipe.")] = "maml"
    preset: Literal["smoke", "quick", "long", "paper"] | None = None
    """Size of the recipe; smoke where it comes in that."""
    dataset: str | None = None
    """Name of a data set, or path of class folders, a zip or another project's files; else the run's or recipe's."""
    data_root: str | None = None
    """Folder of raw files; else MAMLPROBE_DATA, else the cache folder."""
    module: str | None = None
    """package.file:Class of a run whose net is your own module; it must be what the folder names."""
    seed: int = 0
    """Decides tasks, directions and, of a recipe, the start."""
    contrast: bool = False
    """Instead: every exact statement of Kao et al. 2022 on this net and these tasks, at the method's inner rate."""
    out: str | None = None
    """CSV file for the table."""

    def run(self) -> int:
        """Print the table and return the exit code."""
        from mamlprobe.commands import certificate  # imports torch, which no help waits for

        return certificate.certificate(self)
