"""Mistakes on the command line, each reported in one line."""

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.single_kinds import path_fault
from mamlprobe.commands.arguments.options import option_names, unknown_option

SHELLS = ("bash", "zsh")
"""Shells whose completion can be written without another library."""

COMPLETION = {"--tyro-print-completion": 1, "--tyro-write-completion": 2}
"""Options that make a completion file, each with the number of arguments after it: shell, and path if it is written."""

_PATHS = ("--out", "--figure", "--from-table", "--manifest", "--write-manifest", "--data-root", "--runs")
"""Options whose value is a path; if empty it would be the current folder: others refuse an empty value themselves."""

_MANY = ("--set",)
"""Options that may be given many times."""

_MUST, _LONGEST = "the words must make a command", 300
_NOISE = r" \(applied to [^)]*\)| \(required\)| Arguments are applied to .*| Got errors: .*"


def at_home(argv: Sequence[str]) -> list[str]:
    """Replace ``~`` at the start of a word, or of an option's value behind ``=``, as a shell does that saw it alone.

    Raises:
        UserError: the folder of a user that there is not.
    """
    joined = []
    for word in argv:
        option, value = re.fullmatch(r"(--[\w.-]+=)?(.*)", word, re.DOTALL).groups("")  # type: ignore[union-attr]
        if value.startswith("~"):
            whole = os.path.expanduser(value)
            if whole.startswith("~"):
                must = f"{value!r} must begin with the name of a user"
                raise UserError("mamlprobe", must, "none of that name", f"write ./{value} for a file of that name")
            value = whole
        joined.append(option + value)
    return joined


def looked_over(argv: Sequence[str], commands: Collection[str]) -> None:
    """Refuse arguments that the option parser would accept, though nobody means them.

    Raises:
        UserError: an unknown command or kind of file; an empty argument; a path that no file can have; an option given
            twice; a completion that cannot be made.
    """
    if argv and not argv[0].startswith("-") and argv[0] not in commands:
        raise unknown("mamlprobe", "command", argv[0], commands)
    where = " ".join(["mamlprobe", *argv[:1]]) if argv and argv[0] in commands else "mamlprobe"
    before = dict.fromkeys(was for was, word in zip(("", *argv), argv, strict=False) if not word)
    if any(not word.startswith("--") or word in _PATHS for word in before):
        raise UserError(where, "no word may be empty", repr(""), f"leave it out, or see {where} --help")
    for was, word in zip(("", *argv), argv, strict=False):
        option, equals, value = word.partition("=")
        option, value = (option, value) if equals and option in _PATHS else (was, word)
        fault = path_fault(value) if option in _PATHS or not option.startswith("--") else None
        if fault is not None:
            named = option if option in _PATHS else "a word"
            raise UserError(where, f"{named} must be a path that a file can have", fault, "choose another")
    two_words = argv[:1] == ["import"] and len(argv) > 2 and not any(word.startswith("-") for word in argv[1:3])
    if two_words and argv[1] not in KINDS:
        raise unknown("import", "kind of file", argv[1], KINDS)
    options = [word.partition("=")[0].replace("_", "-") for word in argv if re.match(r"--\w", word)]
    twice = [option for option, count in Counter(options).items() if count > 1 and option not in _MANY]
    if twice:
        raise UserError(where, "an option must be given once", f"{twice[0]} twice", "leave one of them out")
    for option in COMPLETION.keys() & set(options):
        _completion(argv, option)


def with_kind(argv: Sequence[str]) -> list[str]:
    """Insert the kind of file that is told by itself after ``import``, where none is named."""
    bare = argv[:1] == ["import"] and len(argv) > 1 and not {*argv[1:]} & {*KINDS, "-h", "--help"}
    return ["import", "auto", *argv[1:]] if bare else list(argv)


KINDS = ("auto", "kao", "state_dict")
"""Words that may follow ``import``."""


def _completion(argv: Sequence[str], option: str) -> None:
    behind = list(argv[argv.index(option) + 1 :]) if option in argv else []
    need = "a shell" if COMPLETION[option] == 1 else "a shell and a file"
    if len(behind) != COMPLETION[option] or len(argv) != len(behind) + 1:
        must = f"{option} must stand alone, followed by {need}"
        raise UserError("mamlprobe", must, repr(" ".join(argv)), f"write mamlprobe {option} bash, or zsh")
    if behind[0] not in SHELLS:
        raise UserError("mamlprobe", "the shell must be bash or zsh", repr(behind[0]), "choose one of them")


def mistake(message: str, argv: Sequence[str], commands: Mapping[str, type]) -> UserError:
    """Return what is wrong with the arguments: an option that the command lacks, else the first part of tyro's box."""
    if (error := unknown_option(argv, option_names(commands))) is not None:
        return error
    lines = [line.strip(" │") for line in re.sub(r"\x1b\[[0-9;]*m", "", message).splitlines() if line[:1] not in "╭╰"]
    parts = re.split(r"\n[─-]+\n", "\n".join(lines))
    if "╭" not in message:  # where boxes cannot be drawn, their titles are parts too
        parts = parts[1:]
    got = re.sub(_NOISE, "", " ".join(parts[0].split())).rstrip(".")
    got = got[:1].lower() + got[1:]
    if "options:" in got and not re.search(r"(?:^|[ ,:])-", got.partition("options:")[2]):
        got = got.replace("options:", "words:")
    if len(got) > _LONGEST:
        got = got[:_LONGEST].rpartition(" ")[0] + " ..."
    where = " ".join(["mamlprobe", *(word for word in argv[:1] if word in commands)])
    return UserError(where, _MUST, got, f"see {where} --help")
