"""Any table that the package returns or writes becomes a figure that can be read; others are told in one line."""

import importlib
import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import mamlprobe as mp
from mamlprobe.certificates.contrast import certify_contrast
from mamlprobe.cli import main
from mamlprobe.commands.subjects.probed_run import open_case
from mamlprobe.data.sinusoids import FORMULAS
from mamlprobe.data.sources import load_source
from mamlprobe.draw import probes
from mamlprobe.draw.tables import FORMS
from mamlprobe.draw.tables import draw as by_columns
from mamlprobe.learn.evaluate import query_table
from mamlprobe.probe.contrast import tables as course

PARTS = ["layers", "freeze", "nil", "cosine", "contrast", "terms", "head", "prototypes", "embed", "grid"]


@pytest.fixture(scope="module")
def tables(runs) -> dict[str, pd.DataFrame]:
    """What the public functions return of a small run, by function."""
    cases = [open_case(path, tasks=3) for path in runs]
    (episodes,) = cases[0].batches()
    net, theta, method = cases[0].net, cases[0].theta, cases[0].method
    a, b = (mp.Model(net=case.net, theta=case.theta, method=case.method) for case in cases)
    of = (net, theta, episodes, method)
    return {
        "evaluate": mp.evaluate(net, theta, episodes, mp.variants(net, method, "keep,zero_at_test,nil,freeze")),
        "losses": query_table(net, theta, episodes, {"keep": method}, quantity="loss", steps="last"),
        "similarity": mp.similarity(*of, steps=(1, 2)),
        "one step": mp.similarity(*of, measures=["cka_debiased"], steps=[1]),
        "pair_similarity": mp.pair_similarity(a, b, episodes),
        "cka_grid": mp.cka_grid(*of),
        "pair_grid": mp.pair_grid(a, b, episodes),
        "weight_distance": mp.weight_distance(*of),
        "distances": mp.weight_distance(*of, steps=range(method.inner.test_steps + 1)),
        "contrast_table": mp.contrast_table(*of),
        "cosine_maps": mp.cosine_maps(*of),
        "cosine_classes": mp.cosine_classes(*of),
        "class_geometry": mp.class_geometry(*of),
        "embed": mp.embed(*of),
        "certify": mp.certify(*of),
        "certify_contrast": certify_contrast(*of),
        "term_table": course.term_table(*of),
        "head_table": course.head_table(*of, past=episodes),
        "manifest_table": mp.manifest_table(episodes),
        "by label": mp.manifest_table(episodes).drop(columns=["class", "item"]),
        "by task": mp.manifest_table(episodes)[["task", "set", "row"]],
        "log": mp.load_run(runs[0]).log,
        "describe": cases[0].pool.describe(),
        "ranges": load_source(next(iter(FORMULAS))).describe(),
    }


def written(table: pd.DataFrame) -> pd.DataFrame:
    """The table as CSV and back."""
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


def test_every_table_is_drawn_and_can_be_read(tables, tidy):
    for name, table in tables.items():
        for each in (table, written(table)):
            figure = mp.draw(each)
            assert any(ax.lines or ax.collections for ax in figure.axes), name
            tidy(figure)


@pytest.mark.parametrize("part", PARTS)
def test_every_table_of_the_command_line_is_drawn(part, runs, tmp_path, tidy):
    several = [["--episodes", "3"], [str(runs[1]), "--episodes", "3"]][: 2 if part in ("layers", "grid") else 1]
    for words in several:
        assert main(["probe", part, str(runs[0]), *words, "--out", str(tmp_path / "a.csv")]) == 0
        tidy(mp.draw(pd.read_csv(tmp_path / "a.csv")))
    if part == "freeze":
        assert main(["evaluate", str(runs[0]), "--episodes", "3", "--out", str(tmp_path / "b.csv")]) == 0
        tidy(mp.draw(pd.read_csv(tmp_path / "b.csv")))


def test_the_figure_is_that_of_the_table(tables):
    (ax,) = mp.draw(tables["one step"]).axes
    wanted = tables["one step"].groupby("layer", sort=False)["value"].mean()
    (line,) = [line for line in ax.lines if line.get_gid() == "curve"]
    assert list(line.get_ydata()) == pytest.approx(list(wanted))
    assert [text.get_text() for text in ax.get_xticklabels()] == list(wanted.index)
    steps = mp.draw(tables["similarity"]).axes[0].get_figure().legends[0].get_texts()
    assert [text.get_text() for text in steps][:2] == ["step = 1", "step = 2"]
    (ax,) = mp.draw(tables["losses"]).axes
    assert ax.get_ylabel() == "loss"
    figure = mp.draw(tables["certify"])
    verdicts = [text.get_text() for text in figure.axes[0].texts]
    assert len(verdicts) == len(tables["certify"])
    assert verdicts.count("✓ passes") == (tables["certify"]["verdict"] == "passes").sum() > 0
    assert mp.draw(tables["cka_grid"]).texts[-1].get_text().startswith("Downwards the first moment")
    assert mp.draw(tables["pair_grid"]).texts[-1].get_text().startswith("Downwards the first model")
    assert probes.BODY == course.BODY


def test_names_that_are_numbers_are_names():
    rows = [{"task": t, "layer": layer, "step": 1, "measure": "rsa", "value": 0.5, "floor": 0.1}
            for t in (0, 1) for layer in (0, 3, 10)]  # fmt: skip
    (ax,) = mp.draw(pd.DataFrame(rows)).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "3", "10"]
    assert list(ax.lines[0].get_xdata()) == [0, 1, 2]


GOOD = pd.DataFrame({"variant": ["keep"] * 2, "task": [0, 1], "step": 1, "quantity": "accuracy", "value": [0.5, 0.6]})


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (GOOD.drop(columns="step"), "draw: the table must have the columns task, quantity, value, or variant, step, "),
        (pd.DataFrame({"x": [1]}), "draw: the table must have the columns "),
        (pd.DataFrame(), "got columns none; give a table that the package returns"),
        (GOOD.head(0), "draw: the table must have a row, got none"),
        (GOOD.assign(value="much"), "draw: the column 'value' must hold numbers"),
        (GOOD.assign(value=float("nan")), "draw: the table must have a value, got NaN in every row"),
        (GOOD.assign(run=["a", "b"]), "draw: the table must be of one run, got 2 of column 'run'"),
        (GOOD["value"], "draw: table must be a DataFrame, got Series"),
        ("layers.csv", "draw: table must be a DataFrame, got"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(table, line):
    if line.startswith("draw: the table must have the columns task"):
        table = table.drop(columns="quantity")
        line = "variant, step, value"
    with pytest.raises(mp.UserError) as caught:
        mp.draw(table)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_form_can_be_reached():
    forms = [set(form.split()) for form in FORMS]
    for k, form in enumerate(forms):
        assert not any(earlier <= form for earlier in forms[:k])


def test_the_name_is_the_function_and_the_folder():
    assert mp.draw is importlib.import_module("mamlprobe.draw")
    import mamlprobe.draw.style as style

    assert style.__name__ == "mamlprobe.draw.style"
    assert len(mp.draw(GOOD).axes) == len(by_columns(GOOD).axes) == 1


def test_drawing_a_table_needs_no_torch(tmp_path):
    GOOD.to_csv(tmp_path / "a.csv", index=False)
    code = (
        "import sys, pandas as pd, mamlprobe as mp\n"
        "assert mp.draw(pd.read_csv(sys.argv[1])).axes\n"
        "print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    root = Path(mp.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.csv")], cwd=root, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]", run.stderr
