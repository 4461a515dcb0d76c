"""Nets as values: a spec that goes to JSON and back."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.spec import LATER
from mamlprobe.nets.by_layers.layer_words import read_blocks

NetKind = Literal["conv4", "mlp", "module", "layers"]
Order = Literal["conv-bn-relu", "conv-relu-bn"]
Down = Literal["pool", "stride", "unpadded"]
Activation = Literal["relu", "tanh", "softplus", "none"]
MlpNorm = Literal["none", "batch"]

KINDS: tuple[NetKind, ...] = get_args(NetKind)
ORDERS: tuple[Order, ...] = get_args(Order)
DOWNS: tuple[Down, ...] = get_args(Down)
NORMS: tuple[MlpNorm, ...] = get_args(MlpNorm)
WORDS = {"kind": KINDS, "order": ORDERS, "down": DOWNS, "activation": get_args(Activation), "norm": NORMS}


@door()
@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """A net by its settings, as they stand in config.json; the fields of another kind are ignored.

    Raises:
        UserError: an unknown kind; a module without the name of its head; blocks that are none.

    Examples:
        >>> import mamlprobe as mp
        >>> wide = mp.NetSpec(filters=64, down="stride")
        >>> blocks = ("conv 8 3 1 1, norm, relu, pool 2 2", "conv 8 3 1 1, norm, relu")
        >>> stack = mp.NetSpec(kind="layers", stack=blocks)
        >>> own = mp.NetSpec(kind="module", module="my_models:Net", head="fc")
        >>> [spec.named for spec in (wide, stack, own)]
        [None, None, 'my_models:Net']
        >>> mp.NetSpec(kind="resnet")
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: net: the kind must be a known one, got 'resnet'; did you
        mean conv4, mlp, module, layers?
    """

    kind: NetKind = "conv4"
    """conv4; mlp; module: any ``nn.Module`` by its import name; layers: what `stack` says."""
    image: tuple[int, int, int] | None = None
    """C, H, W of the inputs; None takes the data's."""
    filters: int = 32
    """Of conv4: channels of every block."""
    blocks: int = 4
    """Of conv4: how many there are."""
    order: Order = "conv-bn-relu"
    """Of conv4: conv-bn-relu, or conv-relu-bn (Kao et al. 2022)."""
    down: Down = "pool"
    """Of conv4: pool, stride or unpadded, as `conv4` explains them."""
    head_bias: bool = True
    """Of conv4: whether the head has a bias."""
    hidden: tuple[int, ...] = (40, 40)
    """Of mlp: widths of the hidden layers."""
    activation: Activation = "relu"
    """Of mlp: relu, tanh, softplus or none."""
    norm: MlpNorm = "none"
    """Of mlp: none, or batch for a batch norm before every activation."""
    module: str = ""
    """``package.file:Class``, or a function that returns the module; called without arguments."""
    head: str = ""
    """Prefix of the module's head parameters."""
    layers: tuple[str, ...] = ()
    """Modules to record and to freeze by, in order; empty for the module's blocks (see `wrap`)."""
    output: str = field(default="", metadata=LATER)
    """Key, attribute or number of the logits in the module's output; empty looks for them."""
    features: Literal["", "first", "last"] = field(default="", metadata=LATER)
    """first or last: the axis of features of a module's layers; empty decides by the kinds of the layers."""

    stack: tuple[str, ...] = field(default=(), metadata=LATER)
    """The blocks of a net of kind layers, one text each, such as ``conv 64 3 1 1, norm, relu, pool 2 2``."""
    headless: bool = field(default=False, metadata=LATER)
    """The weights are an encoder's: the head was never learned, and is zero."""

    moments: bool = field(default=True, metadata=LATER)
    """Whether there are running moments; imported weights may lack them."""

    @property
    def named(self) -> str | None:
        """Return the name of the module; None for a built net."""
        return self.module if self.kind == "module" else None

    def __post_init__(self) -> None:
        for name, known in WORDS.items():
            if getattr(self, name) not in known:
                raise unknown("net", name, getattr(self, name), known)
        if self.kind == "layers":
            read_blocks(self.stack)
        if self.kind == "module" and not self.head:
            raise UserError(
                "net", "a module must name its head", "none", "set net.head to the last linear layer's name"
            )
