"""Bars are those of notebooks where there is one."""

from tests.house.test_dependencies import SOURCES, imported


def test_every_bar_fits_a_notebook():
    bars = {name: [each for each in imported(source) if each.startswith("tqdm")] for name, source in SOURCES.items()}
    assert {name: each for name, each in bars.items() if each not in ([], ["tqdm.auto.tqdm"])} == {}
    assert sum(bool(each) for each in bars.values()) >= 5
