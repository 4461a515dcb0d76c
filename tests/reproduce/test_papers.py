"""Every paper that an analysis or a claim names has an address."""

import re
from pathlib import Path

import pandas as pd

from mamlprobe.reproduce.papers import PAPERS, papers_in

FIGURES = Path(__file__).parents[2] / "figures"


def test_papers_in_a_text_in_their_order():
    text = "ours, after Finn et al. 2017, Nichol et al. 2018, Raghu et al. 2020"
    assert papers_in(text) == ["Finn et al. 2017", "Nichol et al. 2018", "Raghu et al. 2020"]
    assert papers_in("planted truth, beyond the papers") == []


def test_every_paper_that_a_claim_names_is_there():
    names = set()
    for path in FIGURES.rglob("claims.csv"):
        for text in pd.read_csv(path)["paper"].unique():
            names |= set(re.findall(r"\w+(?: et al\.| and \w+) \d{4}", text))
    assert names <= set(PAPERS)
    assert len(names) >= 9
    assert all(re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", each.address) for each in PAPERS.values())
    assert len({each.address for each in PAPERS.values()}) == len(PAPERS)
