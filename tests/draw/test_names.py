"""Figures of nets of 2 to 60 layers with names of any length: every text can be read."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import mamlprobe as mp
from mamlprobe.commands.subjects.pairs import PAIRS
from mamlprobe.commands.subjects.probes import PROBES
from mamlprobe.draw.charts.bars import grouped
from mamlprobe.draw.charts.curves import curves
from mamlprobe.draw.charts.heatmaps import grid
from mamlprobe.draw.crowding import crowded
from mamlprobe.draw.layout import broken, caption, width_of
from mamlprobe.draw.names import shortened, stride

KINDS = {
    "built in": lambda n: [*(f"conv{k + 1}" for k in range(n - 1)), "head"],
    "sequential": lambda n: [str(3 * k) for k in range(n)],
    "densenet": lambda n: [*(f"features.denseblock4.denselayer{k + 1}.conv2" for k in range(n - 1)), "classifier"],
    "transformer": lambda n: [*(f"encoder.layers.encoder_layer_{k}" for k in range(n - 1)), "heads.head"],
    "deep": lambda n: [f"model.backbone.stages.{k}.blocks.0.attention.projection.parametrized.dense" for k in range(n)],
}
SLOW = [("sequential", 40), ("densenet", 21), ("transformer", 60), ("deep", 25)]
CASES = [("built in", 2), ("built in", 9), ("densenet", 5)]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]
WORDS = {"run": "r", "method": "maml", "dataset": "d", "split": "test", "seed": 0, "update": 0, "way": 5, "shot": 1}
WORDS |= {"norm": "batch", "episodes": "x", "tasks": 2}


def table_of(part: str, layers: list[str], columns: list[str] | None = None) -> pd.DataFrame:
    """A table as the command line makes it, of noise."""
    noise, tasks, rows = np.random.default_rng(0), (0, 1), []
    if part == "freeze":
        labels = ["none", *(",".join(str(k + 1) for k in range(last)) for last in range(1, len(layers)))]
        rows = [{"variant": f"freeze:{label}", "step": 1} for label in labels]
    elif part == "grid":
        pairs = (("before", "before"), ("before", "after"), ("after", "after"))
        rows = [{"moment_a": a, "moment_b": b, "layer_a": first, "layer_b": second}
                for a, b in pairs for first in layers for second in columns or layers]  # fmt: skip
    elif part == "terms":
        terms = ["interference", "noise", "contrastive", "noise, same", "noise, different"]
        names, quantities = ["body", *layers[:-1]], ("share", "cosine", "norm")
        rows = [{"layer": layer, "term": term, "quantity": quantity}
                for layer in names for term in terms for quantity in quantities]  # fmt: skip
    elif part == "distance":
        quantities = ("distance", "relative", "per parameter")
        rows = [{"layer": layer, "step": 1, "quantity": name} for layer in layers for name in quantities]
    else:
        moments = ("before", "after") if part == "pair" else ("after",)
        rows = [{"layer": layer, "measure": f"measure_{k}", "moment": moment, "floor": 0.1}
                for layer in layers for k in range(5) for moment in moments]  # fmt: skip
        rows = rows if part == "pair" else [{k: v for k, v in row.items() if k != "moment"} for row in rows]
    return pd.DataFrame([{"task": t, **row, "value": noise.random()} for t in tasks for row in rows]).assign(**WORDS)


FIGURES = {"layers": PROBES["layers"].figure, "grid": PROBES["grid"].figure, "freeze": PROBES["freeze"].figure}
FIGURES |= {"terms": PROBES["terms"].figure, "pair": PAIRS["layers"].figure, "distance": mp.draw}


def overlaps(figure: Figure) -> int:
    """Pairs of labels of one axis that touch, drawn as a user does: outside of this package."""
    canvas, count = FigureCanvasAgg(figure), 0
    canvas.draw()
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        labels = [label for label in axis.get_ticklabels() if label.get_visible() and label.get_text()]
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
        count += sum(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[k + 1 :])
    return count


def shown(figure: Figure) -> str:
    """All that is written on the figure."""
    labels = [label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels()]
    return "\n".join(text.get_text() for text in [*labels, *figure.texts])


@pytest.mark.parametrize("part", FIGURES)
@pytest.mark.parametrize(("kind", "count"), CASES)
def test_no_text_lies_upon_another_and_none_is_cut_off(part, kind, count, tidy):
    layers = KINDS[kind](count)
    figure = FIGURES[part](table_of(part, layers))
    assert overlaps(figure) == 0
    tidy(figure)
    assert figure.get_size_inches()[1] < 25
    if kind != "deep" and part != "freeze":  # the middle of longer names may be left out
        written = shown(figure).split("\n")
        assert set(layers[:-1] if part == "terms" else layers) <= set(written)


def test_two_nets_of_other_layers_share_a_key(tidy):
    rows, columns = KINDS["transformer"](45), KINDS["densenet"](50)
    figure = PROBES["grid"].figure(table_of("grid", rows, columns))
    tidy(figure)
    key = [text.get_text() for text in figure.texts if text.get_gid() == "key"]
    assert key[::2] == [str(k + 1) for k in range(95)]
    assert key[1::2] == [*rows, *columns]


def test_the_sheet_grows_with_the_layers():
    for part in ("layers", "grid", "freeze"):
        few, many = (FIGURES[part](table_of(part, KINDS["built in"](n))).get_size_inches()[1] for n in (5, 40))
        assert few + 1 < many


def test_numbers_stand_in_cells_that_hold_them():
    def cells(count):
        figure = PROBES["grid"].figure(table_of("grid", KINDS["built in"](count)))
        return sum(len(ax.texts) for ax in figure.axes)

    assert cells(5) == 3 * 25
    assert cells(9) == cells(21) == 0


def test_numbers_are_those_of_the_key():
    layers = KINDS["transformer"](60)
    figure = PROBES["layers"].figure(table_of("layers", layers))
    key = [text.get_text() for text in figure.texts if text.get_gid() == "key"]
    assert key[1::2] == layers
    labels = figure.axes[0].get_xticklabels()
    assert {label.get_text() for label in labels} - {""} <= set(key[::2])
    assert all(label.get_text() in ("", str(at + 1)) for at, label in enumerate(labels))


def test_a_caption_stands_below_the_key():
    table = pd.DataFrame({"layer": KINDS["densenet"](70), "value": 0.5})
    figure = curves(table, x="layer", hue=None)
    assert not crowded(figure)
    caption(figure, "All of it.")
    assert not crowded(figure)
    assert len([text for text in figure.texts if text.get_gid() == "key"]) == 140


def test_few_names_are_left_alone():
    table = pd.DataFrame({"layer": ["conv1", "conv2", "head"], "value": [0.1, 0.2, 0.3]})
    (ax,) = curves(table, x="layer", hue=None).axes
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {0.0}


def test_names_that_would_be_read_as_one_are_turned():
    layers = ["layer1", "layer2", "layer3", "classifier"]
    rows = [{"layer": name, "value": 0.5, "measure": f"m{k}"} for name in layers for k in range(8)]
    figure = curves(pd.DataFrame(rows), x="layer", hue=None, panel="measure")
    turned = {label.get_rotation() for ax in figure.axes for label in ax.get_xticklabels()}
    assert 90.0 in turned
    assert not crowded(figure, apart=4)


def test_a_map_of_few_long_names_is_wide_enough(tidy):
    table = table_of("grid", KINDS["densenet"](3)).query("task == 0 and moment_b == 'before'")
    tidy(grid(table, i="layer_a", j="layer_b", digits=2))


def test_long_groups_stand_below_one_another(tidy):
    names = [f"adapt:features.denseblock{k}.denselayer1.conv2.parametrizations.weight.original0" for k in range(6)]
    figure = grouped(pd.DataFrame({"variant": names, "value": range(6)}), group="variant", hue=None)
    tidy(figure)
    assert figure.axes[0].get_xlabel() == "value"
    labels = [label.get_text().replace("\n", "") for label in figure.axes[0].get_yticklabels()]
    assert labels == names


def test_words_for_names():
    assert [stride(room, 0.2) for room in (0.3, 0.1, 0.05, 0.011)] == [1, 2, 5, 20]
    short = shortened("features.denseblock4.denselayer16.conv2", 1.0)
    assert width_of(short, 7) <= 1.0
    assert short.startswith("featur")
    assert short.endswith("conv2")
    assert shortened("head", 1.0) == "head"
    assert broken("one two", 3.0) == "one two"
    lines = broken("x" * 200, 1.0).split("\n")
    assert "".join(lines) == "x" * 200
    assert all(width_of(line, 7) <= 1.5 for line in lines)
