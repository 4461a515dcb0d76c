"""What notebooks show: parsed, with the numbers, every name escaped, and no colours that a dark page would hide."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import torch

import mamlprobe as mp
from mamlprobe.base.notebook import card, fields_shown
from mamlprobe.reports.written import Written
from mamlprobe.runs.folder import make_run, open_run
from tests.training.conftest import blobs, twelve_updates

HOSTILE = "<script>alert('1')</script> & \"x\""


class Rows(HTMLParser):
    """The rows of tables, name -> fact, and the tags."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.cells = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.cells[-1] += data

    @property
    def facts(self):
        return dict(zip(self.cells[::2], self.cells[1::2], strict=True))


def shown(value):
    text = value if isinstance(value, str) else value._repr_html_()
    assert re.search(r"color|background|http|<script|class=", text) is None
    return Rows(text)


def test_a_card():
    seen = shown(card(HOSTILE, {HOSTILE: HOSTILE, "rate": 0.012345}, {"more": "<p>x</p>"}))
    assert seen.facts == {HOSTILE: HOSTILE, "rate": "0.01235"}
    assert seen.tags[-3:] == ["details", "summary", "p"]


def test_methods_and_experiments():
    method = mp.METHODS["anil"]
    facts = shown(method).facts
    assert facts["name"] == "anil"
    assert (facts["steps"], facts["adapts"], facts["rule"]) == ("5", "'head.*'", "unrolled")
    whole = shown(replace(twelve_updates(), method=replace(method, name=HOSTILE)))
    assert whole.facts["updates"] == "12"
    assert whole.tags.count("details") == 6  # data, net, method and its three parts
    assert "alert" in whole.facts["name"]


def test_pools_and_tasks():
    pool = replace(blobs(), name=HOSTILE, source=HOSTILE)
    facts = shown(pool).facts
    assert (facts["classes of train"], facts["classes of val"]) == ("9", "5")
    assert facts["images"].startswith("[14, 9, 1, 8, 8] uint8")
    assert facts["source"] == HOSTILE
    tasks = mp.sample(blobs(), split="train", way=3, shot=2, query=4, tasks=5, seed=0)
    assert shown(tasks).facts["query_x"].startswith("[5, 12, 1, 8, 8] float32")


def test_a_run_as_it_grows(tmp_path):
    run = make_run(tmp_path / "run", twelve_updates(), (1, 8, 8))
    assert shown(run).facts["state"] == "0 of 12 updates are kept"
    (run.path / "log.csv").write_text(
        "update,split,quantity,value,tasks\n5,train,loss,2.5,10\n10,val,accuracy,0.625,6\n"
    )
    assert shown(run).facts["val accuracy at update 10"] == "0.625"
    assert "train loss at update 5" not in shown(run).facts
    (run.path / "done").write_bytes(b"12 updates\n")
    facts = shown(open_run(run.path)).facts
    assert (facts["state"], facts["folder"], facts["recipe"]) == ("finished", str(run.path), "custom")
    (run.path / "log.csv").write_text(f"update\n{HOSTILE}\n")
    assert "run: " in shown(run).facts["state"]


def test_claims_of_a_report_are_open():
    claims = pd.DataFrame({"claim": [HOSTILE], "ours": [0.25], "verdict": ["holds"]})
    text = Written(title=HOSTILE, tables={"claims": claims, "log": claims})._repr_html_()
    assert Rows(text).tags.count("details") == text.count("<details open>") + 1 == 2
    assert "<script" not in text
    assert "0.250" in text
    assert "holds" in text


def test_values_that_are_no_numbers(tmp_path):
    assert shown(card("t", {"path": Path("a"), "rows": torch.zeros(2, 3)})).facts["rows"].startswith("[2, 3] float32")
    with pytest.raises(TypeError):
        fields_shown(3)
