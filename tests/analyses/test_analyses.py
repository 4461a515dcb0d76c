"""The analyses end to end at the smoke preset, on a small folder of images; redrawing; errors."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analyses.__main__ import main
from mamlprobe.recipes import RECIPES, recipe
from mamlprobe.reproduce.records import CLAIM_COLUMNS
from mamlprobe.reproduce.scripts import scripts_of

ROOT = Path(__file__).parents[2]
EVERY = {script.name: script for script in scripts_of("analyses", ROOT / "analyses")}
SCRIPTS = list(EVERY)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, classes in (("train", 8), ("val", 6), ("test", 6)):
        for label in range(classes):
            shape = rng.random((7, 7)) > 0.6
            place = folder / split / f"{split}{label}"
            place.mkdir(parents=True)
            for item in range(20):
                pixels = np.kron(shape ^ (rng.random((7, 7)) > 0.95), np.ones((4, 4))) * 255
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{item}.png")
    return folder


@pytest.fixture(scope="session")
def made(images, tmp_path_factory):
    base = tmp_path_factory.mktemp("smoke")
    words = ["--preset", "smoke", "--dataset", str(images), "--data-root", str(base / "nothing"), "--workers", "2"]
    words += ["--out", str(base / "figures"), "--runs", str(base / "runs")]
    assert main(words) == 0
    return base, words


@pytest.mark.slow
def test_every_script_makes_figure_table_and_claims_or_says_why_not(made):
    base, _ = made
    out = base / "figures"
    for name in SCRIPTS:
        if name == "kao_published_weights":
            assert not (out / f"{name}.png").exists()
            continue
        table = pd.read_csv(out / f"{name}.csv")
        assert len(table), name
        assert (out / f"{name}.png").stat().st_size > 5_000, name
        facts = json.loads((out / "provenance" / f"{name}.json").read_text())["provenance"]
        assert {"preset", "torch", "seconds", "command", "commit"} <= set(facts)
    claims = pd.read_csv(out / "claims.csv")
    assert list(claims.columns) == CLAIM_COLUMNS
    assert set(claims["verdict"]) <= {"holds", "fails", "undecided"}
    wanted = {"R2", "R3", "R5", "R6", "R9", "K1", "K2", "K4", "D1", "D2", "D3", "C1"}
    assert wanted <= set(claims["id"])
    exact = claims[claims["id"].isin(["K1", "D1", "D2", "D3"]) & claims["unit"].isin(["error", "relative error"])]
    assert (exact["verdict"] == "holds").all()
    trained = claims[claims["id"].isin(["R2", "R3", "R5", "K4"])]
    assert trained["runs"].str.contains("-s0-").all()
    page = (out / "index.html").read_text()
    pictures = re.findall(r'<img src="([^"]+)"', page)
    assert sorted(pictures) == sorted(f"{name}.png" for name in SCRIPTS if name != "kao_published_weights")
    assert "<script" not in page
    assert "http:" not in page
    assert "https:" not in page


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_keeps_what_is_up_to_date(made, capsys):
    base, words = made
    before = {path: path.stat().st_mtime_ns for path in (base / "runs").rglob("*.safetensors")}
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.count("kept ") == len(SCRIPTS) - 1
    assert before == {path: path.stat().st_mtime_ns for path in (base / "runs").rglob("*.safetensors")}


@pytest.mark.slow
def test_finished_trains_nothing_and_says_what_is_not_trained(made, tmp_path, capsys):
    base, words = made
    words = ["raghu_fig2_layers", *words[:-4], "--finished", "--out", str(tmp_path / "figures"), "--runs"]
    assert main([*words, str(tmp_path / "runs")]) == 0
    assert "not trained yet: maml" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "figures").exists()
    assert main([*words, str(base / "runs")]) == 0
    made_again, before = (out / "raghu_fig2_layers.csv" for out in (tmp_path / "figures", base / "figures"))
    assert made_again.read_bytes() == before.read_bytes()
    provenance = json.loads((tmp_path / "figures" / "provenance" / "raghu_fig2_layers.json").read_text())
    assert "--finished" in provenance["provenance"]["command"]


@pytest.mark.slow
def test_figures_are_redrawn_from_their_tables_without_torch(made):
    base, _ = made
    code = (
        "import sys, importlib, pandas as pd, pathlib\n"
        "out = pathlib.Path(sys.argv[1])\n"
        "for name in sys.argv[2:]:\n"
        "    figure = importlib.import_module('analyses.' + name).figure(pd.read_csv(out / f'{name}.csv'))\n"
        "    assert figure.axes, name\n"
        "assert 'torch' not in sys.modules\n"
    )
    drawn = [name for name in SCRIPTS if (base / "figures" / f"{name}.csv").is_file()]
    call = [sys.executable, "-c", code, str(base / "figures"), *drawn]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_redrawing_gives_the_same_bytes(made):
    base, words = made
    before = {path: path.read_bytes() for path in (base / "figures").glob("*.png")}
    assert main([*words, "--from-table"]) == 0
    assert before == {path: path.read_bytes() for path in (base / "figures").glob("*.png")}


@pytest.mark.slow
def test_redrawing_one_figure_keeps_the_claims_of_all(made):
    base, words = made
    before = (base / "figures" / "claims.csv").read_bytes()
    assert main([*words, "kao_fig2_cosine", "--from-table"]) == 0
    assert (base / "figures" / "claims.csv").read_bytes() == before


def test_unknown_names_are_refused_in_one_line(capsys):
    assert main(["raghu_fig2_layer"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "raghu_fig2_layers" in said


def test_list_names_every_script(capsys):
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_thin_and_says_what_it_answers(name):
    script = EVERY[name].module
    assert len(Path(script.__file__).read_text().splitlines()) <= 130
    assert script.__doc__
    assert script.ANALYSIS.title
    assert script.ANALYSIS.paper
    assert set(script.ANALYSIS.recipes) <= set(RECIPES)


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in RECIPES for preset in RECIPES[name].sizes])
def test_every_recipe_builds_at_every_preset(name, preset):
    experiment = recipe(name, preset)
    assert experiment.recipe == f"{name}-{preset}"
    assert experiment.method.inner.adapts == RECIPES[name].method.inner.adapts


def test_the_committed_claims_are_those_of_the_committed_figures():
    out = ROOT / "figures"
    claims = pd.read_csv(out / "claims.csv")
    parts = [json.loads(path.read_text())["claims"] for path in sorted((out / "provenance").glob("*.json"))]
    assert len(claims) == sum(len(part) for part in parts)
