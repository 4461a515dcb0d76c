"""The worked example: its formulas against finite differences of themselves and against the core."""

import pytest

from mamlprobe.probe.theory.worked_example import FORMS, Example, by_core, by_formula, worked_example

EXAMPLE = Example(w1=0.8, w2=-1.3, x1=0.6, y1=0.3, x2=1.1, y2=-0.4)


def loss(w1, w2, form, lr):
    moved = Example(w1=w1, w2=w2, x1=EXAMPLE.x1, y1=EXAMPLE.y1, x2=EXAMPLE.x2, y2=EXAMPLE.y2)
    return 0.5 * (by_formula(moved, form, lr)["prediction"] - EXAMPLE.y2) ** 2


@pytest.mark.parametrize("form", ["maml", "anil"])
def test_second_order_gradients_are_slopes_of_the_outer_loss(form):
    found, h = by_formula(EXAMPLE, form, 0.3), 1e-6
    slope1 = (loss(EXAMPLE.w1 + h, EXAMPLE.w2, form, 0.3) - loss(EXAMPLE.w1 - h, EXAMPLE.w2, form, 0.3)) / (2 * h)
    slope2 = (loss(EXAMPLE.w1, EXAMPLE.w2 + h, form, 0.3) - loss(EXAMPLE.w1, EXAMPLE.w2 - h, form, 0.3)) / (2 * h)
    assert found["gradient w1"] == pytest.approx(slope1, rel=1e-7)
    assert found["gradient w2"] == pytest.approx(slope2, rel=1e-7)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lr", [0.0, 0.3, 1.7])
def test_the_core_gives_what_the_formulas_say(form, lr):
    assert by_core(EXAMPLE, form, lr) == pytest.approx(by_formula(EXAMPLE, form, lr), rel=1e-12)


def test_anil_is_not_its_first_order():
    exact, first = (by_formula(EXAMPLE, form, 0.3) for form in ("anil", "fo_anil"))
    assert exact["prediction"] == first["prediction"]
    assert abs(exact["gradient w1"] - first["gradient w1"]) > 0.01


def test_table_has_a_row_a_method_rate_and_quantity():
    table = worked_example(EXAMPLE, [0.1, 0.2])
    assert list(table.columns) == ["method", "lr", "quantity", "formula", "core"]
    assert len(table) == len(table.drop_duplicates(["method", "lr", "quantity"])) == 4 * 2 * 3
