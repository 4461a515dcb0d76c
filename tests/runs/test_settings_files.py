"""The small files of a run, as they are read: settings, where it comes from, and the mark of its end."""

import json

import jsonschema
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import from_dict, to_dict
from mamlprobe.recipes import RECIPES
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.settings_files import ENV, YOUNGER, imported, kept_names, read_env, read_settings, settings_schema


def test_damaged_settings(run):
    path = run.path / "config.json"
    text = path.read_text()
    lines = {
        text[: len(text) // 2]: r"config.json: the file must be whole JSON, got .*; restore it or train the run again",
        "[]": r"config.json: the file must hold a table of fields, got list; restore it",
        "\x00\xff": r"config.json: the file must be whole JSON",
        text.replace('"format": 1', '"format": 9'): r"the format must be 1, got 9; use the version that wrote it",
        text.replace('"way"', '"wey"'): r"the field must be a known one, got 'wey'; did you mean way",
        text.replace('"way": 3', '"way": "3"'): r"config.json.way: the value must be of type",
        text.replace('"way": 3', '"way": 0'): r"experiment: way must be at least 1, got 0",
    }
    for broken, line in lines.items():
        path.write_bytes(broken.encode("latin-1"))
        with pytest.raises(UserError, match=line):
            load_run(run.path)


def written(path, values):
    path.write_text(json.dumps(values))
    return path


def test_settings_are_all_fields_but_the_number_of_the_format(run, tmp_path):
    found = read_settings(run.path / "config.json")
    assert found | {"format": 1} == json.loads((run.path / "config.json").read_text())
    assert "format" not in found
    assert read_settings(written(tmp_path / "a.json", {"format": 1, "x": [1, {"y": None}]})) == {"x": [1, {"y": None}]}


@pytest.mark.parametrize("number", [0, 2, 1.0, True, "1", None])
@pytest.mark.parametrize("read", [read_settings, read_env])
def test_another_format_is_refused(tmp_path, read, number):
    """Also a number that Python takes for one; None is its absence."""
    values = {} if number is None else {"format": number}
    line = rf"a.json: the format must be 1, got {number}; use the version that wrote it"
    with pytest.raises(UserError, match=line):
        read(written(tmp_path / "a.json", values))


STRETCH = {"torch": "2.6", "threads": 2, "chunk": None, "recompute": False, "from": 3, "seeds": [0, 1]}


def test_an_older_file_is_brought_up_to_this_version(tmp_path):
    """What it lacks is as it was then; what it has, and what nobody knows, is left as it is."""
    path = tmp_path / "env.json"
    assert read_env(written(path, {"format": 1})) == {"format": 1, **YOUNGER}
    whole = {"format": 1, **STRETCH, "precision": "tf32", "seconds": 1.5, "earlier": [STRETCH], "weather": {"rain": 1}}
    assert read_env(written(path, whole)) == whole


FACTS = {"name": "a", "source": "b", "digest": "c", "mean": [0.5], "std": [1.0]}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("torch", None, 2),
        ("threads", 4, "4"),
        ("recompute", True, 1),
        ("from", 0, None),
        ("seeds", [3], ["3"]),
        ("precision", "tf32", None),
        ("seconds", 3, "3"),
        ("data", FACTS, {**FACTS, "mean": 0.5}),
        ("earlier", [{}], {}),
        ("assumed", ["steps"], "steps"),
        ("source", {"file": "x"}, "x"),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path, field, good, bad):
    """In the file itself, and in one of its earlier stretches, which are counted from 0."""
    path = tmp_path / "env.json"
    assert field in ENV
    assert read_env(written(path, {"format": 1, field: good}))[field] == good
    with pytest.raises(UserError, match=rf"env.json.{field}(.mean|\[0\])?: the value must be of type"):
        read_env(written(path, {"format": 1, field: bad}))
    with pytest.raises(UserError, match=rf"env.json.earlier 1.{field}(.mean|\[0\])?: the value must be of type"):
        read_env(written(path, {"format": 1, "earlier": [{field: good}, {field: bad}]}))


def test_files_that_are_not_whole_say_what_to_do(tmp_path):
    path = tmp_path / "a.json"
    for text in ('{"format": 1', "", "[1]"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"; restore it or train the run again$"):
            read_settings(path)
        with pytest.raises(UserError, match=r"; restore it, or delete it: where the run comes from is not known then$"):
            read_env(path)


def test_the_mark_of_an_import(tmp_path):
    path = tmp_path / "done"
    for content, wanted in ((b"imported\n", True), (b"imported", False), (b"12 updates\n", False), (b"", False)):
        path.write_bytes(content)
        assert imported(path) is wanted


@pytest.mark.parametrize("kind", ["a link", "a folder"])
def test_what_is_no_regular_file_is_not_read(tmp_path, kind):
    (tmp_path / "target").write_text('{"format": 1}')
    path = tmp_path / "there"
    if kind == "a link":
        path.symlink_to(tmp_path / "target")
    else:
        path.mkdir()
    for read in (read_settings, read_env, imported):
        with pytest.raises(UserError, match="there"):
            read(path)


def test_names_of_classes_are_kept_unless_they_make_the_file_large():
    assert kept_names(f"class {number}" for number in range(3)) == ["class 0", "class 1", "class 2"]
    assert len(kept_names(["x" * 100] * 2_000)) == 2_000
    assert kept_names(["x" * 100] * 3_000) == []


def config_of(experiment):
    return {"format": 1, "image": [3, 84, 84], **to_dict(experiment)}


def test_configs_of_all_recipes_fit_the_schema():
    check = jsonschema.Draft202012Validator(settings_schema())
    check.check_schema(check.schema)
    for recipe in RECIPES.values():
        for experiment in recipe.sizes.values():
            check.validate(config_of(experiment))
    check.validate(config_of(Experiment()) | {"image": None, "classes": 64})
    check.validate({})  # what is absent has its default


@pytest.mark.parametrize(
    "change",
    [
        {"ways": 5},
        {"way": "5"},
        {"labels": "episodes"},
        {"image": [1, 28]},
        {"format": 2},
        {"method": {"head": "kept"}},
        {"method": {"inner": {"step": 3}}},
        {"method": {"outer": {"terms": ["nois"]}}},
        {"net": {"kind": "conv"}},
        {"data": {"rotations": "all"}},
    ],
)
def test_what_cannot_be_read_does_not_fit_it(change):
    check = jsonschema.Draft202012Validator(settings_schema())
    assert not check.is_valid(config_of(Experiment()) | change)
    if not change.keys() & {"image", "format"}:
        with pytest.raises(UserError):
            from_dict(Experiment, change)
