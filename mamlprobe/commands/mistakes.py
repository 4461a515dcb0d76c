"""Words that make no command, told in one line."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.commands.options import option_names, unknown_option

SHELLS = ("bash", "zsh")
"""Shells whose completion can be written without another library."""

COMPLETION = {"--tyro-print-completion": 1, "--tyro-write-completion": 2}
"""Options that make a completion file, each with the number of words behind it: shell, and path where it is written."""

_PATHS = ("--out", "--figure", "--from-table", "--manifest", "--data-root", "--log")
"""Options whose word would be the folder that one is in, were it empty; others say themselves what they must be."""

_MUST, _LONGEST = "the words must make a command", 300
_NOISE = r" \(applied to [^)]*\)| \(required\)| Arguments are applied to .*| Got errors: .*"


def looked_over(words: Sequence[str], commands: Collection[str]) -> None:
    """Refuses what a parser of options would take, though nobody means it.

    Raises:
        UserError: an unknown command or kind of file; an empty word; an option given twice; a completion that cannot be
            made.
    """
    if words and not words[0].startswith("-") and words[0] not in commands:
        raise unknown("mamlprobe", "command", words[0], commands)
    where = " ".join(["mamlprobe", *words[:1]]) if words and words[0] in commands else "mamlprobe"
    before = dict.fromkeys(was for was, word in zip(("", *words), words, strict=False) if not word)
    if any(not word.startswith("--") or word in _PATHS for word in before):
        raise UserError(where, "no word may be empty", repr(""), f"leave it out, or see {where} --help")
    if words[:1] == ["import"] and len(words) > 1 and not words[1].startswith("-"):
        kinds = ("kao", "state_dict")
        if words[1] not in kinds:
            raise unknown("import", "kind of file", words[1], kinds)
    options = [word.partition("=")[0].replace("_", "-") for word in words if re.match(r"--\w", word)]
    twice = [option for option, count in Counter(options).items() if count > 1]
    if twice:
        raise UserError(where, "an option must be given once", f"{twice[0]} twice", "leave one of them out")
    for option in COMPLETION.keys() & set(options):
        _completion(words, option)


def _completion(words: Sequence[str], option: str) -> None:
    behind = list(words[words.index(option) + 1 :]) if option in words else []
    need = "a shell" if COMPLETION[option] == 1 else "a shell and a file"
    if len(behind) != COMPLETION[option] or len(words) != len(behind) + 1:
        must = f"{option} must stand alone, followed by {need}"
        raise UserError("mamlprobe", must, repr(" ".join(words)), f"write mamlprobe {option} bash, or zsh")
    if behind[0] not in SHELLS:
        raise UserError("mamlprobe", "the shell must be bash or zsh", repr(behind[0]), "choose one of them")


def mistake(told: str, words: Sequence[str], commands: Mapping[str, type]) -> UserError:
    """What is wrong with the words: an option that their command does not have, else the first part of tyro's box."""
    if (error := unknown_option(words, option_names(commands))) is not None:
        return error
    lines = [line.strip(" │") for line in re.sub(r"\x1b\[[0-9;]*m", "", told).splitlines() if line[:1] not in "╭╰"]
    parts = re.split(r"\n[─-]+\n", "\n".join(lines))
    if "╭" not in told:  # where boxes cannot be drawn, their titles are parts too
        parts = parts[1:]
    got = re.sub(_NOISE, "", " ".join(parts[0].split())).rstrip(".")
    got = got[:1].lower() + got[1:]
    if "options:" in got and not re.search(r"(?:^|[ ,:])-", got.partition("options:")[2]):
        got = got.replace("options:", "words:")
    if len(got) > _LONGEST:
        got = got[:_LONGEST].rpartition(" ")[0] + " ..."
    where = " ".join(["mamlprobe", *(word for word in words[:1] if word in commands)])
    return UserError(where, _MUST, got, f"see {where} --help")
