"""Tables as a page shows them."""

import pandas as pd

from mamlprobe.reports.shown_tables import facts_of, of_one_quantity, short, wide, with_differences


def test_what_is_the_same_in_all_rows_is_said_once(whole):
    table = whole.tables["accuracy"]
    shown, facts = short(table), facts_of(table)
    assert {"dataset", "way"} <= facts.keys()
    assert not {"dataset", "split", "way"} & set(shown.columns)
    assert {"learner", "method", "variant", "value", "interval"} <= set(shown.columns)  # which differ
    seeds = table[table["learner"] == "maml-smoke"]
    assert facts_of(seeds)["interval"] == "t over seeds (3)"
    assert list(short(table.head(1)).columns) == list(table.columns)


def test_differences_stand_beside_their_levels(whole):
    rows = {
        name: whole.tables[name][whole.tables[name]["learner"] == "maml-smoke"] for name in ("accuracy", "differences")
    }
    table = with_differences(rows).set_index("variant")
    wanted = rows["differences"].set_index("variant")["value"]
    assert table["minus keep"].drop("keep").equals(wanted.rename("minus keep"))
    assert pd.isna(table.loc["keep", "minus keep"])
    assert with_differences({"accuracy": rows["accuracy"]}) is rows["accuracy"]


def test_a_row_a_learner():
    rows = [("a", "keep", 0.5), ("a", "nil", 0.25), ("b", "keep", 0.75)]
    table = pd.DataFrame(rows, columns=["learner", "variant", "value"])
    made = wide(table.assign(low=table["value"] - 0.1, high=table["value"] + 0.1))
    assert made["learner"].tolist() == ["a", "b"]
    assert made["keep"].tolist() == ["0.500 [0.400, 0.600]", "0.750 [0.650, 0.850]"]
    assert pd.isna(made["nil"][1])


def test_accuracies_come_before_losses():
    table = pd.DataFrame({"quantity": ["loss", "accuracy"], "value": [1.0, 0.5]})
    rows, quantity = of_one_quantity(table)
    assert (quantity, rows["value"].tolist()) == ("accuracy", [0.5])
    assert of_one_quantity(table.head(1))[1] == "loss"
