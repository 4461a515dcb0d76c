"""The command `import` as dataclasses, one field per option; `run` does what they say."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg, subcommand

from mamlprobe.base.errors import UserError
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.inner import NAMES, InnerWords, assumption, in_words, restated

if TYPE_CHECKING:
    from mamlprobe.learn.theta import Theta


def stated(options: InnerWords) -> list[str]:
    """List what the options state that no file says, each with the option."""
    facts = []
    for each in fields(options):
        name, value = each.name, getattr(options, each.name)
        if name in ("file", "out", "data_root") or value in (None, (), ""):
            continue
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        text = in_words(name, value) if name in NAMES else f"{name.replace('_', ' ')} {shown}"
        facts.append(f"{text} (--{name.replace('_', '-')})")
    return facts


@dataclass(frozen=True, kw_only=True)
class Foreign(InnerWords):
    """What every import has; the inner loop that is not said is MAML's, and a line says so."""

    file: Annotated[
        Positional[str], arg(metavar="FILE", help="A .pt, .pth or .safetensors file; no code in it is run.")
    ]
    out: str
    """Folder of the run that is made."""
    image: tuple[int, int, int] | None = None
    """C, H, W of the net's inputs."""
    dataset: str | None = None
    """Data set to judge it by; a name or a path."""

    @property
    def method(self) -> Method:
        """Return MAML with the inner loop that the options state."""
        return restated(METHODS["maml"], self, train=True)

    def write(self, experiment: Experiment, theta: "Theta") -> None:
        """Write the run folder and say what is in it."""
        from mamlprobe.runs.import_weights import write_run  # torch, which no help waits for

        image = experiment.net.image
        if self.dataset is not None:
            channels = 3 if image and image[0] == 3 else None
            data = Data(dataset=self.dataset, size=image and image[1], channels=channels)
            experiment = replace(experiment, data=data)
        assumed = [name for name in NAMES if name not in self.said]
        run = write_run(experiment, theta, self.out, source=self.file, assumed=assumed, stated=stated(self))
        numbers = sum(value.numel() for value in theta.net.values())
        print(f"run: {run.path}")
        print(f"{experiment.way}-way, {numbers} parameters, layers {', '.join(run.net().layers)}")
        if assumed:
            print(assumption(experiment.method, assumed))


@dataclass(frozen=True, kw_only=True)
class Kao(Foreign):
    """A file of Kao et al. 2022, and others of that code's lineage, as a run; its net follows from the shapes."""

    def run(self) -> None:
        """Read the file and write the run."""
        from mamlprobe.runs.import_weights import import_kao  # torch, which no help waits for

        self.write(*import_kao(self.file, method=self.method, image=self.image, say=print))


@dataclass(frozen=True, kw_only=True)
class StateDict(Foreign):
    """The state dict of any nn.Module as a run."""

    module: str
    """package.file:Class, or a function that makes the module; called without arguments."""
    head: str
    """Prefix of the head's parameters."""
    layers: tuple[str, ...] = ()
    """Modules to record and to freeze by; else the module's blocks."""
    output: str = ""
    """Key, attribute or number of the logits in what the module returns; else they are looked for."""
    features: str = ""
    """first or last: which axis of a layer's output is features, where its kind does not tell."""
    way: int | None = None
    """Classes a task; else as many as the head has outputs."""

    def run(self) -> None:
        """Read the file and write the run."""
        from mamlprobe.runs.import_weights import import_state_dict  # torch, which no help waits for

        options: dict[str, Any] = {"module": self.module, "head": self.head, "layers": self.layers, "image": self.image}
        options |= {"output": self.output, "features": self.features}
        experiment, theta = import_state_dict(self.file, method=self.method, say=print, **options)
        if self.way is not None and self.way > experiment.way:
            got = f"{self.way}"
            raise UserError("import", f"way must be at most the head's {experiment.way} outputs", got, "lower way")
        self.write(replace(experiment, way=self.way or experiment.way), theta)


@dataclass(frozen=True, kw_only=True)
class Auto(InnerWords):
    """A checkpoint of any project as a run: its net, its family and its norms are told from the file."""

    file: Annotated[
        Positional[str],
        arg(metavar="FILE", help="A checkpoint of torch, numpy, TensorFlow 1 or Keras; no code in it is run."),
    ]
    out: str | None = None
    """Folder of the run that is made; else runs/NAME of the file."""
    family: str | None = None
    """Project that the file is of, where two have the same names; an unknown one lists them."""
    blocks: str | None = None
    """Layers of a block, or of all parted by ;, such as "conv 3 1 0, relu, norm, pool 2 2"."""
    padding: str | None = None
    """padded or unpadded, of files with vars.0: Kao's net, or dragen1860's."""
    image: tuple[int, int, int] | None = None
    """C, H, W of the net's inputs."""
    way: int | None = None
    """Classes a task; else as many as the head has rows."""
    head: str | None = None
    """A head for an encoder without one: zero or random; else it has none."""
    relation: str | None = None
    """File of the encoder's relation network; else the one of its name beside it, such as relation_network_5way.pkl."""
    dataset: str | None = None
    """Data set to judge it by; a name or a path."""
    ink: int | None = None
    """Brightness of a stroke, on data sets of characters: 0 or 1."""
    normalise: str | None = None
    """How images are shifted and scaled, such as imagenet."""
    trained_on: str | None = None
    """Data set whose training classes it was trained on, such as miniimagenet: evaluations on them say so."""
    data_root: str | None = None
    """Folder of raw files, for --trained-on; else MAMLPROBE_DATA, else the cache folder."""

    def run(self) -> None:
        """Read the file, say what it is, and write the run."""
        from mamlprobe.foreign.load_foreign import load_foreign  # torch, which no help waits for
        from mamlprobe.foreign.write import write_foreign

        given = InnerWords(**self.said)
        options: dict[str, Any] = {"family": self.family, "blocks": self.blocks, "padding": self.padding}
        options |= {"image": self.image, "way": self.way, "head": self.head, "inner": given}
        options |= {"relation": self.relation}
        foreign = load_foreign(self.file, **options)
        foreign = foreign.judged_by(dataset=self.dataset, ink=self.ink, normalise=self.normalise)
        classes, line = self._classes(foreign.experiment.data.dataset)
        out = self.out or f"runs/{Path(self.file).name.split('.')[0]}"
        run = write_foreign(foreign, out, trained_on=classes, stated=stated(self))
        print("\n".join([*foreign.lines, *([line] if line else [])]))
        print(f"run: {run.path}")

    def _classes(self, dataset: str) -> tuple[tuple[str, ...], str]:
        """Return the names of the classes that it was trained on, and a line where that is assumed.

        Raises:
            UserError: a data set that has no list of classes and cannot be read.
        """
        from mamlprobe.data.by_name import load_pool
        from mamlprobe.data.layouts.class_lists import training_classes

        if self.trained_on is None:
            classes = training_classes(dataset)
            said = f"assumed: trained on the {len(classes)} training classes of {dataset} (say --trained-on)"
            return classes, said if classes else ""
        classes = training_classes(self.trained_on)
        if not classes:
            pool = load_pool(self.trained_on, root=self.data_root)
            classes = tuple(pool.class_names[number] for number in pool.class_ids("train").tolist())
        return classes, ""


@dataclass(frozen=True, kw_only=True)
class Import:
    """Weights from elsewhere as a run folder."""

    kind: Annotated[
        Annotated[Auto, subcommand("auto")]
        | Annotated[Kao, subcommand("kao")]
        | Annotated[StateDict, subcommand("state_dict")],
        arg(name=""),
    ]

    def run(self) -> None:
        """Import the file."""
        self.kind.run()
