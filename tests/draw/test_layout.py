"""Legends, captions, several panels and the pictures of a data set."""

import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.charts.heatmaps import colour_bar, draw_map
from mamlprobe.draw.layout import caption, composite, contact_sheet, fold, legend, lettered, panel
from mamlprobe.draw.style import canvas


def test_contact_sheet_holds_every_picture_in_its_place():
    images = np.random.default_rng(0).integers(0, 256, size=(3, 4, 10, 8), dtype=np.uint8)
    figure = contact_sheet(images, row_labels=["Latin", "Greek", "Canadian Aboriginal"])
    (ax,) = figure.axes
    mosaic = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert mosaic.shape == (3 * 11 - 1, 4 * 9 - 1)
    for r in range(3):
        for c in range(4):
            np.testing.assert_allclose(mosaic[11 * r : 11 * r + 10, 9 * c : 9 * c + 8], images[r, c] / 255)
    assert np.isnan(mosaic[10]).all()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["Latin", "Greek", "Canadian Aboriginal"]
    np.testing.assert_allclose(ax.get_yticks(), [5, 16, 27])


def test_contact_sheet_fills_its_width_and_cuts_no_label(tidy):
    figure = contact_sheet(np.ones((2, 5, 7, 7)), row_labels=["a", "a rather long label of a row"], width="column")
    (ax,) = figure.axes
    tidy(figure)
    assert ax.get_position().x1 == pytest.approx(1)
    width, height = figure.get_size_inches()
    assert ax.get_position().width * width / height == pytest.approx(39 / 15)  # pixels stay square
    bare = contact_sheet(np.ones((2, 5, 7, 7)))
    assert bare.axes[0].get_position().x0 == 0


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_contact_sheet_in_colour(top):
    images = np.zeros((1, 2, 4, 4, 3))
    images[0, 1, ..., 2] = top
    mosaic = contact_sheet(images).axes[0].images[0].get_array()
    np.testing.assert_array_equal(mosaic[0, 0], [0, 0, 0])
    np.testing.assert_array_equal(mosaic[0, 4], [1, 1, 1])
    np.testing.assert_array_equal(mosaic[0, 5], [0, 0, 1])


def test_contact_sheet_refuses():
    with pytest.raises(UserError) as error:
        contact_sheet(np.zeros((2, 3, 8)))
    assert str(error.value) == (
        "draw.contact_sheet: images must have axes [rows, cols, H, W] or [rows, cols, H, W, 3], got [2, 3, 8]; "
        "reshape them"
    )
    with pytest.raises(UserError, match=r"got \[0, 3, 8, 8\]; reshape them"):
        contact_sheet(np.zeros((0, 3, 8, 8)))
    with pytest.raises(UserError) as error:
        contact_sheet(np.zeros((2, 3, 8, 8)), row_labels=["a"])
    assert str(error.value) == "draw.contact_sheet: there must be 2 row labels, got 1; give one a row"


def test_legend_names_each_label_once_and_makes_room():
    figure, axes = canvas(1, 2)
    for ax in axes.flat:
        ax.plot([0, 1], label="both")
    axes[0, 1].plot([1, 0], label="second")
    height = figure.get_size_inches()[1]
    legend(figure, axes.flat)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["both", "second"]
    assert figure.get_size_inches()[1] > height
    bare, axes = canvas(1, 1)
    legend(bare, axes.flat)
    assert not bare.legends


@pytest.mark.parametrize("count", [3, 7, 12])
@pytest.mark.parametrize("width", ["full", "column"])
def test_a_legend_fits_its_figure(count, width, tidy):
    figure, axes = canvas(1, 1, width=width)
    for k in range(count):
        axes[0, 0].plot([0, 1], label=f"name {k}, " + "long " * (k % 3))
    legend(figure, axes.flat)
    tidy(figure)
    box = figure.legends[0].get_window_extent()
    assert box.y0 >= axes[0, 0].get_window_extent().y1  # outside the data


def test_caption_is_below_all_and_fits(learning, tidy):
    figure, axes = canvas(1, 1)
    axes[0, 0].set_xlabel("outer updates")
    height = figure.get_size_inches()[1]
    caption(figure, "Mean and 95 % interval over three seeds; 600 tasks each, drawn once; one inner step of 0.4.")
    assert figure.get_size_inches()[1] == pytest.approx(height + 0.16)
    tidy(figure)
    with pytest.raises(UserError) as error:
        caption(figure, "word " * 100)
    assert str(error.value).startswith("draw.caption: a caption must fit in 4 lines of 6.7 inches, got 5 lines of ")
    assert str(error.value).endswith("; shorten it")


def test_caption_has_lines_of_the_figures_width(tidy):
    figure, axes = canvas(1, 1, width="column")
    axes[0, 0].set_xlabel("outer updates")
    height = figure.get_size_inches()[1]
    caption(figure, "Mean and 95 % interval over three seeds; 600 tasks each, drawn once; one inner step of 0.4.")
    assert figure.get_size_inches()[1] == pytest.approx(height + 0.28)
    assert figure.texts[-1].get_text().count("\n") == 1
    tidy(figure)
    with pytest.raises(UserError, match="must fit"):
        caption(figure, "w" * 100)


def test_fold_breaks_at_blanks_only():
    assert fold("Omniglot 20-way", 0.6) == "Omniglot\n20-way"
    assert fold("Omniglot 20-way", 3) == "Omniglot 20-way"
    assert fold("unbreakable", 0.01) == "unbreakable"


def test_composite_letters_its_panels_and_gives_each_its_legend(learning, similarity, tidy):
    one = learning[learning["setting"] == "5-way 1-shot"]

    def first(ax):
        draw_curves(ax, one, x="update", hue="arm")

    def second(ax):
        draw_curves(ax, similarity, x="layer", hue="method", floor="floor")

    def third(ax):
        colour_bar(draw_map(ax, similarity, i="method", j="layer", aspect="auto"), ax, label="CKA")

    figure = composite([("Learning", first), ("Reuse", second), ("Map", third), ("Again", first)])
    axes = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in axes] == ["a  Learning", "b  Reuse", "c  Map", "d  Again"]
    legends = [ax.get_legend() and [text.get_text() for text in ax.get_legend().get_texts()] for ax in axes]
    assert legends == [["zeroing", "random init", "zero-init"], ["MAML", "BOIL", "null floor"], None,
                       ["zeroing", "random init", "zero-init"]]  # fmt: skip
    tidy(figure)
    tops = [ax._left_title.get_window_extent() for ax in axes[:3]]
    assert max(box.y0 for box in tops) - min(box.y0 for box in tops) < 1  # the titles of a row are in line
    for ax in (axes[0], axes[1]):
        assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1 - 1
    with pytest.raises(UserError) as error:
        composite([])
    assert str(error.value) == "draw.composite: there must be a drawing, got none; give a title and a function"


def test_letters_go_on_after_z_and_one_panel_has_none():
    assert [lettered(at, "x", 30) for at in (0, 25, 26, 27, 52)] == ["a  x", "z  x", "aa  x", "ab  x", "ba  x"]
    assert lettered(0, "x", 1) == "x"
    assert lettered(1, "a - b", 2) == "b  a − b"


def test_a_panel_draws_its_rows_and_sets_what_is_said():
    seen = []
    title, paint = panel("one", lambda ax, rows, **how: seen.append((rows, how)), "rows", ylabel="y", hue=None)
    figure = composite([(title, paint), panel("two", lambda ax, rows: ax.set(xlabel="kept"), "rows")])
    first, second = figure.axes
    assert seen == [("rows", {"hue": None})]
    assert (first.get_title(loc="left"), first.get_ylabel(), first.get_xlabel()) == ("a  one", "y", "")
    assert second.get_xlabel() == "kept"


def test_a_legend_is_not_repeated_along_a_row_if_asked(similarity):
    drawings = [(name, lambda ax: draw_curves(ax, similarity, x="layer", hue="method")) for name in ("one", "two")]
    drawings.append(("three", lambda ax: draw_curves(ax, similarity.head(3), x="layer", hue="method")))
    legends = [[ax.get_legend() is not None for ax in composite(drawings, once=once).axes] for once in (False, True)]
    assert legends == [[True, True, True], [True, False, True]]
