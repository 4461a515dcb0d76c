"""The options of each command, and the error for one that it does not have."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import Positional
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from mamlprobe.base.errors import UserError

OptionNames = Mapping[str, Sequence[str]]
"""Command, with its subcommand if it has any -> its options; the empty string -> those of mamlprobe itself."""

HELP = ("-h", "--help")

WORD_LISTS = ConstructorRegistry()
"""How tyro reads words of a list: it shows them and takes any, so that the settings say which word is nearest."""


def _word(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[str] | None:
    """Return how a word of a list is read; None for other types."""
    if get_origin(info.type) is not Literal:
        return None
    known = get_args(info.type)
    shown = "{" + ",".join(known) + "}"
    return PrimitiveConstructorSpec(
        nargs=1, metavar=shown, instance_from_str=lambda given: given[0], is_instance=lambda word: word in known,
        str_from_instance=lambda word: [word],
    )  # fmt: skip


WORD_LISTS.primitive_rule(_word)


def option_names(commands: Mapping[str, type]) -> OptionNames:
    """List the options of every command, as tyro names them after the fields of its dataclass."""
    options: dict[str, Sequence[str]] = {"": (*HELP, "--version")}
    for name, kind in commands.items():
        options[name] = (*HELP, *_names(kind))
        options |= {f"{name} {word}": (*HELP, *_names(each)) for word, each in _kinds(kind).items()}
    return options


def _names(kind: type, prefix: str = "") -> Iterator[str]:
    """Yield the options of a dataclass; those of a nested one begin with its field's name, unless that is empty."""
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        hint, marks = hints[each.name], getattr(hints[each.name], "__metadata__", ())
        plain = get_args(hint)[0] if marks else hint
        called = next((mark.name for mark in marks if getattr(mark, "name", None)), each.name)
        name = called.replace("_", "-")
        if isinstance(plain, type) and is_dataclass(plain):
            unnamed = any(getattr(mark, "name", None) == "" for mark in marks)
            yield from _names(plain, prefix if unnamed else f"{prefix}{name}.")
        elif Positional not in marks and not any(map(is_dataclass, map(_plain, get_args(plain)))):
            yield f"--{prefix}{name}"
            if plain is bool:
                yield f"--{prefix}no-{name}"


def _kinds(kind: type) -> dict[str, type]:
    """Return the subcommands of a dataclass by name: the dataclasses that a field may be one of."""
    hints = get_type_hints(kind, include_extras=True)
    kinds = {}
    for each in fields(kind):
        for one in get_args(_plain(hints[each.name])):
            if is_dataclass(_plain(one)) and hasattr(one, "__metadata__"):
                kinds[next(mark.name for mark in one.__metadata__ if getattr(mark, "name", None))] = _plain(one)
    return kinds


def _plain(hint: Any) -> Any:
    """Return a type without its annotations."""
    return get_args(hint)[0] if hasattr(hint, "__metadata__") else hint


def unknown_option(argv: Sequence[str], known: OptionNames) -> UserError | None:
    """Report the options that their command does not have, which commands have them, and which names are nearest.

    None if the command has them all.
    """
    command = next(key for key in (" ".join(argv[:2]), *argv[:1], "") if key in known)
    behind = argv[: argv.index("--")] if "--" in argv else argv
    typed = [word.partition("=")[0] for word in behind if re.match(r"--?[A-Za-z_]", word)]
    strange = [word for word in dict.fromkeys(typed) if _spelled(word) not in known[command]]
    if not strange:
        return None
    got: list[str] = []
    near: list[str] = []
    inside: list[str] = []
    for word in strange:
        homes = [name for name, options in known.items() if _spelled(word) in options]
        got.append(word + (f" (an option of {', '.join(homes)})" if homes else ""))
        near += _nearest(word, known[command], by_spelling=not homes)
        inside += [name for name in homes if name != command and name.startswith(f"{command} ".lstrip())]
    must, advice = "the options must be those of this command", f"see {_called(command)} --help"
    if inside:
        named = [name for name in dict.fromkeys(inside) if set(name.split()) <= set(argv)]
        must = "an option must come behind its command"
        advice = f"write it behind {' or '.join(named)}" if named else "name one of them first"
    elif near:
        advice = f"did you mean {', '.join(dict.fromkeys(near))}?"
    return UserError(_called(command), must, ", ".join(got), advice)


def _called(command: str) -> str:
    return f"mamlprobe {command}".rstrip()


def _spelled(word: str) -> str:
    """Spell an option as its command does."""
    return word.replace("_", "-")


def _parts(option: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", option.lower().replace("_", "-"))


def _nearest(typed: str, options: Sequence[str], *, by_spelling: bool) -> list[str]:
    """Return options like the one typed: of the same letters; else with the same words; else spelled similarly."""
    parts, options = _parts(typed), [name for name in options if name.startswith("--")]
    same = [name for name in options if "".join(_parts(name)) == "".join(parts)]
    more = [name for name in options if set(parts) < set(_parts(name))]
    fewer = [name for name in options if set(_parts(name)) < set(parts)]
    if same or more or fewer or not by_spelling:
        return same or more or fewer
    names = {name.lstrip("-"): name for name in options}
    return [names[name] for name in difflib.get_close_matches(typed.lstrip("-"), names, n=3, cutoff=0.8)]
