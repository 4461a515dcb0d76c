"""Families of nets that are blocks of conv, norm and activation: the names of their tensors, and their layers.

Sources: the projects' own code, as named. Patterns match the part of a name before ``.weight``; group 1 is the block.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import COUNTS, Asked, Parts, Recognised, Usage
from mamlprobe.nets.by_layers.layer_words import read_blocks, stated_blocks, write_block

POOLED = "conv 3 1 1, norm, relu, pool 2 2"
UNPADDED = "conv 3 1 0, norm, relu, pool 2 2"
STRIDED = "conv 3 2 1, norm, relu"
RATES = r"(.*\.)?lrs\.\d+"
"""Names of the rates that MetaSGD learns."""

EVAL = Usage(lr=0.01, steps=5, test_steps=10, norm="running", levels="imagenet")


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A family of nets by the names of their tensors."""

    name: str
    conv: str
    norm: str
    head: str | None = None
    blocks: tuple[str, ...] = (POOLED,)
    """Words of the blocks, without filters; the last one is repeated."""
    end: str = ""
    """What stands behind the last block."""
    usage: Usage = field(default_factory=Usage)
    extras: str = "(?!)"
    """Pattern of further tensors that are not the net's."""
    double: bool | None = None
    """Whether tensors are float64, which tells two families of the same names apart."""
    least: int = 2
    """Blocks that a net of the family has at least."""
    assumed: tuple[str, ...] = ()

    def recognise(self, state: State, asked: Asked) -> Recognised | None:
        """Return the net if all matrices of the state are of this family; else None."""
        convs, norms = (_parts(state.tensors, pattern, self.extras) for pattern in (self.conv, self.norm))
        pairs = list(zip(convs, norms, strict=False))
        if len(convs) != len(norms) or len(pairs) < self.least:
            return None
        blocks = [{f"conv.{n}": x for n, x in c.items()} | {f"norm.{n}": x for n, x in d.items()} for c, d in pairs]
        weights = [state.tensors[block["conv.weight"]] for block in blocks if "conv.weight" in block]
        if len(weights) < len(blocks) or any(weight.ndim not in (2, 4) for weight in weights):
            return None
        kind = "conv" if weights[0].ndim == 4 else "linear"
        used = {
            f"conv{n}.{part if part.startswith('norm') else part.replace('conv', kind)}": name
            for n, block in enumerate(blocks, 1)
            for part, name in block.items()
        }
        head = {} if self.head is None else _head(state.tensors, self.head)
        tensors = {ours: state.tensors[theirs] for ours, theirs in {**used, **head}.items()}
        if self.double is not None and (weights[0].element_size() == 8) is not self.double:
            return None
        rest = unused(state.tensors, [*used.values(), *head.values()], self.extras)
        if any(state.tensors[name].ndim > 1 for name in rest if not re.fullmatch(self.extras, name)):
            return None
        rates = _rates(state.tensors, {theirs: ours for ours, theirs in {**used, **head}.items()})
        return Recognised(
            family=self.name,
            rates=rates,
            blocks=worded(self.blocks, tensors, len(blocks), self.end, asked),
            tensors=tensors,
            usage=self.usage,
            assumed=self.assumed,
            left_out=tuple(name for name in rest if not (rates and re.fullmatch(RATES, name))),
        )


def _parts(tensors: Parts, pattern: str, extras: str) -> list[dict[str, str]]:
    """Return the names of the tensors of each part that the pattern means, by their last words, in natural order.

    Those that the pattern `extras` means are not the net's.
    """
    recognised: dict[str, dict[str, str]] = {}
    for name in tensors:
        part, _, last = name.rpartition(".")
        match = re.fullmatch(rf"(?:.*\.)?{pattern}", part)
        if match and last != COUNTS and not re.fullmatch(extras, name):
            recognised.setdefault(match[1], {}).setdefault(last, name)
    return [recognised[number] for number in sorted(recognised, key=_natural)]


def worded(texts: Sequence[str], tensors: Parts, blocks: int, end: str, asked: Asked) -> tuple[str, ...]:
    """Write the blocks of a net in words, with the filters and biases that its tensors have."""
    kind = "conv" if "conv1.conv.weight" in tensors else "linear"
    weights = [tensors[f"conv{number}.{kind}.weight"] for number in range(1, blocks + 1)]
    if asked.blocks is not None:
        return stated_blocks(asked.blocks, [weight.shape[0] for weight in weights])
    full = []
    for number, weight in enumerate(weights, 1):
        text = texts[min(number, len(texts)) - 1]
        bias = "" if f"conv{number}.{kind}.bias" in tensors else " nobias"
        text = re.sub(r"conv (\d+ \d+ (?:\d+|same))", rf"conv {weight.shape[0]} \1{bias}", text)
        text = re.sub(r"linear", f"linear {weight.shape[0]}{bias}", text)
        full.append(text)
    full[-1] += f", {end}" if end else ""
    return tuple(map(write_block, read_blocks(full)))


def unused(tensors: Parts, used: Sequence[str], extras: str) -> list[str]:
    """List the tensors that are not used, without counters and those that repeat a used one under another name."""
    known = [tensors[name] for name in used]
    names = [name for name in tensors if name not in used and not name.endswith(COUNTS)]
    return [name for name in names if not any(_same(tensors[name], each) for each in known)]


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and bool((one == other).all())


def _head(tensors: Parts, pattern: str) -> dict[str, str]:
    """Find the weight and the bias of the head."""
    recognised = {}
    for name, value in tensors.items():
        part, _, last = name.rpartition(".")
        if re.fullmatch(rf"(?:.*\.)?{pattern}", part) and (last, value.ndim) in (("weight", 2), ("bias", 1)):
            recognised[f"head.{last}"] = name
    return recognised if "head.weight" in recognised else {}


def _rates(tensors: Parts, ours: dict[str, str]) -> Parts:
    """Return the learned rates ``lrs.0``, ``lrs.1`` ... of MetaSGD: one tensor a parameter, in their order."""
    parameters = [name for name in tensors if name in ours and "running" not in name]
    numbered = {int(name.rpartition(".")[2]): each for name, each in tensors.items() if re.fullmatch(RATES, name)}
    values = [numbered[number] for number in sorted(numbered)]
    if [value.shape for value in values] != [tensors[name].shape for name in parameters]:
        return {}
    return {ours[name]: value for name, value in zip(parameters, values, strict=True)}


def _natural(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdecimal() else (0, number)


FAMILIES = (
    Plain(
        name="learn2learn CNN4",
        conv=r"features\.(\d+)\.conv",
        norm=r"features\.(\d+)\.normalize",
        head=r"classifier",
        usage=Usage(lr=0.5, steps=1, test_steps=1, levels="raw255"),
        extras=RATES,
    ),
    Plain(
        name="learn2learn OmniglotCNN",
        conv=r"(?:base|features\.1)\.(\d+)\.conv",
        norm=r"(?:base|features\.1)\.(\d+)\.normalize",
        head=r"classifier",
        blocks=(STRIDED,),
        end="mean",
        usage=Usage(lr=0.5, steps=1, test_steps=1),
        extras=RATES,
    ),
    Plain(
        name="learn2learn OmniglotFC",
        conv=r"features\.1\.(\d+)\.linear",
        norm=r"features\.1\.(\d+)\.normalize",
        head=r"classifier",
        blocks=("linear, norm 0.001, relu",),
        usage=Usage(lr=0.5, steps=1, test_steps=1),
        extras=RATES,
    ),
    Plain(
        name="torchmeta's examples or BOIL",
        conv=r"features\.(\d+)\.0",
        norm=r"features\.(\d+)\.1",
        head=r"classifier",
        usage=Usage(lr=0.4, steps=1, test_steps=1),
    ),
    Plain(
        name="pytorch-maml (Deleu)",
        conv=r"features\.layer(\d+)\.conv",
        norm=r"features\.layer(\d+)\.norm",
        head=r"classifier",
        usage=Usage(lr=0.4, steps=1, test_steps=1, adapts=("*", "!*.norm.*")),
    ),
    Plain(
        name="pytorch-maml (Rakelly)",
        conv=r"features\.conv(\d+)",
        norm=r"features\.bn(\d+)",
        head=r"fc",
        blocks=(UNPADDED,),
        usage=Usage(lr=0.1, steps=5, test_steps=5),
    ),
    Plain(
        name="higher's Omniglot example",
        conv=r"(0|4|8)",
        norm=r"(1|5|9)",
        head=r"13",
        blocks=(UNPADDED,),
        usage=Usage(lr=0.1, steps=5, test_steps=5),
        least=3,
    ),
    Plain(
        name="few-shot (Knagg) MAML",
        conv=r"conv(\d+)\.0",
        norm=r"conv(\d+)\.1",
        head=r"logits",
        usage=Usage(lr=0.4, steps=1, test_steps=3, ink=0),
        double=True,
    ),
    Plain(
        name="SimpleShot Conv4",
        conv=r"conv(\d+)\.0",
        norm=r"conv(\d+)\.1",
        head=r"logits",
        usage=EVAL,
    ),
    Plain(
        name="prototypical networks (Snell, and others of that layout)",
        conv=r"encoder\.(\d+)\.0",
        norm=r"encoder\.(\d+)\.1",
        usage=EVAL,
        extras=r"(.*\.)?(fc|logits|classifier)\.(weight|bias)",
    ),
    Plain(
        name="A Closer Look at Few-Shot Classification, Conv4 or Conv6",
        conv=r"trunk\.(\d+)\.C",
        norm=r"trunk\.(\d+)\.BN",
        head=r"classifier",
        blocks=(POOLED, POOLED, POOLED, POOLED, "conv 3 1 1, norm, relu"),
        usage=EVAL,
        extras=r"(.*\.)?classifier\.L\.weight_[gv]",
    ),
    Plain(
        name="Learning to Compare, feature encoder",
        conv=r"layer(\d+)\.0",
        norm=r"layer(\d+)\.1",
        blocks=(UNPADDED, UNPADDED, "conv 3 1 1, norm, relu"),
        usage=Usage(lr=0.01, levels="floodsung", grey="floodsung", ink=0),
        least=4,
    ),
    Plain(
        name="PyTorch-MAML (fmu2)",
        conv=r"(?:encoder\.)?conv(\d+)\.conv",
        norm=r"(?:encoder\.)?conv(\d+)\.bn",
        head=r"linear",
        usage=Usage(lr=0.01, steps=5, test_steps=10),
        extras=r"(.*\.)?temp|.*\.running_(mean|var)_\d+",
    ),
    Plain(
        name="MetaOptNet, ProtoNet's encoder",
        conv=r"(?:encoder\.)?(\d+)\.block\.0",
        norm=r"(?:encoder\.)?(\d+)\.block\.1",
        usage=Usage(norm="running", levels="lee2019"),
    ),
    Plain(
        name="R2D2 net",
        conv=r"block(\d+)\.0",
        norm=r"block(\d+)\.1",
        blocks=(*["conv 3 1 1, norm, pool 2 2, leaky 0.1"] * 3, "join, conv 3 1 1, norm, pool 2 2"),
        usage=Usage(norm="running", levels="lee2019"),
        least=4,
    ),
    Plain(
        name="LibFewShot Conv64F or Conv32F",
        conv=r"emb_func\.layer(\d+)\.0",
        norm=r"emb_func\.layer(\d+)\.1",
        head=r"classifier\.layers\.0",
        usage=EVAL,
    ),
    Plain(
        name="parallel-metalearn",
        conv=r"conv(\d+)",
        norm=r"bn(\d+)",
        head=r"[a-z_]+",
        usage=Usage(lr=0.01, steps=5, test_steps=5),
    ),
    Plain(
        name="few-shot (Knagg) prototypical network",
        conv=r"(\d+)\.0",
        norm=r"(\d+)\.1",
        usage=EVAL,
    ),
)
"""Families by their names, the most specific first."""
