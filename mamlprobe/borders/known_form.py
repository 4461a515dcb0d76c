"""Tables that can be read, but whose words or numbers no table has of those that are to be drawn or judged."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mamlprobe.base.errors import UserError


@contextmanager
def known_form(where: str, must: str, advice: str) -> Iterator[None]:
    """Turn errors while a table from a file is summed up, judged or drawn into the user's; `must` is said of the file.

    Raises:
        UserError: there is such an error; the message ends in its words and its place, for who wrote the script.
    """
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "site-packages" not in frame.filename] or frames
        text = (str(error).splitlines() or [""])[0][:100]
        at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        got = f"one that makes no figure ({type(error).__name__}: {text} at {at})"
        raise UserError(where, must, got, advice) from error
