"""The gallery: which scripts run and which are kept or skipped, and what is written of them."""

import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.reproduce import gallery
from mamlprobe.reproduce.analysis import Analysis
from mamlprobe.reproduce.gallery import Done, _cost, _jobs, build, key, redraw, summary
from mamlprobe.reproduce.records import CLAIM_COLUMNS, read_record
from mamlprobe.reproduce.scripts import Script, scripts_of
from mamlprobe.reproduce.study import Study

TEXT = '''"""Asks {name}."""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.reproduce.analysis import Analysis, Claim

CALLS = []


def table(study):
    CALLS.append("table")
    return pd.DataFrame({{"arm": ["{name}"], "value": [1 / 3], "low": [0.25], "high": [0.5]}})


def figure(rows):
    CALLS.append(float(rows["value"][0]))
    drawn = Figure(figsize=(1, 1))
    drawn.subplots().plot([0, 1], rows["value"].tolist() * 2)
    return drawn


ANALYSIS = Analysis(
    paper="P",
    title="{name}",
    order={order},
    table=table,
    figure=figure,
    claims=(Claim(id="X{order}", text="above", where={{"arm": "{name}"}}, above=0.2, unit="points"),),
    missing=(lambda study: "no data") if "{name}" == "none" else None,
    needs={needs},
    last="{name}" == "one",
)
'''


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Three scripts that train nothing, made in this process; the third cannot run."""
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for order, name in enumerate(("one", "two", "none")):
        (folder / f"{name}.py").write_text(TEXT.format(name=name, order=order, needs=()))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gallery, "processes", lambda count, threads: ThreadPoolExecutor(1))
    yield scripts_of("ours", folder)
    for name in [each for each in sys.modules if each.split(".")[0] == "ours"]:
        del sys.modules[name]


@pytest.fixture
def stage(tmp_path):
    return Study(preset="smoke", out=tmp_path / "figures", folder=tmp_path / "runs", device="cpu")


def states(done):
    return {each.name: each.state for each in done}


def test_what_is_made_is_kept_until_something_is_gone(scripts, stage):
    done = build(stage, scripts, scripts, workers=1)
    assert states(done) == {"one": "made", "two": "made", "none": "skipped"}
    assert [each.name for each in done] == ["two", "none", "one"]  # the last one last
    assert sorted(path.name for path in stage.out.rglob("*") if path.is_file()) == [
        *(
            "claims.csv",
            "claims.html",
            "index.html",
            "one.csv",
            "one.json",
            "one.pdf",
            "one.png",
            "two.csv",
            "two.json",
            "two.pdf",
            "two.png",
        )
    ]
    before = {path: path.stat().st_mtime_ns for path in stage.out.glob("*.png")}
    assert states(build(stage, scripts, scripts, workers=1)) == {"one": "kept", "two": "kept", "none": "skipped"}
    assert {path: path.stat().st_mtime_ns for path in stage.out.glob("*.png")} == before
    (stage.out / "one.png").unlink()
    record = stage.out / "provenance" / "two.json"
    record.write_text(record.read_text()[:-20])
    assert states(build(stage, scripts[:2], scripts, workers=1)) == {"one": "made", "two": "made"}
    assert states(build(stage, scripts[:1], scripts, workers=1, force=True)) == {"one": "made"}


def test_what_is_written_of_a_script(scripts, stage):
    build(stage, scripts[:1], scripts, workers=1)
    assert (stage.out / "one.csv").read_text() == "arm,value,low,high\none,0.333333,0.25,0.5\n"
    assert scripts[0].module.CALLS == ["table", 0.333333]  # the figure is drawn from the file
    record = read_record(stage.out / "provenance" / "one.json")
    facts, (claim,) = record["provenance"], record["claims"]
    assert facts["key"] == key(scripts[0], stage)
    assert facts["command"] == "mamlprobe reproduce one --preset smoke"
    assert facts["trained"] == "0 models in 0 s"
    assert (claim["id"], claim["verdict"], claim["ours"], claim["preset"]) == ("X0", "holds", 1 / 3, "smoke")
    claims = pd.read_csv(stage.out / "claims.csv")
    assert list(claims.columns) == CLAIM_COLUMNS
    assert claims["id"].tolist() == ["X0"]
    text = (stage.out / "index.html").read_text()
    assert "Asks one." in text
    assert facts["key"] not in text


def test_files_for_print_are_those_asked_for_and_the_page_links_them(scripts, stage):
    build(stage, scripts[:1], scripts, workers=1, prints=("svg", "png"))
    names = {path.name for path in stage.out.iterdir() if path.name.startswith("one")}
    assert names == {"one.csv", "one.png", "one.svg", "one-print.png"}
    redraw(stage, scripts[:1], scripts)
    assert (stage.out / "one.pdf").read_bytes().startswith(b"%PDF")
    text = (stage.out / "index.html").read_text()
    assert 'href="one.csv"' in text
    assert 'href="one.pdf"' in text
    assert 'alt="Asks one. Whiskers and bands are 95 % intervals over seeds and tasks. Data: ' in text


@pytest.fixture
def reader(scripts, tmp_path):
    """A script that reads the table of `two`."""
    (tmp_path / "ours" / "reader.py").write_text(TEXT.format(name="reader", order=3, needs=("two",)))
    return replace(scripts[0], name="reader")


def test_a_table_that_another_script_reads_is_made_before_it(scripts, reader, stage):
    every = [reader, *scripts]  # it would be the first to run
    assert states(build(stage, [reader], every, workers=1)) == {"two": "made", "reader": "made"}
    assert states(build(stage, [reader], every, workers=1)) == {"two": "kept", "reader": "kept"}
    assert states(build(stage, [reader], every, workers=1, force=True)) == {"two": "kept", "reader": "made"}
    (stage.out / "two.png").unlink()
    assert states(build(stage, [reader], every, workers=1)) == {"two": "made", "reader": "kept"}


def test_a_table_made_of_other_text_counts_as_stale_for_its_reader(scripts, reader, stage, monkeypatch):
    before = key(reader, stage)
    monkeypatch.setattr(Script, "text", property(lambda script: "pass" if script.name == "two" else script.name))
    changed = key(reader, stage)
    monkeypatch.setattr(Script, "text", property(lambda script: script.name))
    assert len({before, changed, key(reader, stage)}) == 3


def test_a_reader_without_its_table_is_skipped(scripts, reader, stage, tmp_path):
    text = TEXT.format(name="reader", order=3, needs=("none",))
    (tmp_path / "ours" / "reader.py").write_text(text)
    done = build(stage, [reader], [*scripts, reader], workers=1)
    assert [(each.name, each.reason) for each in done] == [("none", "no data"), ("reader", "tables not there: none")]


def test_a_release_is_named_where_there_is_no_commit(scripts, stage, monkeypatch):
    monkeypatch.setattr(gallery, "environment", lambda device: {"mamlprobe": "3.4.5", "commit": None})
    build(stage, scripts[:1], scripts, workers=1)
    assert read_record(stage.out / "provenance" / "one.json")["provenance"]["commit"] == "none: release 3.4.5"


def test_a_worker_that_the_system_ends_is_told_in_a_line(scripts, stage, monkeypatch):
    def ended(*_):
        raise BrokenProcessPool("A child process terminated abruptly")

    monkeypatch.setattr(gallery, "_make", ended)
    with pytest.raises(UserError, match="got one that the system has ended; start again, with fewer --workers"):
        build(stage, scripts[:1], scripts, workers=1)


def test_figures_are_drawn_again_from_their_tables(scripts, stage):
    build(stage, scripts[:1], scripts, workers=1)
    before = (stage.out / "one.png").read_bytes()
    (stage.out / "one.png").unlink()
    done = redraw(stage, scripts[:2], scripts)
    assert states(done) == {"one": "made", "two": "skipped"}
    assert done[1].reason == f"{stage.out / 'two.csv'} is not there"
    assert (stage.out / "one.png").read_bytes() == before
    assert scripts[0].module.CALLS.count("table") == 1


def test_a_key_depends_on_text_preset_data_and_updates(scripts, stage):
    studies = [stage, *(Study(**{"preset": "smoke", "device": "cpu"} | words) for words in (
        {"preset": "quick"}, {"dataset": "glyphs"}, {"repeats": 1}, {"updates": 7}, {"finished": True}))]  # fmt: skip
    keys = [key(scripts[0], each) for each in studies]
    assert len({*keys, key(scripts[1], stage)}) == 7
    assert key(scripts[0], Study(preset="smoke", device="cpu", out=stage.out / "else")) == keys[0]


def test_long_trainings_come_first():
    jobs = [("anil", 0), ("fomaml", 0), ("maml", 1), ("fo-anil", 0), ("boil", 0)]
    assert [name for name, _ in sorted(jobs, key=_cost)] == ["maml", "boil", "fomaml", "anil", "fo-anil"]


def test_a_line_a_script():
    done = [Done(name="a", state="made", seconds=12.4), Done(name="b", state="skipped", reason="no data")]
    assert summary(done) == "made     a  12 s\nskipped  b  no data"


def test_a_script_may_ask_for_more_seeds_at_quick_alone():
    facts = {"paper": "p", "title": "t", "order": 1, "table": None, "figure": None, "recipes": ("maml",)}
    more, usual = (SimpleNamespace(analysis=Analysis(**facts, **words)) for words in ({"quick_seeds": 5}, {}))
    assert len(_jobs(Study(), more)) == 5
    assert len(_jobs(Study(), usual)) == 3
    assert len(_jobs(Study(repeats=4), more)) == 4
    assert len(_jobs(Study(preset="smoke"), more)) == 2
