"""Terms, head and prototypes by the command line: the functions themselves, of all tasks, on the same tasks."""

import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.streams import key
from mamlprobe.cli import main
from mamlprobe.commands.subjects.probed_run import open_case
from mamlprobe.commands.subjects.probes import PROBES
from mamlprobe.data.sampling import sample
from mamlprobe.probe.contrast.prototypes import prototype_table, readings
from mamlprobe.probe.contrast.tables import head_table, term_table
from tests.tiny import SMALL, write_images

NEW = ("terms", "head", "prototypes")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "tiny", "L")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, images):
    """Folders of runs by recipe."""
    out, names = tmp_path_factory.mktemp("runs"), ("fomaml", "boil", "multiclass")
    for name in names:
        assert main(["train", name, *shlex.split(SMALL), "--dataset", str(images), "--out", str(out)]) == 0
    return {name: str(next(out.glob(f"{name}-*"))) for name in names}


def direct(probe, case):
    """The probe's function on the tasks of the case, and the columns that tell its rows apart."""
    (episodes,), of = case.batches(), (case.net, case.theta)
    if probe == "terms":
        return term_table(*of, episodes, case.method), ["task", "layer", "term", "quantity"]
    if probe == "prototypes":
        return prototype_table(*of, episodes, case.method), ["task", "variant", "classifier", "quantity"]
    words = {"way": 3, "shot": 1, "query": case.query, "tasks": 25, "seed": key("evaluation")}
    past = sample(case.pool, split="train", **words)
    return head_table(*of, episodes, case.method, past=past), ["task", "quantity"]


@pytest.mark.parametrize("probe", NEW)
def test_table_and_means_are_those_of_the_function(probe, runs, tmp_path, capsys):
    out = tmp_path / "a.csv"
    assert main(["probe", probe, runs["fomaml"], "--episodes", "4", "--query", "3", "--out", str(out)]) == 0
    found, keys = direct(probe, open_case(runs["fomaml"], tasks=4, query=3))
    table = pd.read_csv(out)
    both = table.merge(found, on=keys, suffixes=("", "_direct"), validate="one_to_one")
    assert len(both) == len(found) == len(table)
    np.testing.assert_allclose(both["value"], both["value_direct"], rtol=2e-3, atol=1e-5)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    means = found.groupby(keys[1:])["value"].mean()
    if probe == "terms":
        head = next(k for k, line in enumerate(printed) if line[:1] == ["layer"])
        assert printed[head] == ["layer", "term", "share", "cosine", "norm"]
        row = next(line for line in printed if line[:2] == ["conv2", "noise"])
        values = [means["conv2", "noise", quantity] for quantity in ("share", "cosine", "norm")]
        np.testing.assert_allclose([float(row[k]) for k in (2, 5, 8)], values, atol=6e-4)
    elif probe == "head":
        row = next(line for line in printed if line[:2] == ["alignment,", "past"])
        assert float(row[2]) == pytest.approx(means["alignment, past"], abs=6e-4)
    else:
        row = next(line for line in printed if line[:5] == ["as", "trained,", "1", "step", "cosine"])
        values = [means["as trained, 1 step", "cosine", quantity] for quantity in ("accuracy", "agreement")]
        np.testing.assert_allclose([float(row[k]) for k in (5, 8)], values, atol=6e-4)
        row = next(line for line in printed if line[:5] == ["zeroed,", "1", "step", "dot", "product"])
        assert [row[k] for k in (8, 11, 14)] == ["1.000"] * 3


@pytest.mark.parametrize("probe", NEW)
def test_a_table_gives_its_figure_and_means_again(probe, runs, tmp_path, capsys):
    table, first, again = tmp_path / "t.csv", tmp_path / "first.png", tmp_path / "again.png"
    words = ["--episodes", "3", "--query", "3", "--out", str(table), "--figure", str(first)]
    assert main(["probe", probe, runs["fomaml"], *words]) == 0
    printed = capsys.readouterr().out.replace(str(first), "FIGURE")
    assert main(["probe", probe, "--from-table", str(table), "--figure", str(again)]) == 0
    assert capsys.readouterr().out.replace(str(again), "FIGURE") == printed.replace(f"table: {table}\n", "")
    assert again.read_bytes() == first.read_bytes()


def ends(line):
    """Places and heights of a curve."""
    return np.asarray(line.get_ydata(), float)


def test_figures_hold_the_means(runs):
    case = open_case(runs["fomaml"], tasks=4, query=3)
    tables = {probe: PROBES[probe].table(case) for probe in NEW}
    terms, drawn = tables["terms"], PROBES["terms"].figure(tables["terms"])
    titles = [ax.get_title(loc="left") for ax in drawn.axes]
    parts = ["Share", "Cosine", "Norm"]
    assert titles == [
        f"{letter}  {part}" for letter, part in zip("abcdef", [*parts, *(f"{p}, by pairs" for p in parts)])
    ]
    mean = terms.groupby(["term", "quantity", "layer"])["value"].mean()
    for place, quantity, names in (
        (0, "share", ("interference", "noise", "contrastive")),
        (5, "norm", ("contrastive, same", "noise, different")),
    ):
        lines = {line.get_label(): line for line in drawn.axes[place].get_lines()}
        for name in names:
            np.testing.assert_allclose(ends(lines[name]), mean[name, quantity][["conv1", "conv2"]])
    heads = PROBES["head"].figure(tables["head"]).axes
    assert [ax.get_ylabel() for ax in heads] == ["Frobenius norm", "spread over classes", "times chance"]
    found = tables["head"].groupby("quantity")["value"].mean()
    (dots,) = (line for line in heads[2].get_lines() if line.get_gid() == "dots")
    np.testing.assert_allclose(ends(dots), found[["alignment, past", "alignment, own"]])
    panels = PROBES["prototypes"].figure(tables["prototypes"]).axes
    found = tables["prototypes"].groupby(["quantity", "classifier", "variant"])["value"].mean()
    for ax, quantity in zip(panels, ("accuracy", "agreement", "correlation"), strict=True):
        names = {line.get_label(): line for line in ax.get_lines() if line.get_gid() == "dots"}
        assert set(names) == set(found[quantity].index.get_level_values(0))
        np.testing.assert_allclose(names["cosine"].get_xdata(), found[quantity, "cosine"][list(readings(case.method))])


@pytest.mark.parametrize(
    ("probe", "recipe", "words", "message"),
    [
        *(
            (probe, "multiclass", [], "the head must have a row for each label of a task, got a row for each training")
            for probe in ("contrast", "terms", "prototypes")
        ),
        ("prototypes", "boil", [], "prototypes: the head must adapt, got inner.adapts ['body.*']; choose another run"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(probe, recipe, words, message, runs, capsys):
    assert main(["probe", probe, runs[recipe], "--episodes", "2", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said


def test_past_tasks_need_training_classes(runs, images, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(images / "test", other / "test")
    assert main(["probe", "head", runs["fomaml"], "--episodes", "2", "--dataset", str(other)]) == 2
    said = capsys.readouterr().err
    assert said == "probe: head needs training classes, for past tasks, got splits test; choose data that have some\n"
