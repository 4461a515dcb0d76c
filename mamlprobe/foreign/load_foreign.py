"""`load_foreign`: a checkpoint of another project as a net, its weights and the inner loop of its authors."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.by_name import has_ink
from mamlprobe.foreign.contents import Contents, read_contents
from mamlprobe.foreign.families.relation import network_of
from mamlprobe.foreign.nest import State, find_state
from mamlprobe.foreign.net_spec import image_of, spec_of
from mamlprobe.foreign.recognise import FAMILIES, recognise
from mamlprobe.foreign.recognised import Asked, Recognised
from mamlprobe.foreign.relation_network import partner, read_network
from mamlprobe.foreign.weights import as_real, filled, learned, listed
from mamlprobe.learn.theta import Theta, fits
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Readout
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.net import Net
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.inner import NAMES, InnerWords, assumption, restated

DATA = "images:"
"""How the line on the data set begins."""

MOST_CLASSES = 20
"""Classes of the largest tasks of the papers; a head of more rows is one of training classes."""

HEADS = ("zero", "random")
"""A head for an encoder that has none."""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A checkpoint of another project, and what was understood of it."""

    __repr__ = described

    experiment: Experiment
    """Net, method and data, as its authors train and test."""
    theta: Theta
    """The weights."""
    file: Path
    """Where they come from."""
    family: str
    """The family that it is of; "unknown" where its layers are a guess."""
    seen: tuple[str, ...]
    """What stands in the file."""
    assumed: tuple[str, ...]
    """What the file does not say: the family's usual, each with the option that says otherwise."""
    left_out: tuple[str, ...]
    """What is not used."""
    inner_assumed: tuple[str, ...]
    """Names of the inner loop's settings that are assumed."""

    rows: int
    """Rows of the head; a task may have fewer classes."""

    @property
    def net(self) -> Net:
        """Build the net."""
        return build(self.experiment.net, way=self.rows)

    @property
    def method(self) -> Method:
        """Return the method that the weights are used with."""
        return self.experiment.method

    @door()
    def judged_by(
        self, *, dataset: str | None = None, ink: int | None = None, normalise: str | None = None
    ) -> "Foreign":
        """Return the same with this data set, ink or normalisation in place of the assumed ones; None keeps them."""
        given: dict[str, Any] = {"dataset": dataset, "ink": ink, "normalise": normalise}
        stated = {name: value for name, value in given.items() if value is not None}
        if not stated:
            return self
        if ink is None and dataset is not None and not has_ink(dataset):
            stated["ink"] = 1  # the only one that it has
        image = self.experiment.net.image
        channels = 3 if dataset is not None and image and image[0] == 3 else self.experiment.data.channels
        data = replace(self.experiment.data, **stated, channels=channels)
        left = data_assumption(data, stated)
        others = [line for line in self.assumed if not line.startswith(DATA)]
        return replace(self, experiment=replace(self.experiment, data=data), assumed=(*left, *others))

    @property
    def lines(self) -> list[str]:
        """Return what was understood, line by line."""
        parts = {"seen": self.seen, "assumed": self.assumed, "left out": self.left_out}
        return [f"{word}: {line}" for word, lines in parts.items() for line in lines]


@door()
def load_foreign(
    path: str | Path,
    *,
    family: str | None = None,
    blocks: str | None = None,
    padding: str | None = None,
    image: tuple[int, int, int] | None = None,
    way: int | None = None,
    head: str | None = None,
    relation: str | Path | None = None,
    inner: InnerWords | None = None,
    data: Data | None = None,
) -> Foreign:
    """Read a checkpoint of another project: its net, its weights, and how its authors train and test.

    The container, the state dict in it and the family follow from the file: learn2learn, torchmeta, pytorch-maml,
    MAML++, dragen1860 and Kao et al., BOIL, prototype nets, SimpleShot, LibFewShot, ResNet-12, Finn et al. and Reptile
    (TensorFlow 1: the prefix of the checkpoint, or one of its files) and others, whole modules and Lightning
    checkpoints too; nothing that the file names is run. What it cannot say is the family's usual, stands
    in `assumed`, and is stated by the options.

    Args:
        family: one of `FAMILIES`, where two have the same names.
        blocks: the layers of a block, or of all parted by ``;``, such as ``conv 3 1 0, relu, norm, pool 2 2``.
        padding: ``padded`` or ``unpadded``, for files with ``vars.0``: Kao's net, or dragen1860's.
        image: C, H, W of the inputs.
        way: classes of a task, at most the head's rows.
        head: of an encoder without one, ``zero`` or ``random`` for inner-loop probes; else it has none.
        relation: file of the encoder's relation network (Sung et al. 2018); else the one of its name beside it, if any.
        inner: settings of the inner loop, the norms and the readout.
        data: data set to judge it by, with its size, ink and normalisation.

    Raises:
        UserError: no checkpoint; none of a family that is known, with what was seen in it; options that do not fit.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> small = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14))
        >>> run = mp.train(small, "runs", progress=False)
        >>> exported = mp.export(run, kind="learn2learn", out="theirs.pt")  # for want of theirs
        >>> foreign = mp.load_foreign("theirs.pt", image=(1, 14, 14))
        >>> foreign.family, foreign.net.layers
        ('learn2learn OmniglotCNN', ('conv1', 'conv2', 'conv3', 'conv4', 'head'))
        >>> foreign.inner_assumed  # what no state dict says: state it by `inner`
        ('inner_lr', 'steps', 'adapts', 'norm', 'readout')
    """
    path = Path(path)
    asked = Asked(family=family, blocks=blocks, padding=padding)
    if family is not None and family not in FAMILIES:
        raise unknown("import", "family", family, FAMILIES)
    if head is not None and head not in HEADS:
        raise unknown("import", "head", head, HEADS)
    contents = read_contents(path)
    state = find_state(contents.tree)
    if state is None:
        raise UserError(
            "import", f"{path.name} must hold tensors", _keys(contents.tree), "name a checkpoint of weights"
        )
    state, converted = as_real(path.name, state)
    if relation is None and network_of(state) and (encoder := partner(path, encoder=True)) is not None:
        options: dict[str, Any] = {"image": image, "way": way, "head": head, "relation": path, "inner": inner}
        return load_foreign(encoder, **vars(asked), data=data, **options)
    recognised, of_training = _without_training_head(recognise(path.name, state, asked), way)
    shape, guessed = image_of(recognised, image)
    spec = spec_of(recognised, shape)
    net, theta, spec, rows = filled(path.name, recognised, spec, way, head)
    given = inner or InnerWords()
    network, network_seen, network_assumed = read_network(path, relation, recognised, theta)
    method, inner_assumed = _method(recognised, spec, theta, given, readout="relation" if network else "prototype")
    theta, method, unused = learned(recognised, spec, net, theta, method)
    theta = replace(theta, extra=theta.extra | network)
    fits(net, theta, method)
    where, data_assumed = _data(recognised, shape, data)
    experiment = Experiment(
        recipe="foreign", data=where, net=spec, method=method, way=rows if way is None else way, updates=0
    )
    why = recognised.usage.lr_from if "inner_lr" in inner_assumed else ""
    assumed = [*recognised.assumed, guessed, *network_assumed, *data_assumed, why]
    text = assumption(method, inner_assumed).removeprefix("assumed: ")
    return Foreign(
        experiment=experiment,
        theta=theta,
        file=contents.file,
        family=recognised.family,
        seen=(*_seen(contents, state, recognised, spec, converted), *network_seen),
        assumed=tuple(line for line in (*assumed, text) if line),
        left_out=(*_left(state, recognised), *of_training, *unused),
        rows=rows,
        inner_assumed=tuple(inner_assumed),
    )


def _without_training_head(recognised: Recognised, way: int | None) -> tuple[Recognised, tuple[str, ...]]:
    """Return what was recognised without a head that classifies the training classes, and a line on that head.

    It has more rows than the tasks of any paper have classes; a stated number of classes keeps it.
    """
    head = recognised.tensors.get("head.weight")
    if head is None or head.shape[0] <= MOST_CLASSES or way is not None:
        return recognised, ()
    rest = {name: value for name, value in recognised.tensors.items() if not name.startswith("head.")}
    line = f"a head of {head.shape[0]} training classes (say --way to keep it)"
    return replace(recognised, tensors=rest), (line,)


def _method(
    recognised: Recognised, spec: NetSpec, theta: Theta, given: InnerWords, *, readout: Readout
) -> tuple[Method, list[str]]:
    """Return the authors' method with what is stated, and the names of the settings that are assumed.

    readout: that of an encoder without a head.
    """
    usage = recognised.usage
    method = METHODS[usage.method]
    steps, readout = (0, readout) if spec.headless else (usage.steps, "head")
    test_steps = 0 if spec.headless else usage.test_steps
    inner = replace(method.inner, lr=usage.lr, steps=steps, test_steps=test_steps, adapts=usage.adapts, batch=None)
    norm = "batch" if usage.norm == "running" and not theta.moments else usage.norm
    method = replace(method, inner=inner, norm=replace(method.norm, statistics=norm), readout=readout)
    method = restated(method, given, train=True)
    if (spec.headless and method.readout == "head") or (spec.headless and method.inner.test_steps):
        must, advice = "an encoder without a head must be read out without one", "add --head zero, or --head random"
        raise UserError("import", must, f"readout {method.readout}, {method.inner.test_steps} steps", advice)
    spare = {"inner_lr", "steps", "adapts"} if spec.headless else set()
    return method, [name for name in NAMES if name not in given.said and name not in spare]


def _data(recognised: Recognised, shape: tuple[int, int, int], data: Data | None) -> tuple[Data, tuple[str, ...]]:
    """Return the data set to judge by, and what is assumed of it."""
    if data is not None:
        return data, ()
    usage = recognised.usage
    if shape[0] == 3:
        chosen = Data(dataset="miniimagenet", size=shape[1], normalise=usage.levels)
    else:
        chosen = Data(dataset="omniglot", size=shape[1], ink=usage.ink, normalise=usage.grey)
    return chosen, data_assumption(chosen, ())


def data_assumption(data: Data, stated: Collection[str]) -> tuple[str, ...]:
    """Return a line on what of a data set nobody stated, or none."""
    text = {
        "dataset": f"data set {data.dataset}",
        "normalise": f"normalised by {data.normalise}",
        "ink": f"ink {data.ink}",
    }
    characters = data.dataset == "omniglot" or data.normalise is None
    needed = ("dataset", *(["ink"] if characters else []), *(["normalise"] if data.normalise is not None else []))
    open_ = [name for name in needed if name not in stated]
    options = ", ".join(f"--{name}" for name in open_)
    return (f"{DATA} {', '.join(text[name] for name in open_)} (say {options})",) if open_ else ()


def _seen(contents: Contents, state: State, recognised: Recognised, spec: NetSpec, converted: str) -> list[str]:
    numbers = sum(value.numel() for value in recognised.tensors.values())
    at = f", the state dict under {state.at}" if state.at else ""
    texts = [f"{recognised.blocks.count(text)} x ({text})" for text in dict.fromkeys(recognised.blocks)]
    head = recognised.tensors.get("head.weight")
    tail = "no head" if head is None else f"a head of {head.shape[0]} rows on {head.shape[1]} features"
    moments = "running moments" if spec.moments else "no running moments"
    lines = [
        f"{contents.container}{at}",
        f"{recognised.family}: {len(recognised.blocks)} blocks, {numbers:,} numbers",
        f"{', '.join(texts)}; {tail}",
        f"image {' x '.join(map(str, spec.image or ()))}; {moments}",
    ]
    if recognised.rates:
        lines.append(f"learned inner rates of {len(recognised.rates)} parameters")
    return [*lines, *([converted] if converted else [])]


def _left(state: State, recognised: Recognised) -> list[str]:
    lines = []
    if recognised.left_out:
        lines.append(f"tensors {listed(recognised.left_out)}")
    if state.left_out:
        lines.append(f"also in the file: {listed(state.left_out)}")
    return lines


def _keys(tree: Any) -> str:
    return f"entries {listed(map(str, tree))}" if isinstance(tree, dict) and tree else f"a {type(tree).__name__}"
