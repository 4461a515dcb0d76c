"""The command `export` as a dataclass, one field per option."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Export:
    """The weights of a run as a file for other programs; what it cannot hold is said."""

    run_folder: Annotated[Positional[str], arg(metavar="RUN", help="Folder of the run.")]
    kind: Annotated[
        str,
        arg(
            name="as",
            help="learn2learn or torchmeta, a state dict under that project's names; safetensors, all that was "
            "meta-learned; torchscript or onnx, a module that maps images to logits and features.",
        ),
    ]
    out: str
    """File to write; one that is there is replaced."""
    update: int | None = None
    """State after so many updates; else the last one kept."""
    norm: str | None = None
    """What norms in torchscript and onnx go by: batch, the rows' own statistics; running, the averages of training;
    else what the run's do."""
    module: str | None = None
    """package.file:Class of a run whose net is your own module; it must be what the folder names."""

    def run(self) -> None:
        """Write the file and say what it holds."""
        from mamlprobe.commands.subjects.summaries import ready  # pandas and torch, which no help waits for
        from mamlprobe.foreign.export import export

        ready(self.out)
        written = export(
            self.run_folder, kind=self.kind, out=self.out, update=self.update, norm=self.norm, module=self.module
        )
        print("\n".join(written.lines))
