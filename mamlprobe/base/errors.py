"""The user's mistakes: one line that says where, what must hold, what was got and what to do."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake the user can mend.

    The message is one line, ``where: what must hold, got what; what to do.``
    The command line prints it to stderr and exits with code 2.
    """

    def __init__(self, where: str, must: str, got: object, advice: str) -> None:
        line = f"{where}: {must}, got {got}; {advice}"
        super().__init__(" ".join(line.split()))
        self.where, self.must, self.got, self.advice = where, must, str(got), advice

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str, str, str]]:
        """Return what pickle needs, so that a worker process can hand the error to its parent."""
        return UserError, (self.where, self.must, self.got, self.advice)


class Stopped(Exception):
    """The user stopped the work; the message is one line that says what was saved."""


def unknown(where: str, kind: str, name: object, known: Iterable[str]) -> UserError:
    """Return the error for a name that is not among `known`; it names the nearest ones."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5) or names
    return UserError(where, f"the {kind} must be a known one", repr(name), f"did you mean {', '.join(near[:8])}?")
