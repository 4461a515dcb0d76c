"""What `load_foreign` says of a file, and the images it is judged by."""

from dataclasses import replace

import torch

from mamlprobe.cli import main
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.foreign.write import write_foreign
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.runs.import_kao import import_kao
from mamlprobe.runs.inner import InnerWords
from mamlprobe.training.training_tasks import pool_of
from tests.foreign.recipes import CRNP, ENCODERS, RECIPES, Recipe, imported, numbered_state, two_names


def test_the_images_are_stated_afterwards(tmp_path):
    found = imported(tmp_path / "a.pt", RECIPES["learn2learn CNN4"], RECIPES["learn2learn CNN4"].made().saved)
    assert "assumed: images: data set miniimagenet, normalised by raw255 (say --dataset, --normalise)" in found.lines
    stated = found.judged_by(dataset="glyphs")
    assert stated.experiment.data.dataset == "glyphs"
    assert "assumed: images: normalised by raw255 (say --normalise)" in stated.lines
    assert not any("images" in line for line in stated.judged_by(dataset="glyphs", normalise="none").lines)
    assert found.judged_by() is found


def test_an_assumed_ink_is_no_reason_to_refuse_images_without_a_choice(images, tmp_path):
    recipe = ENCODERS["Learning to Compare, feature encoder"]
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved)
    assert found.experiment.data.ink == 0
    assert found.judged_by(dataset="omniglot").experiment.data.ink == 0
    own = found.judged_by(dataset=str(images))
    assert own.experiment.data.ink == 1
    assert not any("--ink" in line for line in own.lines)
    assert found.judged_by(dataset=str(images), ink=0).experiment.data.ink == 0


def test_nets_of_three_channels_are_judged_on_grey_images_too(images, tmp_path):
    """As an Omniglot encoder that was trained on images in colour: each grey one is repeated in three channels."""
    recipe = replace(RECIPES["learn2learn CNN4"], image=(3, 16, 16))
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved, image=(3, 16, 16))
    assert found.experiment.data.channels is None
    run = write_foreign(found.judged_by(dataset="glyphs", normalise="none"), tmp_path / "run")
    assert run.config.data.channels == 3
    pool = pool_of(run.config.data)
    assert pool.image_shape == (3, 16, 16)
    episodes = pool.sample(split="test", way=5, shot=1, query=1, tasks=2, seed=0)
    table = evaluate(run.net(), run.theta(0), episodes, {"keep": found.method})
    assert len(table) == 2
    assert main(["evaluate", str(run.path), "--episodes", "2", "--query", "2", "--dataset", "glyphs"]) == 0
    other = write_foreign(found.judged_by(dataset=str(images)), tmp_path / "other")
    assert main(["evaluate", str(other.path), "--episodes", "2", "--query", "2", "--dataset", "glyphs"]) == 0


def test_numbered_files_are_what_import_kao_reads(tmp_path):
    recipe = Recipe(two_names("c{}", "n{}"), lambda n: CRNP)
    torch.save({"model_state_dict": numbered_state(recipe.made())}, tmp_path / "a.pt")
    found, (experiment, theta) = load_foreign(tmp_path / "a.pt"), import_kao(tmp_path / "a.pt")
    assert found.experiment.net == experiment.net
    assert all(torch.equal(found.theta.net[name], value) for name, value in theta.net.items())
    assert all(torch.equal(found.theta.moments[name], value) for name, value in theta.moments.items())


def test_the_inner_loop_is_stated(tmp_path):
    recipe = RECIPES["learn2learn CNN4"]
    given = InnerWords(inner_lr=0.05, steps=2, adapts="head.*", norm="running", readout="cosine")
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved, inner=given)
    inner = found.method.inner
    assert (inner.lr, inner.steps, inner.test_steps, inner.adapts) == (0.05, 2, 2, ("head.*",))
    assert (found.method.norm.statistics, found.method.readout) == ("running", "cosine")
    assert found.inner_assumed == ()
