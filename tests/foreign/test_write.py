"""A checkpoint of another project as a run folder."""

from dataclasses import replace

import pytest
import torch

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.foreign.write import write_foreign
from mamlprobe.nets.params import add_task_axis
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.inner import InnerWords
from tests.foreign.recipes import ENCODERS, R2D2, RECIPES, imported, passed, rows
from tests.foreign.tf1_files import write_bundle
from tests.foreign.tf_nets import CHARACTERS, finn_arrays, reptile_arrays


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


@pytest.mark.parametrize("recipe", [RECIPES["MAML++"], ENCODERS["few-shot (Knagg) prototypical network"], R2D2])
def test_nets_in_words_and_encoders_come_back(recipe, tmp_path):
    found = imported(tmp_path / "a.pt", recipe, recipe.made().saved)
    write_foreign(found, tmp_path / "run")
    run = load_run(tmp_path / "run")
    x = rows(recipe)
    theta = run.theta().to(dtype=torch.float64)
    logits = run.net()(add_task_axis(theta.net), x[None]).features
    assert torch.equal(logits, passed(found, x).features)
    assert run.config.net.headless == (recipe.head is None)


@pytest.mark.parametrize("arrays", [finn_arrays(CHARACTERS), reptile_arrays(CHARACTERS)])
def test_a_tensorflow_checkpoint_is_one_run_and_is_evaluated(arrays, tmp_path):
    """Its index stands for it: it has the checksums of all tensors."""
    write_bundle(tmp_path / "model-3", arrays)
    found = load_foreign(tmp_path / "model-3.data-00000-of-00001")
    write_foreign(found, tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert (run.env["source"]["file"], run.config) == ("model-3.index", found.experiment)
    x, y = torch.randn(1, 10, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(5).repeat(2)[None]
    episodes = mp.Episodes(support_x=x, support_y=y, query_x=x, query_y=y)
    table = mp.evaluate(run.net(), run.theta(), episodes, {"x": run.config.method})
    assert table["value"].notna().all()


def test_an_import_can_be_repeated_but_not_with_other_facts(tmp_path):
    recipe = RECIPES["learn2learn CNN4"]
    made = recipe.made().saved
    rates = [value * 0 + 0.1 for name, value in made.items() if "running" not in name]
    state = made | {f"lrs.{number}": value for number, value in enumerate(rates)}
    found = imported(tmp_path / "a.pt", recipe, state)
    assert found.theta.rates
    write_foreign(found, tmp_path / "run", trained_on=["a", "b"])
    before = (tmp_path / "run" / "env.json").read_bytes()
    assert write_foreign(found, tmp_path / "run", trained_on=["a", "b"]).trained_on == {"a", "b"}
    assert (tmp_path / "run" / "env.json").read_bytes() == before
    faster = replace(found, theta=replace(found.theta, rates={n: 2 * v for n, v in found.theta.rates.items()}))
    for other, classes in ((found, ["a"]), (found, []), (faster, ["a", "b"])):
        with pytest.raises(UserError, match="must be a new or an empty folder"):
            write_foreign(other, tmp_path / "run", trained_on=classes)
