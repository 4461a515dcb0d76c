"""What `load_foreign` says of a file, and the images it is judged by."""

import torch

from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.runs.import_kao import import_kao
from mamlprobe.runs.inner import InnerWords
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
