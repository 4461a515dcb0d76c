"""The command `certify` from end to end: what it prints, its exit codes, its errors."""

import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import mamlprobe as mp
import mamlprobe.certificates.gradient as home
from mamlprobe.certificates import contrast as contrastive
from mamlprobe.cli import main
from mamlprobe.commands.certificate import nudged
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import Method
from mamlprobe.nets.mlp import mlp
from mamlprobe.recipes import RECIPES, recipe
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.folder import load_run
from mamlprobe.training.loop import train
from tests.tiny import write_images

SMALL = "--preset smoke --way 3 --size 10 --net.blocks 2 --net.filters 3 --tasks 2 --updates 2 --validation-tasks 0"


@pytest.fixture(scope="module")
def run(tmp_path_factory, images):
    out = tmp_path_factory.mktemp("runs")
    assert main(["train", "anil", *shlex.split(SMALL), "--dataset", str(images), "--out", str(out)]) == 0
    return str(next(out.glob("anil-*")))


def test_a_recipe_is_certified(tmp_path, capsys):
    out = tmp_path / "new" / "table.csv"
    assert main(["certify", "sinusoid-maml", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sinusoid-maml-smoke near its start: 3 tasks 1-way, 10 support rows each, of sinusoids, float64"
    table = pd.read_csv(out)
    assert lines[1].split() == list(table.columns) == ["check", "what", "value", "bound", "verdict"]
    assert len(lines) == len(table) + 3
    assert lines[-1] == f"table: {out}"
    assert list(dict.fromkeys(table["check"])) == ["differences", "plain loop", "order", "adapts", "field"]
    starts = {line.index(word) for line, word in zip(lines[2:-1], table["verdict"])}
    assert len(starts) == 1  # aligned


def test_a_run_is_certified_at_its_last_checkpoint(run, capsys):
    assert main(["certify", run, "--seed", "3"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{Path(run).name} at update 2: 3 tasks 3-way, 3 support rows each, of ")
    assert "off order 1 by" in told
    assert "of 8 that are to stay" in told


def test_a_failing_check_is_code_1(run, monkeypatch, capsys):
    def first_order(net, theta, episodes, method):
        return meta_gradient(net, theta, episodes, replace(method, inner=replace(method.inner, order=1)))

    monkeypatch.setattr(home, "meta_gradient", first_order)
    assert main(["certify", run]) == 1
    told = capsys.readouterr()
    assert told.err == ""
    assert [line.split()[0] for line in told.out.splitlines() if line.endswith(" fails")] == [
        "differences",
        "plain",
        "order",
    ]


def test_the_contrastive_statements_of_a_run(run, tmp_path, monkeypatch, capsys):
    out = tmp_path / "table.csv"
    assert main(["certify", run, "--contrast", "--out", str(out)]) == 0
    lines, table = capsys.readouterr().out.splitlines(), pd.read_csv(out)
    assert lines[0].startswith(f"{Path(run).name} at update 2: 3 tasks 3-way, 3 support rows each, of ")
    checks = ["first order", "second order", "squared error", "signs", "prototypes", "head", "trainer"]
    assert list(dict.fromkeys(table["check"])) == checks
    assert set(table["verdict"]) == {"passes"}
    assert len(lines) == len(table) + 3

    def off(net, theta, episodes, method):
        gradients, readings = meta_gradient(net, theta, episodes, method)
        return {name: 1.1 * value for name, value in gradients.items()}, readings

    monkeypatch.setattr(contrastive, "meta_gradient", off)
    assert main(["certify", run, "--contrast"]) == 1
    assert "fails" in capsys.readouterr().out


def test_the_contrastive_statements_need_classes_of_the_task(images, capsys):
    assert main(["certify", "sinusoid-maml", "--contrast"]) == 2
    line = "certify: contrast needs tasks of classes, got real targets; choose a recipe with classes"
    assert capsys.readouterr().err.strip() == line
    assert main(["certify", "multiclass", "--contrast", "--dataset", str(images)]) == 2
    line = "certify: contrast needs tasks with labels of their own, got labels by class; choose another run or recipe"
    assert capsys.readouterr().err.strip() == line


def test_a_contrastive_recipe_is_certified(images, capsys):
    """With the ordinary certificate: terms that are left out are no slope of a loss; a head that stays is told."""
    for name in ("contrastive-no-interference", "contrastive-so-zeroing", "contrastive-positives"):
        assert main(["certify", name, "--dataset", str(images)]) == 0
        told = capsys.readouterr().out
        assert "contrastive gradient, all" in told
        assert ("the slope of no loss" in told) == (name != "contrastive-so-zeroing")
        assert ("the terms left out are zero here" in told) == (name == "contrastive-so-zeroing")
        assert "outer.rule contrastive: with all its terms it equals the unrolled rule" in told


def test_mistakes_are_code_2(run, images, tmp_path, capsys):
    other = write_images(tmp_path / "other", "RGB")
    cases = [
        (["mml"], "certify: the run folder or recipe must be a known one, got 'mml'; did you mean maml"),
        (["runs/none"], "certify: runs/none must be the folder of a run, got none; check the path"),
        ([str(images)], f"load_run: {images} must hold config.json, got none; name a folder that training made"),
        (
            [run, "--preset", "smoke"],
            "certify: a preset must be that of a recipe, got a run folder; leave --preset out",
        ),
        ([run, "--out", str(images)], f"write: {images} must be a file, got a folder; name a file in it"),
        (
            [run, "--dataset", str(other)],
            "certify: images of 'other' must be [1, 10, 10], as the net sees them, got [3, 10, 10]; choose other data",
        ),
        (["maml", "--preset", "tiny"], "recipe: the preset must be a known one, got 'tiny'; did you mean smoke, quick"),
    ]
    for words, line in cases:
        assert main(["certify", *words]) == 2, words
        assert capsys.readouterr().err.startswith(line)


def test_a_run_can_be_certified_on_other_data(run, tmp_path, capsys):
    other = write_images(tmp_path / "other", "L", size=13)
    assert main(["certify", run, "--dataset", other.name, "--data-root", str(tmp_path)]) == 0
    assert "of other, float64" in capsys.readouterr().out


def test_labels_by_class_have_their_own_head(tmp_path, capsys):
    experiment = Experiment(
        recipe="classes",
        data=Data(dataset=str(write_images(tmp_path / "tiny", "L")), size=10),
        net=mp.NetSpec(kind="mlp", hidden=(4,)),
        method=replace(Method(), inner=replace(Method().inner, steps=0, test_steps=0)),
        labels="class",
        way=3,
        query=2,
        tasks=2,
        updates=1,
        validation_tasks=0,
    )
    done = train(experiment, tmp_path / "runs", device="cpu", progress=False)
    assert main(["certify", str(done.path)]) == 0
    assert load_run(done.path).net().way == 5


def test_the_start_is_moved_a_little():
    net = mlp(inputs=3, way=2, hidden=(3,), norm="batch")
    theta = init(net, seed=0)
    moved = nudged(theta, 0)
    for name, value in theta.net.items():
        gap = (moved.net[name] - value).abs()
        assert gap.max() > 0
        assert gap.max() <= 0.05 * max(value.abs().mean(), 1.0)
    assert moved.moments == theta.moments
    rates = mp.METHODS["mamlpp"]
    assert all((v > 0).all() for v in nudged(init(net, seed=0, method=rates), 0).rates.values())


def test_the_door():
    assert mp.certify is home.certify
    assert "smoke" in RECIPES["maml"].sizes
    assert recipe("maml", "smoke").method.inner.order == 2
