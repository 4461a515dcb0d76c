"""The user's mistakes: one line that says where, what must hold, what was got and what to do."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

V = TypeVar("V")

LONGEST = 500
"""Characters of what was got; more of them help nobody."""


class UserError(ValueError):
    """A mistake the user can mend.

    The message is one line, ``where: what must hold, got what; what to do.``
    The command line prints it to stderr and exits with code 2.

    Examples:
        >>> import mamlprobe as mp
        >>> try:
        ...     mp.recipe("mmal")
        ... except mp.UserError as error:
        ...     print(error)
        ...     print(error.advice)
        recipe: the recipe must be a known one, got 'mmal'; did you mean maml, imaml, somaml?
        did you mean maml, imaml, somaml?
    """

    def __init__(self, where: str, must: str, got: object, advice: str) -> None:
        self.where, self.must, self.got, self.advice = (as_text(each) for each in (where, must, got, advice))
        super().__init__(one_line(f"{self.where}: {self.must}, got {self.got}; {self.advice}"))

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str, str, str]]:
        """Return what pickle needs, so that a worker process can hand the error to its parent."""
        return type(self), (self.where, self.must, self.got, self.advice)


class UnknownName(UserError, KeyError):
    """A name that a `Catalogue` does not have: a ``KeyError`` too, as any dict raises."""

    __str__ = Exception.__str__


class Stopped(Exception):
    """The user stopped the work; the message is one line that says what was saved."""


class Catalogue(dict[str, V]):
    """A dict of things by name; asked for another name, it tells the nearest ones.

    Raises:
        UnknownName: by ``catalogue[name]``.
    """

    def __init__(self, kind: str, entries: dict[str, V]) -> None:
        super().__init__(entries)
        self.kind = kind

    def __getitem__(self, name: str) -> V:
        return super().__getitem__(name) if isinstance(name, str) else self.__missing__(name)

    def __missing__(self, name: object) -> NoReturn:
        error = unknown(self.kind, self.kind, name, self)
        raise UnknownName(error.where, error.must, error.got, error.advice)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle needs."""
        return type(self), (self.kind, dict(self))


def unknown(where: str, kind: str, name: object, known: Iterable[str]) -> UserError:
    """Return the error for a name that is not among `known`; it names the nearest ones."""
    names = list(known)
    near = difflib.get_close_matches(as_text(name), names, n=3, cutoff=0.5) or names
    got = as_text(name, plain=repr)
    return UserError(where, f"the {kind} must be a known one", got, f"did you mean {', '.join(near[:8])}?")


def as_text(value: object, plain: Callable[[object], str] = str) -> str:
    """Return what `plain` makes of the value, cut where it is long; its type where that fails."""
    try:
        text = plain(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def one_line(text: str) -> str:
    """Return the text in one line, with control, direction and unpaired characters written out as Python does."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in line)
