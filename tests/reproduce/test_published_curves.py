"""The authors' curves: their ends are the numbers known of them, the summary is that of the files, panels hold them."""

import os
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from mamlprobe.base.errors import UserError
from mamlprobe.draw.published import draw_published, split
from mamlprobe.draw.style import canvas, label, look
from mamlprobe.reproduce import published_curves as module
from mamlprobe.reproduce.published_curves import (
    LAST,
    SUMMARY,
    final,
    main,
    published_beside,
    published_curves,
    summarise,
)

MINI, OMNIGLOT = "mini-imagenet", "omniglot"
SCALES, BOTH, ORDERS = "initialization_and_zeroing", "testing_stage_zeroing", "FOMAML_SOMAML"
ARMS = ["random init", "x0.7", "x0.5", "zero-init", "zeroing"]
THREE = ["random init", "zero-init", "zeroing"]
KEYS = ["arm", "order", "scheme", "steps", "update"]

KNOWN = [  # table, experiment, data set, shot, k, head zeroed, order, arms and their ends in percent
    ("K3", SCALES, MINI, 1, 1, True, "FO", ARMS, [46.59, 46.66, 46.76, 46.91, 47.28]),
    ("K3", SCALES, MINI, 1, 10, True, "FO", ARMS, [46.81, 46.90, 46.99, 47.15, 47.30]),
    ("K3", SCALES, MINI, 5, 1, True, "FO", ARMS, [59.33, 60.30, 60.29, 60.50, 60.79]),
    ("K3", SCALES, MINI, 5, 10, True, "FO", ARMS, [61.06, 61.87, 61.83, 62.37, 61.18]),
    ("K4", BOTH, MINI, 1, 1, False, "FO", THREE, [44.41, 44.92, 47.10]),
    ("K4", BOTH, MINI, 1, 1, True, "FO", THREE, [45.88, 46.51, 47.14]),
    ("K6", ORDERS, MINI, 1, 3, True, "FO", THREE, [46.97, 47.03, 47.29]),
    ("K6", ORDERS, MINI, 1, 3, True, "SO", THREE, [47.76, 48.05, 47.97]),
    ("K6", ORDERS, MINI, 5, 3, True, "FO", THREE, [61.55, 62.76, 61.05]),
    ("K6", ORDERS, MINI, 5, 3, True, "SO", THREE, [63.21, 63.11, 63.03]),
    ("K9", "fixed_channel", MINI, 1, 10, True, "FO", THREE, [35.39, 35.19, 47.21]),
    ("K9", "fixed_channel", MINI, 5, 10, True, "FO", THREE, [50.94, 52.74, 60.62]),
    ("K10", "5_way_25_shot", MINI, 25, 5, True, "FO", THREE, [67.94, 69.60, 69.47]),
    ("K11", "basic", OMNIGLOT, 1, 1, False, "FO", THREE, [88.55, 88.34, 93.73]),
    ("K11", "basic", OMNIGLOT, 5, 1, False, "FO", THREE, [95.19, 94.16, 97.68]),
    ("K12", "basic", OMNIGLOT, 1, 1, True, "FO", ["random init", *ARMS[2:]], [93.47, 94.08, 94.20, 93.73]),
    ("K12", "basic", OMNIGLOT, 5, 1, True, "FO", ["random init", *ARMS[2:]], [93.37, 95.19, 96.50, 97.68]),
    ("K13", "basic", OMNIGLOT, 5, 1, True, "SO", THREE, [97.30, 97.98, 97.89]),
    ("K14", "memorization", OMNIGLOT, 1, 1, False, "FO", THREE, [71.1, 72.1, 81.4]),
    ("K14", "memorization", OMNIGLOT, 1, 1, True, "FO", THREE, [80.5, 81.6, 81.4]),
    ("K14", "memorization", OMNIGLOT, 5, 1, True, "FO", THREE, [85.7, 87.6, 89.0]),
]


@pytest.mark.parametrize(("table", "experiment", "dataset", "shot", "k", "zeroed", "order", "arms", "ends"), KNOWN)
def test_ends_are_those_of_the_tables(table, experiment, dataset, shot, k, zeroed, order, arms, ends):
    found = final(experiment, dataset=dataset, shot=shot, k=k, test_zeroing=zeroed)
    mine = found[found["order"] == order].set_index("arm")["value"]
    printed = 0.06 if table == "K14" else 0.02  # K14 is known to one decimal
    np.testing.assert_allclose(mine[arms], ends, atol=printed)


def test_spread_and_seeds_are_those_of_the_tables():
    found = final(SCALES, k=1).set_index("arm")
    assert list(found.index) == ARMS
    assert list(found["seeds"]) == [3, 4, 3, 4, 3]
    np.testing.assert_allclose((found["high"] - found["low"]) / 2, [0.31, 0.29, 0.34, 0.48, 0.27], atol=0.015)
    np.testing.assert_allclose((found["high"] + found["low"]) / 2, found["value"])


def test_one_seed_has_no_spread():
    found = final("basic", dataset=OMNIGLOT).query("order == 'SO' and arm == 'zero-init'").iloc[0]
    assert (found["value"], found["seeds"]) == (61.02, 1)
    assert np.isnan([found["low"], found["high"]]).all()


def test_k_none_is_that_of_the_authors_figure():
    assert set(published_curves(ORDERS)["k"]) == {3}
    steps = final("training_stage_zeroing")
    assert (steps["k"] == steps["steps"]).all()
    assert_frame_equal(final("fixed_channel"), final("fixed_channel", k=10))
    assert not final("fixed_channel")["value"].equals(final("fixed_channel", k=1)["value"])


def test_early_curves_hold_the_gap_that_the_ends_do_not():
    early = published_curves(SCALES, k=1).query("update == 1000").set_index("arm")["value"]
    assert early["zeroing"] - early["random init"] > 4
    assert early["zero-init"] - early["random init"] > 3


@pytest.mark.parametrize(
    ("experiment", "dataset"), [(SCALES, MINI), ("exact_contrastiveness", MINI), ("basic", OMNIGLOT)]
)
def test_a_row_is_one_point_of_one_curve_and_names_its_source(experiment, dataset):
    rows = published_curves(experiment, dataset=dataset)
    assert not rows.duplicated(KEYS).any()
    assert rows.groupby(KEYS[:-1])["update"].nunique().between(8, 16).all()
    assert set(rows["source"]) == {f"Kao et al. 2022, published_results.csv: {experiment}"}
    assert not set(KEYS[:-1]) - set(final(experiment, dataset=dataset).columns)


def test_the_summary_is_small_whole_and_travels_with_the_package():
    table = pd.read_csv(SUMMARY)
    assert SUMMARY.stat().st_size < 150_000
    assert table["source"].str.startswith("kao2022/").all()
    assert all(table[name].between(15, 100).all() for name in ("one_mean", "last_mean"))
    assert (table["plotted_mean"].isna() == (table["plotted_k"] == 1)).all()
    packaged = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'"reproduce/{SUMMARY.name}"' in packaged


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"experiment": "basics", "dataset": OMNIGLOT},
            "published_curves: the experiment on omniglot must be a known one, got 'basics'; did you mean basic?",
        ),
        (
            {"experiment": "basic", "dataset": "omniglots"},
            "published_curves: the dataset must be a known one, got 'omniglots'; did you mean omniglot?",
        ),
        (
            {"experiment": BOTH, "shot": 5},
            f"published_curves: shot of {BOTH} must be among 1, got 5; choose one of them",
        ),
        (
            {"experiment": ORDERS, "test_zeroing": False},
            f"published_curves: test_zeroing of {ORDERS} must be among 1, got 0; choose one of them",
        ),
        (
            {"experiment": ORDERS, "k": 5},
            f"published_curves: k of {ORDERS} must be among 1, 3, 10, got 5; choose one of them, or None for that of "
            "the authors' figure",
        ),
        (
            {"experiment": "training_stage_zeroing", "k": 7},
            "published_curves: k of training_stage_zeroing must be among 1, 10, got 7; choose one of them, or None for "
            "that of the authors' figure",
        ),
    ],
)
def test_what_was_not_published_is_refused_in_a_line(words, said):
    for find in (published_curves, final):
        with pytest.raises(UserError) as error:
            find(**words)
        assert str(error.value) == said


def results(**runs: tuple[int, int, float]) -> pd.DataFrame:
    """Results made by hand: by seed, number of evaluations, head zeroed at test, and accuracy of the last ones."""
    rows = []
    for name, (count, zeroed, end) in runs.items():
        for k in range(count):
            accuracy = end + 0.01 * (k - count) if k >= count - LAST else 0.3
            rows.append({"dataset": MINI, "experiment": "x", "shot": 1, "order": "FO", "scheme": "maml", "init": "zero",
                         "init_scale": 0.0, "train_zeroing": 0, "train_inner_steps": 5, "inner_lr": 0.01, "way": 5,
                         "seed": int(name[1:].split("_")[0]), "test_zeroing": zeroed, "outer_step": 200 * k,
                         "test_inner_steps": 3, **{f"acc_k{j}": accuracy + 0.001 * j for j in range(11)}})  # fmt: skip
    return pd.DataFrame(rows)


def test_the_end_is_the_mean_of_each_runs_last_ten(tmp_path):
    results(s1=(50, 1, 0.5), s2=(51, 1, 0.6)).to_csv(tmp_path / "r.csv")
    end = summarise(tmp_path / "r.csv").query(f"evaluations == {LAST}").iloc[0]
    # -0.01 ... -0.10 from the end: 0.055 below it on average
    np.testing.assert_allclose([end["one_mean"], end["plotted_mean"], end["last_mean"]], [49.6, 49.8, 50.5])
    np.testing.assert_allclose([end["one_sd"], end["seeds"], end["outer_step"]], [5.0, 2, 10_000])


def test_curves_hold_updates_that_all_runs_share(tmp_path):
    table = results(s1=(51, 1, 0.5), s2=(51, 1, 0.6))
    table[(table["seed"] == 1) | (table["outer_step"] % 400 == 0)].to_csv(tmp_path / "r.csv")
    points = summarise(tmp_path / "r.csv").query("evaluations == 1")
    assert (points["seeds"] == 2).all()
    assert (points["outer_step"] % 400 == 0).all()
    assert (points["outer_step"].min(), points["outer_step"].max()) == (0, 10_000)


def test_runs_that_stopped_early_and_seeds_without_a_twin_are_left_out(tmp_path):
    whole = {f"s{s}_{z}": (60, z, 0.5) for s in (1, 2) for z in (0, 1)}
    odd = {"s3_0": (30, 0, 0.9), "s3_1": (30, 1, 0.9), "s4_1": (60, 1, 0.9)}
    results(**whole, **odd).to_csv(tmp_path / "r.csv")
    found = summarise(tmp_path / "r.csv")
    assert set(found["seeds"]) == {2}
    assert found["one_mean"].max() < 51


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError) as error:
        summarise(tmp_path / "none.csv")
    advice = "give the published_results.csv of Kao et al. 2022"
    assert str(error.value) == f"published_curves: the file must exist, got {tmp_path / 'none.csv'}; {advice}"
    (tmp_path / "other.csv").write_text("seed,shot\n1,1\n")
    with pytest.raises(UserError) as error:
        summarise(tmp_path / "other.csv")
    got = "no column 'dataset'; the columns are seed, shot"
    assert str(error.value) == (
        f"published_curves: {tmp_path / 'other.csv'} must be a whole table, got {got}; {advice}"
    )


def test_the_command_rewrites_the_summary(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SUMMARY", tmp_path / "out.csv")
    results(s1=(50, 1, 0.5)).to_csv(tmp_path / "r.csv")
    main(str(tmp_path / "r.csv"))
    assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), summarise(tmp_path / "r.csv"), check_dtype=False)


ORIGINAL = Path(os.environ.get("MAMLPROBE_DATA", "nowhere")) / "kao2022" / "published_results.csv"


@pytest.mark.skipif(not ORIGINAL.is_file(), reason="MAMLPROBE_DATA holds no kao2022/published_results.csv")
def test_the_summary_is_that_of_the_authors_files():
    text = summarise(ORIGINAL).to_csv(index=False, float_format="%.6g")
    assert_frame_equal(pd.read_csv(StringIO(text)), pd.read_csv(SUMMARY))


def test_ours_and_theirs_are_told_apart():
    ours = pd.DataFrame({"arm": ["zeroing"], "update": [100], "quantity": "accuracy", "value": 50.0, "run": "r-s0"})
    table = published_beside(ours, published_curves(SCALES), final(SCALES))
    mine, curves, ends = split(table)
    assert len(mine) + len(curves) + len(ends) == len(table)
    assert list(mine["run"]) == ["r-s0"]
    assert table.loc[table["whose"] == "published", "run"].isna().all()
    assert table.loc[table["whose"] == "published", "source"].notna().all()
    assert (len(ends), set(curves["quantity"])) == (5, {"accuracy"})
    with pytest.raises(UserError) as error:
        split(ours)
    said = "draw.published: the table must have the column 'whose', got arm, update, quantity, value, run; rename one,"
    assert str(error.value).startswith(said)


def test_published_panels_hold_the_curves_in_our_colours():
    table = published_curves(SCALES)
    figure, axes = canvas(1, 1)
    draw_published(axes[0, 0], table, hue="arm")
    lines = {line.get_label(): line for line in axes[0, 0].get_lines()}
    assert list(lines) == [label(arm) for arm in ARMS]
    for arm, line in zip(ARMS, lines.values()):
        rows = table[table["arm"] == arm]
        assert (line.get_color(), line.get_linestyle()) == (look(arm).colour, "--")
        np.testing.assert_array_equal(line.get_xydata(), rows[["update", "value"]])
    assert axes[0, 0].get_xlabel() == "outer updates"
    figure.canvas.draw()
    assert "20k" in [tick.get_text() for tick in axes[0, 0].get_xticklabels()]


def test_a_published_point_with_two_rows_is_refused():
    table = published_curves(ORDERS)
    with pytest.raises(UserError) as error:
        draw_published(canvas(1, 1)[1][0, 0], table, hue="arm")
    said = "draw.published: the table must have one row for update=0, arm=random init, got 2; aggregate it"
    assert str(error.value).startswith(said)
