"""Intervals over seeds and tasks against plain loops, closed forms, and by simulated coverage."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.statistics.analysis_of_variance import nested_interval, two_way_interval
from mamlprobe.statistics.intervals import bootstrap, t_interval


def crossed(seed, m, n, seeds=0.0, tasks=0.0, rest=1.0):
    """Values [m * n] of mean 0 from independent effects of these standard deviations, and their labels."""
    rng = np.random.default_rng(seed)
    a, b, e = (s * rng.standard_normal(shape) for s, shape in ((seeds, (m, 1)), (tasks, (1, n)), (rest, (m, n))))
    return (a + b + e).ravel(), np.repeat(np.arange(m), n), np.tile(np.arange(n), m)


def student(mean, variance, df, level=0.95):
    half = scipy.stats.t.ppf((1 + level) / 2, df) * math.sqrt(variance)
    return pytest.approx((mean - half, mean + half), abs=1e-9)


def components(table):
    """Variance components of seeds, tasks and the rest by the pairs of cells, in loops: no mean square in it.

    Half the mean squared difference of two cells is s_b + s_e in one row, s_a + s_e in one column, and all three
    elsewhere.
    """
    m, n = len(table), len(table[0])
    sums, counts = {"row": 0.0, "column": 0.0, "neither": 0.0}, {"row": 0, "column": 0, "neither": 0}
    for s in range(m):
        for t in range(n):
            for u in range(m):
                for v in range(n):
                    if (s, t) != (u, v):
                        kind = "row" if s == u else "column" if t == v else "neither"
                        sums[kind] += (table[s][t] - table[u][v]) ** 2 / 2
                        counts[kind] += 1
    row, column, neither = (sums[kind] / counts[kind] for kind in ("row", "column", "neither"))
    return neither - row, neither - column, row + column - neither


@pytest.mark.parametrize("shape", [(3, 7), (2, 5), (6, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_all_components_above_zero(shape, seed):
    m, n = shape
    values, rows, columns = crossed(seed, m, n, seeds=2, tasks=2, rest=0.3)
    a, b, e = components(values.reshape(m, n).tolist())
    assert min(a, b, e) > 0
    variance = a / m + b / n + e / (m * n)
    squares = (n * a + e, m - 1), (m * b + e, n - 1), (e, (m - 1) * (n - 1))
    df = (m * n * variance) ** 2 / sum(square**2 / of for square, of in squares)
    found = two_way_interval(values, rows=rows, columns=columns, level=0.9)
    assert found == student(values.mean(), variance, max(df, min(m, n) - 1), 0.9)


def test_by_hand():
    """Rows 1 3 8 and 3 9 12: mean squares 24, 32 and 2, so the variance is 54 / 6, of 54^2 / 1090 degrees."""
    found = two_way_interval([1, 3, 8, 3, 9, 12], rows=[0, 0, 0, 1, 1, 1], columns=[0, 1, 2, 0, 1, 2])
    assert found == student(6, 9, 54**2 / (24**2 / 1 + 32**2 / 2 + 2**2 / 2))


def test_degrees_are_never_below_those_of_the_smaller_side():
    """Rows 0 1 and 1 1.02: mean squares 0.2601 twice and 0.2401, of 0.4 degrees by Satterthwaite's formula."""
    found = two_way_interval([0, 1, 1, 1.02], rows=[0, 0, 1, 1], columns=[0, 1, 0, 1])
    assert found == student(0.755, 0.2801 / 4, 1)


def without(values, m, n, *effects):
    """The same table with no differences between the means of its rows, of its columns, or of both."""
    table = values.reshape(m, n).copy()
    if "rows" in effects:
        table += table.mean() - table.mean(1, keepdims=True)
    if "columns" in effects:
        table += table.mean() - table.mean(0, keepdims=True)
    return table


def test_without_a_seed_effect_it_is_students_over_tasks():
    values, rows, columns = crossed(0, 3, 8, tasks=2)
    table = without(values, 3, 8, "rows")
    found = two_way_interval(table.ravel(), rows=rows, columns=columns)
    assert found == pytest.approx(scipy_t(table.mean(0)), abs=1e-12)


def test_without_a_task_effect_it_is_students_over_seeds():
    values, rows, columns = crossed(0, 4, 8, seeds=2)
    table = without(values, 4, 8, "columns")
    found = two_way_interval(table.ravel(), rows=rows, columns=columns)
    assert found == pytest.approx(scipy_t(table.mean(1)), abs=1e-12)


def test_without_either_all_values_are_pooled():
    values, rows, columns = crossed(0, 3, 8)
    table = without(values, 3, 8, "rows", "columns")
    found = two_way_interval(table.ravel(), rows=rows, columns=columns)
    assert found == pytest.approx(scipy_t(table.ravel()), abs=1e-12)


def scipy_t(values):
    return scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))


def test_the_order_of_values_and_the_names_of_labels_do_not_matter():
    values, rows, columns = crossed(1, 3, 6, seeds=1, tasks=1)
    expected = two_way_interval(values, rows=rows, columns=columns)
    order = np.random.default_rng(0).permutation(18)
    names = [f"run {'zyx'[row]}" for row in rows[order]]
    found = two_way_interval(torch.from_numpy(values[order]), rows=names, columns=-7 * columns[order])
    assert found == pytest.approx(expected, abs=1e-12)
    turned = two_way_interval(values, rows=columns, columns=rows)
    assert turned == pytest.approx(expected, abs=1e-12)
    assert two_way_interval(values + 1e6, rows=rows, columns=columns) == pytest.approx(
        (expected[0] + 1e6, expected[1] + 1e6), abs=1e-8
    )


def test_cells_measured_twice_are_averaged():
    values, rows, columns = crossed(1, 3, 6, seeds=1, tasks=1)
    once = two_way_interval(values, rows=rows, columns=columns)
    twice = np.concatenate([values - 0.5, values[:4] + 0.5, values[4:] + 0.5])
    found = two_way_interval(twice, rows=np.tile(rows, 2), columns=np.tile(columns, 2))
    assert found == pytest.approx(once, abs=1e-12)


def test_tasks_that_a_seed_lacks_are_left_out():
    values, rows, columns = crossed(2, 3, 6, seeds=1, tasks=1)
    kept = (columns != 1) & (columns != 4)
    expected = two_way_interval(values[kept], rows=rows[kept], columns=columns[kept])
    holes = values.copy()
    holes[[1, 6 + 4]] = np.nan
    assert two_way_interval(holes, rows=rows, columns=columns) == expected
    there = np.ones(18, dtype=bool)
    there[[1, 6 + 4]] = False
    assert two_way_interval(values[there], rows=rows[there], columns=columns[there]) == expected
    lost = np.where(rows == 2, np.nan, values)
    assert two_way_interval(lost, rows=rows, columns=columns) == two_way_interval(
        values[rows < 2], rows=rows[rows < 2], columns=columns[rows < 2]
    )


def test_one_seed_or_one_task_is_students():
    values, ones, items = np.random.default_rng(0).standard_normal(9), [0] * 9, range(9)
    assert two_way_interval(values, rows=ones, columns=items) == t_interval(values)
    assert two_way_interval(values, rows=items, columns=ones) == t_interval(values)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_can_be_said_of_fewer_than_two(count):
    labels = list(range(count))
    assert all(math.isnan(end) for end in two_way_interval(labels, rows=labels, columns=labels))
    assert all(math.isnan(end) for end in nested_interval(labels, clusters=labels))


def test_where_no_task_is_left_nothing_can_be_said():
    found = two_way_interval([1, math.nan, math.nan, 1], rows=[0, 0, 1, 1], columns=[0, 1, 0, 1])
    assert all(math.isnan(end) for end in found)


def test_equal_values_have_no_width():
    _, rows, columns = crossed(0, 3, 5)
    assert two_way_interval([0.1] * 15, rows=rows, columns=columns) == (0.1, 0.1)
    assert nested_interval([0.1] * 15, clusters=rows) == (0.1, 0.1)
    constant = np.repeat([0.1, 0.3, 0.8], 5)
    assert two_way_interval(constant, rows=rows, columns=columns) == pytest.approx(scipy_t([0.1, 0.3, 0.8]), abs=1e-12)


def test_nested_of_equal_sizes():
    values, clusters, _ = crossed(0, 4, 6, seeds=2)
    assert nested_interval(values, clusters=clusters) == pytest.approx(scipy_t(values.reshape(4, 6).mean(1)), abs=1e-12)
    alike = without(values, 4, 6, "rows").ravel()
    assert nested_interval(alike, clusters=clusters) == pytest.approx(scipy_t(alike), abs=1e-12)


def test_nested_of_unequal_sizes_is_that_of_loops():
    """Both sums of squares are set equal to what the model expects of them, and solved for the components."""
    sizes, rng = (2, 5, 3, 9), np.random.default_rng(3)
    groups = [(3 * rng.standard_normal() + rng.standard_normal(size)).tolist() for size in sizes]
    flat = [value for group in groups for value in group]
    n, m = len(flat), len(groups)
    mean = sum(flat) / n
    within = sum((value - sum(group) / len(group)) ** 2 for group in groups for value in group)
    between = sum(len(group) * (sum(group) / len(group) - mean) ** 2 for group in groups)
    weight = sum(size - size**2 / n for size in sizes)  # of s_a in the expectation of `between`, beside (m - 1) s_e
    e = within / (n - m)
    a = (between - (m - 1) * e) / weight
    assert a > 0
    variance = sum((size / n) ** 2 * a for size in sizes) + e / n
    share = sum((size / n) ** 2 for size in sizes) / weight * between  # what of the variance comes from `between`
    df = variance**2 / (share**2 / (m - 1) + (variance - share) ** 2 / (n - m))
    labels = [name for name, group in zip("dbca", groups) for _ in group]
    assert nested_interval(flat, clusters=labels) == student(mean, variance, df)
    holed, more = [*flat, math.nan, math.nan], [*labels, "a", "e"]
    assert nested_interval(holed, clusters=more) == nested_interval(flat, clusters=labels)


def test_nested_of_one_cluster_or_one_value_each_is_students():
    values = np.random.default_rng(0).standard_normal(9)
    assert nested_interval(values, clusters=["a"] * 9) == t_interval(values)
    assert nested_interval(values, clusters=range(9)) == t_interval(values)


def coverage(interval, trials):
    return np.mean([low <= 0 <= high for low, high in map(interval, range(trials))])


def two_way(seed, *shape, **effects):
    values, rows, columns = crossed(seed, *shape, **effects)
    return two_way_interval(values, rows=rows, columns=columns)


HARD = (3, 40), {"seeds": 0.33, "tasks": 0.5, "rest": 0.8}


def test_coverage_of_new_seeds_and_tasks():
    shape, effects = HARD
    assert 0.90 < coverage(lambda seed: two_way(seed, *shape, **effects), 400) < 0.98
    assert 0.90 < coverage(lambda seed: two_way(seed, 3, 40, tasks=0.6), 400) < 0.985


def test_the_bootstrap_over_three_seeds_is_too_narrow():
    def resampled(seed):
        values, rows, _ = crossed(seed, *HARD[0], **HARD[1])
        return bootstrap(values, clusters=rows, draws=200, seed=seed)

    assert coverage(resampled, 200) < 0.88


def test_coverage_of_tasks_of_their_own():
    def interval(seed):
        values, rows, _ = crossed(seed, 3, 40, seeds=0.33, rest=0.95)
        return nested_interval(values, clusters=rows)

    assert 0.90 < coverage(interval, 400) < 0.98


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        (
            lambda: two_way_interval([1, 2], rows=[1], columns=[1, 2]),
            "two_way_interval: rows must be one label a value, got 1 for 2; give both the same length",
        ),
        (
            lambda: two_way_interval([1, 2], rows=[1, 2], columns=[1, 2, 3]),
            "two_way_interval: columns must be one label a value, got 3 for 2; give both the same length",
        ),
        (
            lambda: two_way_interval([1, 2, 3], rows=[1, 1, 2], columns=[1, 2, 3]),
            "two_way_interval: some columns must be in several rows, got 3 columns, each in one row; "
            "use nested_interval for tasks of their own",
        ),
        (
            lambda: two_way_interval([1, 2], rows=[1, 1], columns=[1, 2], level=1),
            "two_way_interval: level must be between 0 and 1, got 1; 0.95 is usual",
        ),
        (
            lambda: nested_interval([1, 2], clusters=[1]),
            "nested_interval: clusters must be one label a value, got 1 for 2; give both the same length",
        ),
        (
            lambda: nested_interval([1, 2], clusters=[1, 2], level=0),
            "nested_interval: level must be between 0 and 1, got 0; 0.95 is usual",
        ),
    ],
)
def test_messages(interval, message):
    with pytest.raises(UserError) as caught:
        interval()
    assert str(caught.value) == message
