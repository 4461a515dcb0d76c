"""The command `train`: the runs that it makes, its options, and the recipes that they begin from."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mamlprobe.cli import main, parse
from mamlprobe.recipes import RECIPES, recipe
from mamlprobe.runs.folder import load_run
from tests.tiny import SMALL, write_images


def test_train_makes_the_run_and_says_where(run, images, capsys):
    words = ["train", "maml", *shlex.split(SMALL), "--dataset", str(images), "--out", str(Path(run).parent)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"run: {run}"
    loaded = load_run(run)
    log = loaded.log.set_index(["update", "split", "quantity"])["value"]
    assert lines[2] == f"val accuracy at update 2: {100 * log[2, 'val', 'accuracy']:.1f} % (3 tasks)"
    assert loaded.done
    assert loaded.updates() == [0, 1, 2]
    assert loaded.image == (1, 10, 10)


def test_chunks_and_recomputation_are_options_of_the_call(run, images, tmp_path, capsys):
    """They make the same run, in a folder of the same name, from the same numbers but for rounding."""
    words = ["train", "maml", *shlex.split(SMALL), "--dataset", str(images), "--out", str(tmp_path)]
    assert main([*words, "--chunk", "1", "--recompute"]) == 0
    told = capsys.readouterr()
    assert f"run: {tmp_path / Path(run).name}" in told.out
    assert re.match(r"about \d+\.\d MB at 1 task at a time; \d+\.\d [GM]B free\n", told.err)
    one, two = (load_run(path).log["value"] for path in (run, tmp_path / Path(run).name))
    np.testing.assert_allclose(two, one, rtol=1e-3)
    assert main([*words, "--chunk", "0"]) == 2
    line = "chunk: at least 1 task must be held at a time, got 0; leave it out\n"
    assert capsys.readouterr().err == line


def test_several_seeds_are_trained_together(run, images, tmp_path, capsys):
    words = ["train", "maml", *shlex.split(SMALL), "--dataset", str(images), "--out", str(tmp_path)]
    assert main([*words, "--seeds", "0, 3"]) == 0
    told = capsys.readouterr()
    assert "about " in told.err
    assert " at 4 tasks at a time; " in told.err
    paths = [Path(each.removeprefix("run: ")) for each in told.out.splitlines() if each.startswith("run: ")]
    assert sorted(paths) == sorted(tmp_path.iterdir())
    assert [load_run(path).config.seed for path in paths] == [0, 3]
    assert paths[0].name == Path(run).name
    np.testing.assert_allclose(load_run(paths[0]).log["value"], load_run(run).log["value"], rtol=1e-3)
    assert len([each for each in told.out.splitlines() if each.startswith("val accuracy at update 2")]) == 2
    for seeds, line in [
        ("0,x", "train: seeds must be whole numbers parted by commas, got '0,x'; write 0,1,2\n"),
        ("", "train: seeds must be whole numbers parted by commas, got ''; write 0,1,2\n"),
        ("1,2,1", "train_together: every run must have a seed of its own, got 1 twice; name it once\n"),
    ]:
        assert main([*words, "--seeds", seeds]) == 2
        assert capsys.readouterr().err == line


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in RECIPES for preset in RECIPES[name].sizes])
def test_the_words_alone_are_the_recipe(name, preset):
    assert parse(["train", name, "--preset", preset]).experiment == recipe(name, preset)


def test_every_setting_has_its_word():
    words = """train fomaml --seed 3 --updates 7 --way 4 --shot 2 --query 3 --tasks 5 --inner.steps 4 --inner.lr 0.2
    --outer.lr 0.3 --outer.clip 9 --head zero_each_update --norm.statistics support --net.filters 6 --loss mse
    --ink 0"""
    found, usual = parse(shlex.split(words)).experiment, recipe("fomaml")
    method = replace(
        usual.method,
        inner=replace(usual.method.inner, steps=4, lr=0.2),
        outer=replace(usual.method.outer, lr=0.3, clip=9.0),
        norm=replace(usual.method.norm, statistics="support"),
        head="zero_each_update",
        loss="mse",
    )
    numbers = {"seed": 3, "updates": 7, "way": 4, "shot": 2, "query": 3, "tasks": 5}
    net, data = replace(usual.net, filters=6), replace(usual.data, ink=0)
    assert found == replace(usual, method=method, net=net, data=data, **numbers)


def test_another_data_set_replaces_the_recipes_data():
    """The paper's size and levels belong to its data; what is typed stays."""
    data = parse(["train", "maml", "--preset", "paper", "--dataset", "glyphs"]).data
    assert (data.dataset, data.size, data.normalise) == ("glyphs", None, None)
    data = parse(["train", "maml", "--preset", "paper", "--dataset", "glyphs", "--size", "84"]).data
    assert (data.size, data.normalise) == (84, None)
    data = parse(["train", "maml", "--preset", "paper", "--dataset", recipe("maml", "paper").data.dataset]).data
    assert data == recipe("maml", "paper").data


def test_the_quick_recipe_takes_pictures_in_colour(tmp_path, capsys):
    folder = write_images(tmp_path / "colour", "RGB")
    words = "--way 3 --query 2 --updates 1 --tasks 1 --net.filters 2 --validation-tasks 2"
    assert main(["train", "maml", "--dataset", str(folder), "--out", str(tmp_path / "runs"), *words.split()]) == 0
    assert load_run(next((tmp_path / "runs").iterdir())).image == (3, 84, 84)
