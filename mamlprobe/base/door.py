"""The door of a public function: what is given is checked there, by the annotations, and nowhere behind it."""

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mamlprobe.base.errors import UserError
from mamlprobe.base.kinds import kind_of
from mamlprobe.base.single_kinds import REFUSED, Kind

F = TypeVar("F", bound=Callable[..., Any])

SUCH_AS = {
    "a Net": "conv4(way=5) or wrap(module, head)",
    "a Theta": "init(net, seed=0)",
    "Episodes": "sample(pool, split='test', way=5, shot=1, query=15, tasks=4, seed=0)",
    "a Method": "METHODS['maml']",
    "a Model": "Model(net=net, theta=theta, method=method)",
    "an Experiment": "recipe('maml')",
    "a Pool": "load_pool('glyphs')",
    "a Spectrum": "spectrum(rows)",
    "a DataFrame": "evaluate(net, theta, episodes, variants)",
    "a dict from strings to Methods": "{'keep': method}",
}
"""Kind of an argument -> where one comes from."""


def door(*together: Callable[..., None]) -> Callable[[F], F]:
    """Check the kinds of the arguments of a function, or of the fields of a dataclass, whenever it is called.

    Kinds are those of the annotations (`kinds.kind_of`); whole numbers of numpy become Python's, and lists the tuples
    that are wanted. What must hold of several arguments `together` is checked by functions that raise `UserError`: each
    is called with the arguments that it names, among them `where`, the name of the door. A call that does not fit the
    signature is Python's ``TypeError``.
    """

    def opened(thing: F) -> F:
        if isinstance(thing, type):
            thing.__init__ = _checked(thing.__init__, thing, together)  # type: ignore[misc]
            return thing
        return typing.cast(F, _checked(thing, thing, together))

    return opened


def _checked(function: Callable[..., Any], named: Any, together: tuple[Callable[..., None], ...]) -> Callable[..., Any]:
    """Return the function with its door; `named` is what users call: itself, or its class."""
    parameters = inspect.signature(function).parameters
    order = [name for name, each in parameters.items() if each.kind is not each.KEYWORD_ONLY]
    where = named.__qualname__
    asked = [(check, tuple(inspect.signature(check).parameters)) for check in together]

    @functools.cache
    def ready() -> dict[str, Kind]:
        """Read the annotations at the first call, when every name in them is there."""
        hints = _hints(named)
        kinds = {name: kind_of(hints[name]) for name in parameters if name in hints}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(order, args, strict=False)) | kwargs
        if len(given) != len(args) + len(kwargs) or not given.keys() <= parameters.keys():
            return function(*args, **kwargs)  # Python says what is wrong
        kinds = ready()
        for name, value in given.items():
            if name in kinds:
                given[name] = taken = kinds[name].take(value)
                if taken is REFUSED:
                    raise _refusal(where, parameters.values(), name, kinds[name], value)
        for check, names in asked:
            values = {"where": where} | given
            if all(name in values for name in names):
                check(**{name: values[name] for name in names})
        try:
            return function(**given)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        advice = "give smaller sizes, or fewer at a time"
        raise UserError(where, "the memory must suffice for all at once", "no more of it", advice)

    return checked


def out_of_memory(error: Exception) -> bool:
    """Tell whether the error says that there is no memory left on the CPU; those of GPUs have a class of torch's."""
    return type(error) in (MemoryError, RuntimeError) and (
        isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    )


def _hints(named: Any) -> dict[str, Any]:
    """Return the annotations; names that a module imports for its types alone are the package's public ones."""
    public: dict[str, Any] = {}
    while True:
        try:
            return typing.get_type_hints(named, localns=public or None)
        except NameError as error:
            public[str(error.name)] = getattr(sys.modules["mamlprobe"], str(error.name))


def _refusal(where: str, parameters: Iterable[inspect.Parameter], name: str, kind: Kind, value: Any) -> UserError:
    """Return the error for an argument of the wrong kind; its advice is the call as it should be."""
    asked = [each for each in parameters if each.name != "self" and (each.default is each.empty or each.name == name)]
    call = ", ".join(each.name + "=..." * (each.kind is each.KEYWORD_ONLY) for each in asked)
    example = next((f", {name} such as {text}" for made, text in SUCH_AS.items() if made in kind.name), "")
    listed = "put it in a list, and " if isinstance(value, str) and "of strings" in kind.name else ""
    return UserError(where, f"{name} must be {kind.name}", kind.tell(value), f"{listed}call {where}({call}){example}")
