"""Looks that never change and can be told apart, and files that are whole or not there."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mamlprobe.base.errors import UserError
from mamlprobe.draw import style as st

TOGETHER = {
    "methods": [
        *("maml", "fomaml", "anil", "fo_anil", "boil", "nil", "reptile", "imaml", "meta_sgd", "mamlpp"),
        *("maml_zeroing", "proto_maml"),
    ],
    "arms": ["random init", "x0.7", "x0.5", "zero-init", "zeroing"],
    "moments": ["before", "after"],
    "terms": ["interference", "noise", "contrastive"],
    "pairs": [f"{pair}, {moment}" for moment in ("before", "after") for pair in ("same class", "different classes")],
    "heads": ["as trained", "zeroed at test"],
    "steps": [f"step {k}" for k in range(11)],
}
# What a dichromat sees, in linear RGB (Machado, Oliveira, Fernandes 2009, severity 1).
SIGHT = {
    "full": np.eye(3),
    "protan": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0993], [-0.0039, -0.0481, 1.0520]]),
    "deutan": np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "tritan": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}


def _linear(colour: str) -> np.ndarray:
    part = np.array(to_rgb(colour))
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    white = np.array([0.9505, 1.0, 1.089])
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / white
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_every_known_name_belongs_to_a_group_checked_here():
    assert sorted(itertools.chain(*TOGETHER.values())) == sorted(st.PALETTE)


@pytest.mark.parametrize("group", TOGETHER)
def test_names_drawn_together_differ_without_colour(group):
    looks = [st.PALETTE[name] for name in TOGETHER[group]]
    assert len({look.marker for look in looks}) == len(looks)
    assert "D" not in {look.marker for look in looks}  # the diamond is for published values


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("group", ["methods", "arms", "moments", "terms", "heads"])
def test_colours_drawn_together_differ_for_every_sight(group, sight):
    seen = {name: _lab(SIGHT[sight] @ _linear(st.PALETTE[name].colour)) for name in TOGETHER[group]}
    for (a, left), (b, right) in itertools.combinations(seen.items(), 2):
        assert np.linalg.norm(left - right) > 15, (a, b)


@pytest.mark.parametrize("name", [*st.PALETTE, 1, "another"])
def test_every_colour_stands_out_on_white(name):
    assert 1.05 / (st.luminance(st.looks([name, 2, 3.0])[name].colour) + 0.05) >= 3
    assert st.luminance("#FFFFFF") == pytest.approx(1)
    assert st.luminance("#767676") == pytest.approx(1.05 / 4.542 - 0.05, abs=1e-4)


@pytest.mark.parametrize(("written", "known"), [
    ("MAML", "maml"), ("MAML++", "mamlpp"), ("FO-ANIL", "fo_anil"), ("fo anil", "fo_anil"), ("Meta-SGD", "meta_sgd"),
    ("zero_init", "zero-init"), ("Random Init", "random init"), ("step_3", "step 3"),
])  # fmt: skip
def test_spelling_does_not_change_a_look(written, known):
    assert st.look(written) == st.PALETTE[known]


def test_labels_are_the_papers_spelling():
    assert [st.label(name) for name in ("fo_anil", "FOMAML", "mamlpp", "zero-init", "Omniglot")] == [
        "FO-ANIL", "FOMAML", "MAML++", "zero-init", "Omniglot"]  # fmt: skip


@pytest.mark.parametrize(("text", "typeset"), [
    ("-0.5", "−0.5"), ("zeroing - random init", "zeroing − random init"), ("5-way 1-shot", "5-way 1-shot"),
    ("FO-ANIL", "FO-ANIL"), ("1e-5", "1e−5"), ("layers 1-3", "layers 1-3"), ("(-2, -.3)", "(−2, −.3)"),
    ("mini-ImageNet", "mini-ImageNet"), ("x0.5 - x0.7", "×0.5 − ×0.7"), ("x1 - box2", "x1 − box2"),
])  # fmt: skip
def test_a_minus_sign_is_a_true_one(text, typeset):
    assert st.minus(text) == typeset


def test_decimals_have_a_true_minus_sign_and_zero_none():
    assert [st.decimals(value, 2) for value in (-0.126, -0.004, 0.0, 12.0)] == ["−0.13", "0.00", "0.00", "12.00"]


def test_one_word_for_one_thing():
    assert {st.label(word) for word in ("keep", "kept", "as saved", "as trained")} == {"as trained"}
    assert {st.look(word) for word in ("keep", "kept", "as trained")} == {st.PALETTE["as trained"]}
    assert st.looks(["zeroed", "keep"])["zeroed"] == st.PALETTE["zeroed at test"]
    assert [st.axis_label(name) for name in ("update", "step", "conv_layer")] == [
        "outer updates", "inner steps", "conv layer"]  # fmt: skip


def test_unknown_name_looks_the_same_in_another_process():
    code = "from mamlprobe.draw.style import look; print(tuple(look('prototypes')))"
    env = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(st.__file__).parents[2])}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == str(tuple(st.look("prototypes")))


def test_unknown_names_together_are_told_apart_whatever_their_order():
    names = ["maml", "a", "b", "c", "d", "e", "f"]
    looks = st.looks(names)
    assert list(looks) == names
    assert looks["maml"] == st.PALETTE["maml"]
    assert len(set(looks.values())) == len({look.colour for look in looks.values()}) == len(names)
    assert st.looks(names[::-1]) == looks
    many = st.looks([f"arm {k}" for k in range(40)])
    assert len(set(many.values())) == 40


def test_numbers_get_a_ramp_in_their_order():
    looks = st.looks([5, 1, 3])
    assert list(looks) == [5, 1, 3]
    light = {k: _lab(_linear(look.colour))[0] for k, look in looks.items()}
    assert light[1] + 15 < light[3] < light[5] - 15
    assert len({look.marker for look in looks.values()}) == 3
    assert st.looks(["nan"])["nan"] == st.look("nan")
    assert {look.colour for look in st.looks([1, "nan"]).values()} <= set(st._SPARE_COLOURS)  # "nan" is a word


@pytest.mark.parametrize(("value", "text"), [
    (5, "inner steps = 5"), (0.5, "inner steps = 0.5"), (np.int64(7), "inner steps = 7"), (True, "inner steps = True"),
    ("maml", "MAML"),
])  # fmt: skip
def test_naming(value, text):
    assert st.naming("inner_steps", value) == text


@pytest.mark.parametrize(("width", "inches"), [("full", 6.8), ("column", 3.3)])
def test_canvas_is_as_wide_as_the_page_or_a_column(width, inches):
    figure, axes = st.canvas(2, 3, width=width, ratio=0.5)
    assert axes.shape == (2, 3)
    np.testing.assert_allclose(figure.get_size_inches(), [inches, inches / 3 * 0.5 * 2])


def test_canvas_refuses():
    with pytest.raises(UserError) as error:
        st.canvas(1, 1, width="ful")
    assert str(error.value) == "draw.canvas: the width must be a known one, got 'ful'; did you mean full?"
    with pytest.raises(UserError) as error:
        st.canvas(1, 0)
    assert str(error.value) == ("draw.canvas: a figure must have a cell, got 1 x 0; ask for one row and column or more")


def test_reference_is_a_hollow_diamond_or_a_dashed_line():
    _, axes = st.canvas(1, 1)
    ax = axes[0, 0]
    st.reference(ax, 2, 5)
    st.reference(ax, range(20), range(20))
    st.reference(ax, None, 7, "theirs")
    st.reference(ax, range(20), range(20), kind="marks")
    mark, line, level, marks = ax.get_lines()
    assert (mark.get_marker(), mark.get_linestyle(), mark.get_markerfacecolor()) == ("D", "None", "none")
    assert mark.get_zorder() > 3  # over the dots: it hides nothing
    assert (mark.get_xydata().tolist(), mark.get_label(), mark.get_markeredgecolor()) == (
        [[2, 5]],
        "published",
        st.GREY,
    )
    assert (line.get_marker(), line.get_linestyle(), len(line.get_xdata())) == ("None", "--", 20)
    assert (level.get_label(), level.get_ydata()) == ("theirs", [7, 7])
    assert (marks.get_marker(), marks.get_linestyle()) == ("D", "None")
