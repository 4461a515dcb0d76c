"""What a notebook shows of a value: a small table in HTML, without colours of its own, so that dark pages suit it."""

import dataclasses
import html
from collections.abc import Mapping
from typing import Any

from mamlprobe.base.described import summary


def card(title: str, facts: Mapping[str, object], parts: Mapping[str, str] | None = None) -> str:
    """Return a table of facts below a title, every text escaped; `parts` are folded pieces of HTML by their names."""
    rows = "".join(f"<tr><th style='text-align:left'>{_text(n)}</th>{_cell(fact)}</tr>" for n, fact in facts.items())
    folded = "".join(
        f"<details><summary>{_text(name)}</summary>{part}</details>" for name, part in (parts or {}).items()
    )
    return f"<div><strong>{_text(title)}</strong><table><tbody>{rows}</tbody></table>{folded}</div>"


def fields_shown(value: Any) -> str:
    """Return the fields of a dataclass as a card, to be used as its ``_repr_html_``; dataclasses in it are folded."""
    entries = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    inner = {name: fields_shown(entry) for name, entry in entries.items() if dataclasses.is_dataclass(entry)}
    plain = {name: entry for name, entry in entries.items() if name not in inner and entry is not None}
    return card(type(value).__name__, plain, inner)


def _cell(fact: object) -> str:
    return f"<td style='text-align:left'>{_text(fact if isinstance(fact, str) else summary(fact))}</td>"


def _text(text: object) -> str:
    return html.escape(str(text))
