"""Texts that overlap, leave the sheet or lie on a colour bar are seen; a figure that can be read is chosen."""

from matplotlib.figure import Figure

from mamlprobe.draw.crowding import crowded, readable, shown_texts


def test_crowding_is_seen():
    def sheet(x, y=0.5):
        figure = Figure(figsize=(3, 1))
        figure.text(0.4, 0.5, "one")
        figure.text(x, y, "two")
        return figure

    assert crowded(sheet(0.41))
    assert not crowded(sheet(0.8))
    assert crowded(sheet(0.99))
    assert crowded(sheet(0.8, -0.2))
    assert not crowded(sheet(0.8), apart=4)
    assert crowded(sheet(0.8), apart=200)
    assert not crowded(sheet(0.8, 0.1), apart=200)


def test_the_first_that_can_be_read_is_built_anew():
    built = []

    def sheet(x):
        def build():
            figure = Figure(figsize=(3, 1))
            figure.text(0.4, 0.5, "one")
            figure.text(x, 0.5, "two")
            built.append((x, figure))
            return figure

        return build

    chosen = readable([sheet(0.41), sheet(0.8), sheet(0.7)])
    assert [x for x, _ in built] == [0.41, 0.8, 0.8]
    assert chosen is built[-1][1]
    built.clear()
    assert readable([sheet(0.41), sheet(0.42)]) is built[-1][1]
    assert [x for x, _ in built] == [0.41, 0.42, 0.41]  # none can be read: the first


def test_texts_that_are_shown():
    figure = Figure()
    ax, hidden = figure.subplots(1, 2)
    ax.set(title="title", xlabel=" ", xticks=[0, 1, 5], xlim=(0, 1), yticks=[])
    ax.set_xticklabels(["low", "high", "beyond"])
    ax.text(0, 0, "unseen").set_visible(False)
    hidden.set_xticks([0.5], ["hidden"])
    hidden.set_axis_off()
    figure.draw_without_rendering()
    assert sorted(text.get_text() for text in shown_texts(figure)) == ["high", "low", "title"]
    assert not crowded(Figure())


def test_a_text_on_a_colour_bar_is_seen():
    def sheet(y):
        figure = Figure(figsize=(3, 2), layout="constrained")
        ax = figure.subplots()
        ax.set(xticks=[], yticks=[])
        bar = figure.colorbar(ax.imshow([[0, 1]]), ax=ax, location="bottom", ticks=[])
        bar.ax.text(0.5, y, "text", ha="center", transform=bar.ax.transAxes)
        return figure

    assert crowded(sheet(0.5))
    assert not crowded(sheet(2.0))


def test_axes_without_room_are_seen():
    def sheet(pad):
        figure = Figure(figsize=(1, 1), layout="constrained")
        for ax in figure.subplots(2, 2).flat:
            ax.set(xticks=[], yticks=[])
        figure.get_layout_engine().set(w_pad=pad)
        return figure

    assert crowded(sheet(1.0))
    assert not crowded(sheet(0.01))
