"""A checkpoint of another project as a run folder."""

import pytest
import torch

from mamlprobe.foreign.write import write_foreign
from mamlprobe.nets.params import add_task_axis
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.inner import InnerWords
from tests.foreign.recipes import ENCODERS, RECIPES, imported, passed, rows


def test_a_run_holds_what_was_understood(tmp_path):
    recipe = RECIPES["pytorch-maml (Deleu)"]
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved, inner=InnerWords(steps=3))
    run = write_foreign(found, tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert again.config == run.config == found.experiment
    assert again.env["understood"] == found.lines
    assert again.env["source"]["file"] == "a.pt"
    assert again.assumed == ("inner_lr", "adapts", "norm", "readout")
    assert all(torch.equal(again.theta().net[name], value) for name, value in found.theta.net.items())
    assert again.theta().moments == {}  # the file has none


@pytest.mark.parametrize("recipe", [RECIPES["MAML++"], ENCODERS["few-shot (Knagg) prototypical network"]])
def test_nets_in_words_and_encoders_come_back(recipe, tmp_path):
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved)
    write_foreign(found, tmp_path / "run")
    run = load_run(tmp_path / "run")
    x = rows(recipe)
    theta = run.theta().to(dtype=torch.float64)
    logits = run.net()(add_task_axis(theta.net), x[None]).features
    assert torch.equal(logits, passed(found, x).features)
    assert run.config.net.headless == (recipe.head is None)
