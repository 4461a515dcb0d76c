"""The public names with their docstrings, the rules these keep, and the pages of docs/api that show them.

python -m tests.api    # writes docs/api/index.md
"""

import ast
import dataclasses
import doctest
import inspect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import mamlprobe

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "api"
INDEX = PAGES / "index.md"

EXTENSION = (
    "draw.tables.FORMS",
    "measure.floors.gaussian_floor",
    "measure.floors.null_floor",
    "measure.procrustes.procrustes",
    "measure.rsa.rsa",
    "measure.stream.stream",
    "nets.net.ForwardPass",
    "reproduce.analysis.Analysis",
    "reproduce.analysis.Claim",
    "runs.experiment.Recipe",
)
"""Names below the front door that people extend the package by; they have examples too."""

SECTIONS = {"Args", "Attributes", "Examples", "Raises", "Returns"}

SHAPE = re.compile(r"[\[(][^\])\n]*\b[BNKQSFCHWRG]\b[^\])\n]*[\])]")
"""A shape in letters, such as [B, R, F] or (C, H, W)."""

PLAIN = {"net", "theta", "episodes", "method", "path", "out", "name_or_path"}
"""Arguments that are the same everywhere, or that the first line speaks of."""

WIDE = 92
"""Characters of an example that a page shows without scrolling."""

ADMONITION = re.compile(r"^(?P<indent> *)(?P<word>\w[\w\s-]*):(?: +\S.*)?$")
"""What a reader of Google's style takes for a section, if the next line is indented deeper."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A public name or a member of a public class."""

    name: str
    doc: str
    types: str = ""
    """Annotations of arguments and return, of a class those of its fields."""
    door: bool = False
    """Whether kinds of arguments are checked, so that it can raise."""
    named: bool = True
    """Whether it is a public name; members of classes need no example."""
    fields: tuple[str, ...] = ()
    """Fields of a dataclass that nothing describes."""
    arguments: tuple[str, ...] = ()
    """Of a function."""


def faults(entry: Entry) -> list[str]:
    """What of the rules for docstrings the entry does not keep."""
    if not entry.doc.strip():
        return ["no docstring"]
    bad = [f"field {name} is not described" for name in entry.fields]
    if entry.named and not inspect.cleandoc(entry.doc).split("\n")[0].endswith((".", "?")):
        bad.append("the first line is no sentence")
    if any(len(line.strip()) > WIDE for line in section(entry.doc, "Examples").splitlines()):
        bad.append("an example is too wide")
    if entry.named and ">>> " not in section(entry.doc, "Examples"):
        bad.append("no example")
    unsaid = [name for name in entry.arguments if not re.search(rf"\b{name}\b", prose(entry.doc))]
    if entry.named and "Options as for" not in entry.doc:
        bad += [f"argument {name} is not described" for name in unsaid if name not in PLAIN]
    if entry.door and "Error: " not in section(entry.doc, "Raises"):
        bad.append("no section Raises")
    text = prose(entry.doc)
    if "Tensor" in entry.types and not SHAPE.search(text) and not re.search("shape|scalar", text):
        bad.append("no shape")
    lines = inspect.cleandoc(entry.doc).splitlines()
    for line, after in itertools.pairwise(lines):
        seen = ADMONITION.match(line)
        inside = seen and seen["indent"]  # entries of a section
        if seen and not inside and seen["word"] not in SECTIONS and after.startswith(" "):
            bad.append(f"{line!r} reads as a section")
    return bad


def section(doc: str, title: str) -> str:
    """The text of a section of a docstring."""
    found = re.search(rf"^{title}:\n((?:(?: .*)?\n)*)", inspect.cleandoc(doc) + "\n", re.MULTILINE)
    return found[1] if found else ""


def prose(doc: str) -> str:
    """A docstring without its examples."""
    return inspect.cleandoc(doc).replace(section(doc, "Examples").rstrip("\n"), "")


@cache
def entries() -> dict[str, Entry]:
    """All public names, members of public classes, and names to extend the package by."""
    found: dict[str, Entry] = {}
    for name in (*mamlprobe.__all__, *EXTENSION):
        thing = value_of(name)
        if inspect.isclass(thing):
            found[name] = of_class(name, thing)
            if name in mamlprobe.__all__:
                found |= {each.name: each for each in members(name, thing)}
        elif inspect.isfunction(thing):
            found[name] = of_function(name, thing)
        else:
            found[name] = Entry(name=name, doc=attribute_docs(import_module(home(name))).get(name.split(".")[-1], ""))
    return found


def home(name: str) -> str:
    """The module in which a name is assigned."""
    if "." in name:
        return f"mamlprobe.{name.rpartition('.')[0]}"
    return f"mamlprobe.{mamlprobe._HOME[name]}"


def value_of(name: str) -> Any:
    """The function, class or constant of that name."""
    if name == "draw":  # the module of this name is the function too
        name = "draw.tables.draw"
    return getattr(import_module(home(name)), name.split(".")[-1]) if "." in name else getattr(mamlprobe, name)


def has_door(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return hasattr(function, "__wrapped__") and code is not None and Path(code.co_filename).stem == "door"


def of_function(name: str, function: Any, *, named: bool = True) -> Entry:
    hints = inspect.signature(function)
    annotations = [*(each.annotation for each in hints.parameters.values()), hints.return_annotation]
    types = " ".join(str(each) for each in annotations if "Callable" not in str(each))
    facts = {"types": types, "door": has_door(function), "arguments": tuple(hints.parameters)}
    return Entry(name=name, doc=function.__doc__ or "", named=named, **facts)


def of_class(name: str, kind: type) -> Entry:
    """A class, with the descriptions of its fields behind its docstring."""
    own = kind.__doc__ or ""
    about = {field: text for each in reversed(ours(kind)) for field, text in attribute_docs(each).items()}
    listed = section(own, "Attributes")
    fields = [each.name for each in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    bare = tuple(each for each in fields if each not in about and not re.search(rf"^ *{each}: ", listed, re.M))
    types = " ".join(str(each.type) for each in dataclasses.fields(kind)) if fields else ""
    doc = (
        inspect.cleandoc(own)
        + "\n\n" * bool(own)
        + "\n\n".join(inspect.cleandoc(about[each]) for each in fields if each in about)
    )
    return Entry(name=name, doc=doc, types=types, door=has_door(kind.__init__), fields=bare)


def members(name: str, kind: type) -> Iterator[Entry]:
    """Public methods and properties that this package wrote."""
    seen: set[str] = set()
    for each in ours(kind):
        for member, value in vars(each).items():
            function = getattr(value, "fget", None) or getattr(value, "func", None) or value
            if not member.startswith("_") and inspect.isfunction(function) and member not in seen:
                seen.add(member)
                yield of_function(f"{name}.{member}", function, named=False)


def ours(kind: type) -> list[type]:
    return [each for each in kind.__mro__ if each.__module__.startswith("mamlprobe")]


@cache
def attribute_docs(thing: Any) -> dict[str, str]:
    """Name -> string behind its assignment, in a module or a class."""
    body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(thing))).body
    if inspect.isclass(thing):
        assert isinstance(body[0], ast.ClassDef)
        body = body[0].body
    docs = {}
    for node, after in itertools.pairwise(body):
        target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[target.id] = str(after.value.value)
    return docs


class Rounded(doctest.OutputChecker):
    """The same text; numbers with a point may differ by 0.02, for processors round differently."""

    NUMBER = re.compile(r"-?\d+\.\d*")

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if super().check_output(want, got, optionflags):
            return True
        numbers = [[float(each) for each in self.NUMBER.findall(text)] for text in (want, got)]
        if len(numbers[0]) != len(numbers[1]):
            return False
        texts = [self.NUMBER.sub("#", text) for text in (want, got)]
        near = all(abs(one - other) <= 0.02 for one, other in zip(*numbers, strict=True))
        return near and super().check_output(texts[0], texts[1], optionflags)


def run_examples(name: str, doc: str) -> str:
    """What the examples of a docstring print that they should not; empty where all is well."""
    test = doctest.DocTestParser().get_doctest(inspect.cleandoc(doc), {"__name__": "__main__"}, name, name, 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(Rounded(), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=said.append)
    return "".join(said)


def shown() -> dict[str, list[str]]:
    """Page -> the names that it shows, in order."""
    return {
        path.stem: re.findall(r"^::: mamlprobe\.([\w.]+)$", path.read_text(), re.MULTILINE)
        for path in sorted(PAGES.glob("*.md"))
        if path != INDEX
    }


def title_of(page: str) -> str:
    return (PAGES / f"{page}.md").read_text().splitlines()[0].removeprefix("# ")


def index() -> str:
    """The page of all names, with the first line of each."""
    text = (
        "# API\n\nEverything that `import mamlprobe as mp` has, by page; the last part of each page is for those who "
        "extend the package. Shapes are in letters: B tasks, N classes of a task (way), K support and Q query items a "
        "class (shot, query), S inner steps, R rows, F features, C, H, W channels, height and width. A mistake in an "
        "argument is a [`UserError`][mamlprobe.UserError] of one line. Every example runs as it stands.\n"
    )
    for page in ORDER:
        rows = [f"| [`{name.split('.')[-1]}`][mamlprobe.{name}] | {first_line(name)} |" for name in shown()[page]]
        text += (
            f"\n## [{title_of(page)}]({page}.md)\n\n| name | what it is or does |\n| :--- | :--- |\n"
            + "\n".join(rows)
            + "\n"
        )
    return text


ORDER = (
    "data",
    "nets",
    "methods",
    "experiments",
    "training",
    "adaptation",
    "representation",
    "contrast",
    "measures",
    "checkpoints",
    "reports",
    "analyses",
    "errors",
)
"""Pages in the order in which a reader needs them."""


def short(shown_name: str) -> str:
    """The name as people write it: a public one without its module."""
    last = shown_name.split(".")[-1]
    public = last in mamlprobe.__all__ and value_of(shown_name) is value_of(last)
    return last if public else shown_name


def first_line(shown_name: str) -> str:
    """The first line of the docstring, as it may stand in a table."""
    thing = value_of(shown_name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        doc = thing.__doc__ or ""
    else:
        doc = attribute_docs(import_module(home(shown_name))).get(shown_name.split(".")[-1], "")
    return inspect.cleandoc(doc).split("\n")[0].replace("|", "\\|")


if __name__ == "__main__":
    INDEX.write_text(index())
