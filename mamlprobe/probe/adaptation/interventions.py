"""The same start under another method at test time: frozen layers, zeroed head, no head (Raghu 2020, Kao 2022)."""

from collections.abc import Sequence
from dataclasses import replace

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net

WORDS = ("keep", "zero_at_test", "nil", "head", "body", "freeze:A-B", "freeze", "adapt:PATTERN")


def freeze(net: Net, method: Method, first: int, last: int) -> Method:
    """Return the method with layers `first` to `last` (counted from 1) frozen in the inner loop.

    Raises:
        UserError: layers that the net does not have, or that own no parameter.
    """
    if not 1 <= first <= last <= len(net.layers):
        raise UserError(
            "freeze",
            f"layers must lie in 1-{len(net.layers)}",
            f"{first}-{last}",
            f"the layers are {', '.join(net.layers)}",
        )
    owning = set(net.parameters.values())
    frozen = tuple(f"!{layer}" for layer in net.layers[first - 1 : last] if layer in owning)
    if not frozen:
        got = ", ".join(net.layers[first - 1 : last])
        raise UserError("freeze", "the layers must own parameters", got, f"those that do are {', '.join(owning)}")
    return replace(method, inner=replace(method.inner, adapts=(*method.inner.adapts, *frozen)))


def prefixes(net: Net, method: Method) -> dict[str, Method]:
    """Freeze every contiguous prefix of the body, from none to all (Raghu et al. 2020, table 1)."""
    body = len(net.layers) - 1
    labels = ["none", *(",".join(str(i + 1) for i in range(last)) for last in range(1, body + 1))]
    frozen = [method, *(freeze(net, method, 1, last) for last in range(1, body + 1))]
    return dict(zip(labels, frozen, strict=True))


def each_frozen(net: Net, method: Method) -> dict[str, Method]:
    """Freeze each layer that owns parameters alone, keyed by name, after "none" (Raghu et al. 2020, section 3.2)."""
    owning = set(net.parameters.values())
    numbered = [(k, name) for k, name in enumerate(net.layers, start=1) if name in owning]
    return {"none": method} | {name: freeze(net, method, k, k) for k, name in numbered}


def nil(method: Method) -> Method:
    """Drop inner loop and head: attention by cosine on the start's features (NIL, Raghu et al. 2020)."""
    return replace(method, readout="cosine", inner=replace(method.inner, test_steps=0))


def zero_at_test(method: Method) -> Method:
    """Set the head to zero before adaptation (Kao et al. 2022)."""
    return replace(method, head="zero_at_test")


def only(method: Method, *patterns: str) -> Method:
    """Return the method whose inner loop adapts only what the patterns select."""
    return replace(method, inner=replace(method.inner, adapts=patterns))


@door()
def variants(net: Net, method: Method, names: str | Sequence[str]) -> dict[str, Method]:
    """Return methods by label from names, in a list or parted by commas.

    ``keep`` as trained, ``zero_at_test``, ``nil``, ``head`` or ``body`` adapts alone, ``freeze:1-3`` freezes these
    layers, ``freeze`` every prefix, ``adapt:PATTERN`` adapts what the pattern selects.

    Frozen layers and NIL are of Raghu et al. 2020 (tables 1 and 4), the head zeroed at test of Kao et al. 2022.

    Raises:
        UserError: an unknown word, layers that the net does not have.

    Examples:
        >>> import mamlprobe as mp
        >>> net, maml = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> variants = mp.variants(net, maml, "keep,head,freeze")
        >>> {label: method.inner.adapts for label, method in variants.items()}
        {'keep': ('*',), 'head': ('head.*',), 'freeze:none': ('*',), 'freeze:1': ('*', '!conv1'),
        'freeze:1,2': ('*', '!conv1', '!conv2')}
        >>> mp.variants(net, maml, "freze")
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: variants: the variant must be a known one, got 'freze'; did
        you mean freeze, freeze:A-B?
    """
    methods: dict[str, Method] = {}
    for word in (part.strip() for part in (names.split(",") if isinstance(names, str) else names)):
        kind, _, rest = word.partition(":")
        if kind == "freeze" and rest:
            first, dash, last = rest.partition("-")
            last = last if dash else first
            if not (first.isdecimal() and last.isdecimal()):
                raise UserError("variants", "freeze must name layers as in freeze:1-3", repr(word), "count from 1")
            methods[word] = freeze(net, method, int(first), int(last))
        elif kind == "freeze":
            methods |= {f"freeze:{label}": value for label, value in prefixes(net, method).items()}
        elif kind == "adapt" and rest:
            methods[word] = only(method, rest)
        elif word in ("head", "body"):
            methods[word] = only(method, f"{word}.*")
        elif word in ("keep", "zero_at_test", "nil"):
            methods[word] = {"keep": method, "zero_at_test": zero_at_test(method), "nil": nil(method)}[word]
        else:
            raise unknown("variants", "variant", word, WORDS)
    return methods
