"""Words that a reader of the field's papers would not guess are no identifiers, and docstrings begin with a verb."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted(path for room in ("mamlprobe", "analyses") for path in (ROOT / room).rglob("*.py"))
RETIRED = {"found", "words", "own", "mine", "kept", "there", "beside", "told", "held", "still"}


def retired(source: str) -> set[str]:
    """Identifiers of the source that are retired, with or without an underscore in front; not names of modules."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.ImportFrom():
                names |= {each.asname for each in node.names if each.asname}
    return names & (RETIRED | {f"_{word}" for word in RETIRED})


def test_no_retired_word_names_anything():
    bad = {str(path.relative_to(ROOT)): words for path in FILES if (words := retired(path.read_text()))}
    assert bad == {}


def test_a_retired_word_is_seen():
    assert retired("def f(found, *, own_rows=1):\n    return self.told + _kept + f'{mine}'") == {
        "found",
        "told",
        "_kept",
        "mine",
    }
    assert retired('"""found"""\nx = "told"  # held') == set()


def test_the_vocabulary_has_one_meaning_a_word():
    rows = re.findall(r"^\| ([^|]+) \| ", (ROOT / "docs" / "vocabulary.md").read_text(), re.M)[1:]
    terms = [term for row in rows for term in row.split(", ")]
    assert 40 <= len(terms) <= 60
    assert len(set(terms)) == len(terms)


def test_types_of_the_front_door_say_every_public_name():
    """What editors see under TYPE_CHECKING is what is imported when it is first used."""
    tree = ast.parse((ROOT / "mamlprobe" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (node.module, each.name) for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for each in node.names
    }
    import mamlprobe

    homes = {name: f"mamlprobe.{home}" for name, home in mamlprobe._HOME.items()}
    assert {name for _, name in seen} == homes.keys()
    assert all(module.startswith(homes[name]) for module, name in seen)
