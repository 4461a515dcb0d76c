"""The documented columns are those of the tables, here and in docs/howto/reports.md."""

import re
from pathlib import Path

import mamlprobe as mp
from mamlprobe.reports.schema import ALWAYS, NUMBERS, OPTIONAL, ORIGIN, QUESTIONS_ASKED, SCHEMA

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "reports.md"


def test_every_table_has_its_columns_in_their_order(whole, waves_run):
    sines = mp.report(waves_run, episodes=2, store=False)
    for report in (whole, sines):
        assert set(report.tables) == set(SCHEMA) == {*ALWAYS, *QUESTIONS_ASKED}
        for name, table in report.tables.items():
            assert list(table.columns) == [each for each in SCHEMA[name] if each not in OPTIONAL], name
        for name, table in report.by_run.items():
            assert [each for each in table.columns if each != "run"] == list(report.tables[name].columns)


def test_columns_that_are_there_only_where_they_say_something(seeds):
    from mamlprobe.reports.report import reported
    from mamlprobe.reports.subject import Entry, TaskChoice
    from mamlprobe.runs.inner import InnerWords

    choice = TaskChoice(episodes=2, split="train", inner=InnerWords(steps=2))
    made = reported([Entry(name="a", run=mp.load_run(seeds[0]))], choice, questions=["accuracy"], store=False)
    accuracy = made.tables["accuracy"]
    assert list(accuracy.columns) == list(SCHEMA["accuracy"])
    assert set(accuracy["inner_loop"]) == {"2 steps"}
    assert set(accuracy["trained_classes"]) == {5}


def test_every_table_of_numbers_says_where_they_come_from():
    for name, columns in SCHEMA.items():
        if "value" in columns and "low" in columns:
            assert columns.keys() >= {"seeds", "tasks", "low", "high", "interval", "estimator", "norm"}, name
            assert next(iter(columns)) == "learner"
    assert SCHEMA["claims"].keys() >= {"seeds", "tasks", "interval", "estimator", "norm"}
    assert NUMBERS.keys() & ORIGIN.keys() == set()


def test_the_page_says_every_column():
    text = PAGE.read_text()
    for name, columns in SCHEMA.items():
        shown = {key: each for key, each in columns.items() if each not in {*ORIGIN.values(), *NUMBERS.values()}}
        for key, meaning in shown.items():
            assert f"| `{name}` | `{key}` | {meaning} |" in text, (name, key)
    for key, meaning in (ORIGIN | NUMBERS).items():
        assert f"| `{key}` | {meaning} |" in text, key
    assert len(re.findall(r"^\| `", text, re.M)) >= len(ORIGIN | NUMBERS)
