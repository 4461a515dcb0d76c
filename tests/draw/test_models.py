"""The figure of a survey."""

import warnings

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mamlprobe.draw.models import DEPTHS, LONGEST, short_names, survey_figure


def table(runs, *, encoders=()):
    rows = [
        {
            "run": run,
            "quantity": quantity,
            "layer": layer,
            "value": 0.1 * n,
            "low": 0.1 * n - 0.05,
            "high": 0.1 * n + 0.05,
        }
        for n, run in enumerate(runs)
        for quantity, layer in (
            ("accuracy", ""),
            ("NIL", ""),
            *(() if run in encoders else (("body frozen", ""), ("similarity", "conv1"), ("similarity", "head"))),
        )
    ]
    return pd.DataFrame(rows).assign(episodes="e")


def test_every_model_keeps_its_line_in_every_panel():
    figure = survey_figure(table(["one", "two", "three"], encoders=["two"]))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["a  Accuracy", "b  What a change costs", "c  Layers in the inner loop"]
    for number, ax in enumerate(figure.axes):
        names = [text.get_text() for text in ax.get_yticklabels()]
        assert names == (["one", "two", "three"] if number % 2 == 0 else [])
        assert ax.get_ylim() == figure.axes[0].get_ylim()


@pytest.mark.parametrize("count", [1, 3, 21])
def test_it_fits_its_sheet(count):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = survey_figure(table([f"run-{n}-of-many-with-a-long-name.pt" for n in range(count)]))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    renderer = canvas.get_renderer()
    sheet = figure.bbox
    for ax in figure.axes:
        legend = ax.get_legend()
        for artist in [*ax.get_yticklabels(), *([legend] if legend else [])]:
            box = artist.get_window_extent(renderer)
            assert box.x0 >= sheet.x0 - 1
            assert box.x1 <= sheet.x1 + 1


def test_accuracy_is_in_percent_and_differing_tasks_are_said():
    rows = table(["a", "b"])
    figure = survey_figure(rows)
    dots = [line for line in figure.axes[0].lines if line.get_gid() == "dots"]
    assert dots[0].get_xdata().tolist() == pytest.approx([0, 10])
    assert "same tasks" in figure.texts[-1].get_text()
    rows.loc[rows["run"] == "b", "episodes"] = "other"
    assert "differ" in survey_figure(rows).texts[-1].get_text()


def test_names_are_short_and_stay_apart():
    names = ["mini_maml_FO_init1__final.pt", "mini_maml_SO_zero__final.pt", "mini_x__final.pt"]
    assert list(short_names(names).values()) == ["maml_FO_init1", "maml_SO_zero", "x"]
    assert short_names(["alone.pt"]) == {"alone.pt": "alone.pt"}
    long = [f"{'a' * 30}{n}{'b' * 30}" for n in "xyz"] + ["q" + "a" * 70, "r" + "a" * 70]
    short = short_names(long)
    assert len(set(short.values())) == len(long)
    assert all(len(each) <= LONGEST + 4 for each in short.values())


def test_of_nets_of_many_layers_those_at_five_depths_are_drawn():
    rows = table(["a", "b"])
    many = [rows[rows["quantity"] != "similarity"]]
    for run, count in (("a", 9), ("b", 18)):
        layers = {"layer": [f"{run}{k}" for k in range(count)], "value": [k / count for k in range(count)]}
        many.append(pd.DataFrame(layers).assign(run=run, quantity="similarity", low=0.0, high=1.0, episodes="e"))
    ax = next(ax for ax in survey_figure(pd.concat(many)).axes if "Layers" in ax.get_title(loc="left"))
    dots = {line.get_label(): list(line.get_xdata()) for line in ax.lines if line.get_gid() == "dots"}
    assert list(dots) == DEPTHS
    assert dots["first layer"] == [0, 0]
    assert dots["half"] == pytest.approx([4 / 9, 8 / 18])
    assert dots["last layer"] == pytest.approx([8 / 9, 17 / 18])
