"""A right figure passes every check; each check sees the figure that breaks its rule, and no other does."""

import numpy as np
import pytest
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from mamlprobe.draw.marks import mark_bar
from mamlprobe.draw.style import style
from tests.looks.checks import CHECKS, alike, faults
from tests.looks.marks import Ink


def right() -> tuple[Figure, np.ndarray]:
    """A figure of two panels without a fault, and its axes."""
    with style():
        figure = Figure(figsize=(6.8, 3), layout="constrained")
        axes = figure.subplots(1, 2)
        for letter, ax in zip("ab", axes):
            ax.set_title(f"{letter}  Panel")
            ax.plot([0, 1, 2], [1, 2, 3], "o-", color="#0072B2", label="one")
            ax.plot([0, 1, 2], [2, 3, 4], "s--", color="#D55E00", label="two")
            ax.fill_between([0, 1, 2], [0.5, 1.5, 2.5], [1.5, 2.5, 3.5], color="#0072B2", alpha=0.17, linewidth=0)
            ax.axhline(0.6, color="#CCCCCC", label="chance", gid="aside")
            ax.axvspan(0.5, 5, color="#F5F5F5", zorder=0)
            ax.set(xlabel="step", ylabel="accuracy (%)", xlim=(-0.2, 2.2), ylim=(0, 5))
    return figure, axes


def picture(values, *, cmap="RdBu_r", norm=None) -> Figure:
    """A map of colours with its bar."""
    with style():
        figure = Figure(figsize=(3.3, 3), layout="constrained")
        ax = figure.subplots()
        image = ax.imshow(values, cmap=cmap, norm=norm)
        ax.set_xticks(range(2), ["conv1", "conv2"])
        ax.set_yticks([])
        figure.colorbar(image, ax=ax, location="bottom", label="cosine")
    return figure


def seen(figure: Figure) -> set[str]:
    """The checks that fail."""
    return {fault.split(":")[0] for fault in faults(figure)}


def test_a_right_figure_has_no_fault():
    assert faults(right()[0]) == []
    assert faults(picture([[-1.0, 0.5]], norm=TwoSlopeNorm(0, -1, 1))) == []
    assert faults(picture([[0.1, 0.5]], cmap="viridis")) == []
    assert faults(picture([[-0.01, 0.5]], cmap="viridis")) == []  # noise around nothing is no second sign


SPOILT = {
    "texts overlap": lambda figure, ax: [figure.text(0.5, 0.03, "aaaaaaaa"), figure.text(0.51, 0.03, "bbbbbbb")],
    "off the sheet": lambda figure, ax: figure.text(0.97, 0.01, "a long text"),
    "outside its axes": lambda figure, ax: ax.plot([1], [5.5], "v", color="#0072B2"),
    "too small": lambda figure, ax: ax.set_title("a  Panel", fontsize=5.5),
    "pale text": lambda figure, ax: ax.text(1.5, 0.2, "pale", color="#999999"),
    "pale mark": lambda figure, ax: ax.plot([0, 1], [4, 4], "x:", color="#AAAAAA", label="three"),
    "alike": lambda figure, ax: ax.plot([0, 1], [4, 4], "o-", color="#0078B8", label="three"),
    "unnamed axis": lambda figure, ax: ax.set_xlabel(""),
    "too many lines": lambda figure, ax: [ax.plot([0, 2], [4, 4], m, color="black") for m in ("^:", "v:", "<:", ">:")],
    "no letters": lambda figure, ax: ax.set_title("Panel"),
    "hyphen for minus": lambda figure, ax: ax.text(1.5, 0.1, "-0.3"),
    "scale of colours": lambda figure, ax: ax.imshow([[0.0, 1.0]], vmin=0, vmax=0.9, extent=(0, 1, 4, 5)),
}  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_sees_what_breaks_its_rule(check):
    figure, axes = right()
    with style():
        SPOILT[check](figure, axes[0])
        if check == "scale of colours":
            axes[0].set_aspect("auto")
            axes[0].set(xlim=(-0.2, 2.2), ylim=(0, 5))
    assert seen(figure) == {check}


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda figure, ax: figure.set_size_inches(7.5, 3), "off the sheet"),
        (lambda figure, ax: figure.set_size_inches(6.8, 10), "off the sheet"),
        (lambda figure, ax: ax.set_ylim(1, 5), "outside its axes"),  # band, chance line
        (lambda figure, ax: ax.vlines([1], 4, 6, color="black"), "outside its axes"),
        (lambda figure, ax: ax.scatter([3], [2], color="black"), "outside its axes"),
        (lambda figure, ax: ax.bar([1], [6], color="black", zorder=2), "outside its axes"),
        (lambda figure, ax: ax.vlines([1], 4, 4.5, color="#DDDDDD"), "pale mark"),
        (lambda figure, ax: ax.scatter([1], [2], color="#DDDDDD"), "pale mark"),
        (lambda figure, ax: ax.plot([0, 1], [4, 4], "x:", color="#0072B2", alpha=0.3), "pale mark"),
        (lambda figure, ax: ax.set_ylabel(""), "unnamed axis"),
    ],
)
def test_kinds_of_marks_and_sizes_are_seen(spoil, check):
    figure, axes = right()
    with style():
        spoil(figure, axes[0])
        if check != "outside its axes":
            axes[0].set(xlim=(-0.2, 2.2), ylim=(0, 5))
        elif axes[0].get_ylim()[0] == 0:
            axes[0].set(xlim=(-0.2, 2.2))
    assert seen(figure) == {check}


def test_a_mark_may_leave_its_axes_if_the_figure_says_so():
    figure, axes = right()
    with style():
        axes[0].plot([1], [6], "^", color="black", gid="beyond")
        assert seen(figure) == {"outside its axes"}
        axes[0].set_title("a  Arrow: beyond 5")
    assert faults(figure) == []


def test_a_neighbour_names_an_axis_only_of_the_same_range():
    figure, (_, second) = right()
    second.set_ylabel("")
    assert faults(figure) == []
    second.set_ylim(0, 6)
    assert seen(figure) == {"unnamed axis"}


@pytest.mark.parametrize(
    "figure",
    [
        picture([[-1.0, 0.5]], cmap="viridis", norm=Normalize(-1, 1)),
        picture([[-1.0, 0.5]], norm=Normalize(-1, 0.5)),
        picture([[0.0, 2.0]], cmap="viridis", norm=Normalize(0, 1)),
    ],
)
def test_a_scale_that_cuts_or_leans_is_seen(figure):
    assert seen(figure) == {"scale of colours"}


def test_a_scale_may_diverge_from_a_marked_value():
    figure = picture([[-0.1, 0.5]], norm=Normalize(-0.4, 0.6))
    assert seen(figure) == {"scale of colours"}
    mark_bar(figure, 0.1, "initial")
    assert faults(figure) == []


def test_an_axis_of_words_names_itself_and_one_of_numbers_does_not():
    figure, (first, _) = right()
    with style():
        first.set(xlabel="", xticks=[0, 1], xticklabels=["zeroing", "×0.5"])
        assert faults(figure) == []
        first.set(xticks=[0, 1], xticklabels=["zeroing", "−0.5"])
    assert seen(figure) == {"unnamed axis"}


def test_names_of_blocks_name_the_axis_below_a_map():
    figure, (first, _) = right()
    first.set_xlabel("")
    with style():
        first.text(0.5, -0.2, "support", gid="block", transform=first.transAxes)
    assert faults(figure) == []
    first.texts[0].set_visible(False)
    assert seen(figure) == {"unnamed axis"}


def test_marks_are_alike_by_colour_for_every_sight_if_nothing_else_differs():
    def ink(colour, marker="o", stroke="-", hatch=""):
        return Ink(tuple(int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)), marker, stroke, hatch)

    assert alike(ink("#D55E00"), ink("#009E73"))  # one grey
    assert alike(ink("#0072B2"), ink("#0075B5"))
    assert not alike(ink("#D55E00"), ink("#009E73", "s"))
    assert not alike(ink("#D55E00"), ink("#009E73", stroke="--"))
    assert not alike(ink("#D55E00"), ink("#009E73", hatch="//"))
    assert not alike(ink("#000000"), ink("#D55E00"))
