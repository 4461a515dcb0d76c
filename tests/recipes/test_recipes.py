"""Recipes: every learner in every size, published settings with their sources, labels by class from end to end."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import from_dict, to_dict
from mamlprobe.cli import main, parse
from mamlprobe.commands.train import listed
from mamlprobe.data.sampling import sample
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.schedules import resolve
from mamlprobe.methods.settings import TERMS
from mamlprobe.nets.from_spec import build
from mamlprobe.probe.adaptation.interventions import nil
from mamlprobe.recipes import LEARNERS, PRESETS, RECIPES, recipe
from mamlprobe.recipes.published import PUBLISHED
from mamlprobe.recipes.sinusoids import SINUSOID
from mamlprobe.runs.experiment import Experiment, run_name
from mamlprobe.runs.folder import load_run
from mamlprobe.training.loop import train
from mamlprobe.training.training_tasks import head_rows, training_tasks
from tests.tiny import write_images
from tests.training.conftest import blobs

OFFERED = [(name, preset) for name, each in RECIPES.items() for preset in each.sizes]


@pytest.fixture(scope="module")
def pool():
    return blobs()


@pytest.mark.parametrize(("name", "preset"), OFFERED)
def test_every_recipe_is_a_whole_experiment_in_every_size_it_has(name, preset):
    experiment = recipe(name, preset)
    assert experiment.recipe == f"{name}-{preset}"
    assert from_dict(Experiment, to_dict(experiment)) == experiment
    assert RECIPES[name].source
    assert RECIPES[name].about


def test_every_method_has_a_learner_and_every_learner_all_sizes():
    assert {each.sizes["quick"].method.name for each in LEARNERS.values()} >= set(METHODS)
    assert all(tuple(each.sizes) == PRESETS for each in LEARNERS.values())
    assert list(RECIPES) == [*LEARNERS, *SINUSOID, *PUBLISHED]  # so none has the name of another
    assert len({run_name(recipe(*words)).rpartition("-")[2] for words in OFFERED}) == len(OFFERED)


def _kinds():
    """One published training for each method and kind of net, and every learner."""
    seen = {}
    for name in (*LEARNERS, *PUBLISHED):
        experiment = RECIPES[name].sizes.get("smoke", recipe(name))
        inner = replace(experiment.method.inner, lr=0.0, steps=0, test_steps=0, rates="fixed", first_order_updates=0)
        outer = replace(experiment.method.outer, rule="unrolled", terms=TERMS, pairs="all")
        outer = experiment.method.outer if experiment.method.outer.rule != "contrastive" else outer
        words = (
            replace(experiment.method, inner=inner, multi_step_updates=0, norm=METHODS["maml"].norm, outer=outer),
            experiment.labels,
        )
        seen.setdefault(
            (
                words,
                experiment.method.outer,
                experiment.method.norm,
                experiment.method.inner.rates,
                experiment.net.order,
            ),
            name,
        )
    return sorted(seen.values())


@pytest.mark.parametrize("name", _kinds())
def test_an_update_of_every_kind_of_recipe_is_finite(name, pool):
    """The settings are those of the recipe; the net and the tasks are small."""
    known = RECIPES[name].sizes.get("smoke", recipe(name))
    method = replace(known.method, inner=replace(known.method.inner, batch=known.method.inner.batch and 2))
    experiment = replace(known, method=method, way=2, tasks=1, query=1, train_shot=known.train_shot and 2)
    net = build(
        replace(known.net, filters=2, down="stride"),
        way=head_rows(pool, experiment) or 2,
        image=pool.image_shape,
    )
    theta = init(net, seed=0, method=method)
    gradients, readings = meta_gradient(net, theta, training_tasks(pool, experiment), resolve(method, 0, 4))
    assert torch.isfinite(readings.losses).all()
    assert set(gradients) == set(theta.learned)
    assert all(torch.isfinite(each).all() for each in gradients.values())


def test_sizes_that_are_not_there_are_refused():
    line = "recipe: finn-mini-5way-1shot comes in preset paper alone, got 'quick'; leave the preset out, or train a "
    with pytest.raises(UserError, match=line + "learner such as maml"):
        recipe("finn-mini-5way-1shot", "quick")
    assert recipe("finn-mini-5way-1shot") == recipe("finn-mini-5way-1shot", "paper")
    assert recipe("maml") == recipe("maml", "quick")
    with pytest.raises(UserError, match=r"the preset must be a known one, got 'qick'; did you mean quick\?"):
        recipe("maml", "qick")


def test_the_command_line_takes_published_settings(capsys):
    assert parse(["train", "li-meta-sgd-mini-5way-1shot"]).experiment == recipe("li-meta-sgd-mini-5way-1shot")
    assert main(["train", "li-meta-sgd-mini-5way-1shot", "--preset", "smoke"]) == 2
    assert "comes in preset paper alone, got 'smoke'" in capsys.readouterr().err
    assert main(["train", "--help"]) == 0
    assert listed() in capsys.readouterr().out
    assert all(len(line) <= 110 for line in listed().splitlines())
    assert all(name in listed() for name in LEARNERS)


def test_labels_by_class_end_to_end(pool, tmp_path):
    small = replace(recipe("multiclass", "smoke"), way=2, query=1)
    run = load_run(train(small, tmp_path, device="cpu", pool=pool, progress=False).path)
    rows = len(pool.splits["train"])
    assert run.classes == rows
    assert run.theta().net["head.weight"].shape[0] == rows
    assert train(small, tmp_path, device="cpu", pool=pool, progress=False).path == run.path  # finished: taken as it is

    episodes = sample(pool, split="val", way=2, shot=1, query=1, tasks=4, seed=0)
    table = evaluate(run.net(), run.theta(), episodes, {"nil": nil(run.config.method)})
    assert set(table["step"]) == {0}
    logged = run.log[(run.log["split"] == "val") & (run.log["quantity"] == "loss")]["value"]
    assert (logged < 1.0).all()  # of 2 classes, not of all that the head has


def test_a_head_of_training_classes_is_not_put_to_few_shot_tasks(tmp_path, capsys):
    folder = write_images(tmp_path / "tiny", "L")
    words = f"--preset smoke --dataset {folder} --way 3 --net.blocks 2 --updates 1 --validation-tasks 2"
    assert main(["train", "multiclass", "--out", str(tmp_path / "runs"), *words.split()]) == 0
    path = str(next((tmp_path / "runs").iterdir()))
    capsys.readouterr()
    assert main(["evaluate", path, "--episodes", "2", "--variants", "nil,keep"]) == 2
    told = capsys.readouterr().err
    assert told == (
        "evaluate: the head must have a row for each label of a task, got a row for each training class "
        "(multiclass-smoke has labels by class); read it out without the head: variant nil\n"
    )
    out = tmp_path / "nil.csv"
    assert main(["evaluate", path, "--episodes", "2", "--variants", "nil", "--out", str(out)]) == 0
    assert set(pd.read_csv(out)["variant"]) == {"nil"}
    assert main(["report", path, "--episodes", "2", "--out", str(tmp_path / "page.html")]) == 0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"labels": "clas"}, "the word for labels must be a known one, got 'clas'; did you mean class?"),
        ({"labels": "class"}, "labels by class must be learned by the head, without inner loop, got inner.steps 5, "),
        (
            {"labels": "class", "method": METHODS["nil"]},
            "got inner.steps 0, readout cosine, head keep; set them to 0, ",
        ),
        ({"train_shot": 0}, "train_shot must be at least 1, got 0; give a larger number"),
    ],
)
def test_words_that_do_not_fit(change, line):
    with pytest.raises(UserError, match=line.replace("?", r"\?")):
        Experiment(**change)
