"""The command line from end to end: train, evaluate, probe, report, import, data."""

import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mamlprobe import cli
from mamlprobe.base.streams import key
from mamlprobe.cli import COMMANDS, EXAMPLES, main, parse
from mamlprobe.commands import answers
from mamlprobe.commands.subjects.probed_run import KEYS, open_case
from mamlprobe.commands.subjects.probes import PROBES
from mamlprobe.commands.subjects.summaries import accuracies
from mamlprobe.data.episodes import manifest
from mamlprobe.data.sampling import sample
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.probe.adaptation.interventions import variants
from mamlprobe.probe.representation.model_similarity import Model, pair_similarity
from mamlprobe.recipes import RECIPES, recipe
from mamlprobe.runs.folder import load_run
from mamlprobe.statistics.intervals import t_interval
from mamlprobe.training.loop import Interrupted
from tests.tiny import SMALL, write_images


@pytest.fixture(scope="module")
def run(runs):
    return runs[0]


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


def test_the_recipe_may_stand_anywhere():
    assert parse(["train", "--out", "maml", "anil"]).experiment == recipe("anil")
    assert parse(["train", "--preset=paper", "--out", "fomaml", "boil"]).experiment == recipe("boil", "paper")


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


def test_evaluate_is_evaluate(run, tmp_path, capsys):
    """The table's values are those of one batch of all tasks, the printed means and intervals those of the table."""
    words = "keep,zero_at_test,nil,freeze:1-2"
    out = tmp_path / "new" / "table.csv"
    assert main(["evaluate", run, "--episodes", "30", "--variants", words, "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert tuple(table.columns[: len(KEYS)]) == KEYS
    case = open_case(run, tasks=30)
    episodes = sample(case.pool, split="test", way=3, shot=1, query=2, tasks=30, seed=key("evaluation"))
    direct = evaluate(case.net, case.theta, episodes, variants(case.net, case.method, words), steps="every")
    merged = table.merge(direct, on=["variant", "task", "step"], validate="one_to_one")
    assert len(merged) == len(table) == len(direct)
    other_batches = sample(case.pool, split="test", way=3, shot=1, query=2, tasks=5, seed=key("evaluation"), index=1)
    last = evaluate(case.net, case.theta, other_batches, variants(case.net, case.method, words), steps="every")
    first = merged["task"] < 25
    np.testing.assert_allclose(merged["value_x"][first], merged["value_y"][first], atol=1e-6)
    late = table[table["task"] >= 25].assign(task=lambda rows: rows["task"] - 25)
    late = late.merge(last, on=["variant", "task", "step"], validate="one_to_one")
    np.testing.assert_allclose(late["value_x"], late["value_y"], atol=1e-6)

    row = table.iloc[0]
    name = Path(run).name
    assert row[list(KEYS)].tolist() == [name, "maml", "tiny", "test", 0, 2, 3, 1, "batch", row["episodes"], 30]
    printed = capsys.readouterr().out
    assert f"{name} at update 2: 30 tasks 3-way 1-shot of tiny test (episodes {row['episodes']}, norm batch)" in printed
    values = 100 * table[(table["variant"] == "keep") & (table["step"] == 3)]["value"]
    low, high = t_interval(values.to_numpy())
    assert re.search(rf"^keep +3 +{re.escape(f'{values.mean():.1f} [{low:.1f}, {high:.1f}]')} +30$", printed, re.M)


def test_differences_are_taken_task_by_task():
    noise = np.random.default_rng(0).uniform(size=50)
    rows = [("keep", noise, 0), ("nil", noise + 0.1, 0), ("head", noise, 0), ("head", noise - 0.2, 1)]
    table = pd.concat(
        [pd.DataFrame({"variant": v, "task": range(50), "step": step, "value": x}) for v, x, step in rows]
    )
    found = accuracies(table).set_index("variant")
    assert found["minus keep"].tolist() == ["", "10.0 [10.0, 10.0]", "-20.0 [-20.0, -20.0]"]
    low, high = (float(text) for text in re.findall(r"[\d.]+", found["accuracy in %"]["keep"])[1:])
    assert high - low > 10
    assert found["step"].tolist() == [0, 0, 1]


def test_fewer_tasks_are_the_first_of_more(run, tmp_path):
    tables = {}
    for count in (4, 27):
        out = tmp_path / f"{count}.csv"
        assert main(["evaluate", run, "--episodes", str(count), "--out", str(out)]) == 0
        tables[count] = pd.read_csv(out)
    few, many = tables[4], tables[27]
    assert sorted(many["task"].unique()) == list(range(27))
    first = many[many["task"] < 4]
    for column in ("task", "step", "value"):
        assert few[column].tolist() == first[column].tolist()
    assert few["episodes"].nunique() == many["episodes"].nunique() == 1
    pool = open_case(run, tasks=1).pool
    whole = sample(pool, split="test", way=3, shot=1, query=2, tasks=4, seed=key("evaluation"))
    assert few["episodes"][0] == manifest(whole)
    assert many["episodes"][0] != few["episodes"][0]


def test_runs_on_the_same_data_see_the_same_tasks(runs, tmp_path, capsys):
    for path in runs:
        assert main(["evaluate", str(path), "--episodes", "3"]) == 0
    assert len(set(re.findall(r"episodes \w{16}", capsys.readouterr().out))) == 1


def test_other_updates_splits_shapes_and_data(run, images, tmp_path, capsys):
    words = "--update 1 --split val --shot 2 --query 3 --episodes 2 --device cpu"
    out = tmp_path / "table.csv"
    assert main(["evaluate", run, *words.split(), "--out", str(out)]) == 0
    row = pd.read_csv(out).iloc[0]
    assert (row["update"], row["split"], row["shot"], row["dataset"]) == (1, "val", 2, "tiny")
    other = write_images(tmp_path / "raw" / "other", "L", size=13)
    words = ["--dataset", "other", "--data-root", str(other.parent), "--episodes", "2"]
    assert main(["evaluate", run, *words, "--out", str(out)]) == 0
    assert pd.read_csv(out)["dataset"][0] == "other"


@pytest.mark.parametrize("probe", PROBES)
def test_probes_print_and_write(probe, run, tmp_path, capsys):
    out, figure = tmp_path / "table.csv", tmp_path / "figure.png"
    words = ["--episodes", "3", "--update", "1", "--out", str(out), "--figure", str(figure)]
    assert main(["probe", probe, run, *words]) == 0
    table = pd.read_csv(out)
    assert tuple(table.columns[: len(KEYS)]) == KEYS
    assert set(table["task"]) == {0, 1, 2}
    assert set(table["update"]) == {1}
    with Image.open(figure) as picture:
        assert picture.size[0] == 1020
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) > 4
    assert printed[-2:] == [f"table: {out}", f"figure: {figure}"]
    assert any(re.search(r"\d \[-?\d+\.\d+, -?\d+\.\d+\]", line) for line in printed)


def test_layers_of_two_runs_and_of_two_updates_of_one(runs, run, tmp_path, capsys):
    out, figure = tmp_path / "table.csv", tmp_path / "figure.png"
    words = ["--episodes", "3", "--out", str(out)]
    assert main(["probe", "layers", *map(str, runs), *words, "--figure", str(figure)]) == 0
    table = pd.read_csv(out)
    assert tuple(table.columns[: len(KEYS)]) == KEYS
    assert set(table["run_b"]) == {Path(runs[1]).name}
    assert set(table["moment"]) == {"before", "after"}
    cases = [open_case(str(path), tasks=3) for path in runs]
    models = [Model(net=case.net, theta=case.theta, method=case.method) for case in cases]
    direct = pair_similarity(*models, next(cases[0].batches()))
    keys = ["task", "layer", "moment", "measure"]
    both = table.merge(direct, on=keys, suffixes=("", "_direct"))
    assert len(both) == len(table)
    assert (both["value"] - both["value_direct"]).abs().max() < 1e-6
    assert table["value"].min() < 1 - 1e-4
    assert figure.is_file()
    assert f"against {Path(runs[1]).name} at update" in capsys.readouterr().out
    assert main(["probe", "layers", f"{run}@0", f"{run}@1", *words]) == 0
    table = pd.read_csv(out)
    assert (set(table["update"]), set(table["update_b"])) == ({0}, {1})
    assert main(["probe", "layers", f"{run}@1", f"{run}@1", *words]) == 0
    table = pd.read_csv(out)
    assert (table["value"].dropna() - 1).abs().max() < 1e-5


@pytest.mark.parametrize(("probe", "count"), [("layers", 0), ("layers", 3), ("freeze", 2)])
def test_too_many_or_too_few_runs_are_refused_in_one_line(probe, count, run, capsys):
    assert main(["probe", probe, *[str(run)] * count, "--episodes", "2"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "must be asked of one run" in said


def test_a_report_on_two_runs(runs, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out), "--episodes", "4"]) == 0
    text = out.read_text()
    for word in (
        "keep",
        "zero_at_test",
        "nil",
        "freeze:1,2",
        "method.inner.lr",
        "data.digest",
        "platform",
        "cka_debiased",
    ):
        assert word in text, word
    for path in runs:
        assert Path(path).name in text
    names = ["runs", *(f"run{i}-{part}" for i in (1, 2) for part in ("settings", "log", "accuracy", "layers"))]
    assert re.findall(r'<section id="([^"]+)"', text) == names
    pictures = re.findall(r'<img src="([^"]{40})', text)
    assert len(pictures) == 7
    assert all(source.startswith("data:image/png;base64,") for source in pictures)
    assert not re.search(r"<script|<link|src=\"http", text)


def kao_file(path: Path) -> Path:
    """Weights of one block of 2 filters on 8 x 8 images and a head of 3, under the names of Kao et al. 2022."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 1, 3, 3), (2,), (2,), (2,), (3, 32), (3,)]
    tensors = {f"vars.{i}": torch.randn(*shape, generator=generator) for i, shape in enumerate(shapes)}
    torch.save(tensors | {"vars_bn.0": torch.zeros(2), "vars_bn.1": torch.ones(2)}, path)
    return path


def test_import_kao_and_ask_it(images, tmp_path, capsys):
    out = tmp_path / "kao"
    file = str(kao_file(tmp_path / "net.pt"))
    words = ["--image", "1", "8", "8", "--dataset", str(images), "--inner-lr", "0.05"]
    assert main(["import", "kao", file, "--out", str(out), *words]) == 0
    assert "3-way, 123 parameters, layers conv1, head" in capsys.readouterr().out
    loaded = load_run(out)
    assert loaded.config.method.inner.lr == 0.05
    assert loaded.config.data.size == 8
    assert loaded.config.data.normalise is None  # the authors' levels are for colours
    assert main(["evaluate", str(out), "--query", "2", "--episodes", "2"]) == 0
    assert "kao at update 0: 2 tasks 3-way 1-shot of tiny test" in capsys.readouterr().out


NET = """
import torch
from PIL import Image

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 3, 3)
        self.fc = torch.nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""


def test_import_a_state_dict_and_ask_it(images, tmp_path, monkeypatch, capsys):
    (tmp_path / "tinynets.py").write_text(NET)
    monkeypatch.syspath_prepend(str(tmp_path))
    import tinynets

    torch.save(tinynets.Net().state_dict(), tmp_path / "net.pt")
    out, report = tmp_path / "run", tmp_path / "report.html"
    words = ["--module", "tinynets:Net", "--head", "fc", "--dataset", str(images), "--image", "1", "8", "8"]
    whole = ["import", "state_dict", str(tmp_path / "net.pt"), "--out", str(out), *words]
    assert main([*whole, "--way", "5"]) == 2
    assert "way must be at most the head's 4 outputs, got 5" in capsys.readouterr().err
    assert main([*whole, "--way", "3"]) == 0
    assert load_run(out).config.way == 3
    few = ["--query", "2", "--episodes", "2", "--module", "tinynets:Net"]
    assert main(["evaluate", str(out), *few, "--variants", "keep,nil,freeze"]) == 0
    assert main(["report", str(out), *few, "--out", str(report)]) == 0
    assert "There is no log" in report.read_text()


def test_data_lists_and_describes(images, capsys, monkeypatch):
    monkeypatch.delenv("MAMLPROBE_DATA", raising=False)
    assert main(["data", "--data-root", str(images.parent)]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["dataset", "glyphs", "omniglot", "sinusoids", "sinusoids-2pi", "planted-DIAL", "tiny"]
    assert main(["data", "tiny", "--data-root", str(images.parent)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [
        ["train", "5", "6", "30", "1", "28", "28"],
        ["val", "3", "6", "18", "1", "28", "28"],
        ["test", "4", "6", "24", "1", "28", "28"],
    ]


def test_fetch_downloads_before_it_describes(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(answers, "download", lambda name, root: asked.append((name, root)))
    assert main(["data", "omniglot", "--fetch", "--data-root", str(tmp_path)]) == 2
    assert asked == [("omniglot", str(tmp_path))]
    assert "must hold images_background.zip" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["", *COMMANDS, "import kao", "import state_dict"])
def test_help_ends_with_an_example_that_parses(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines()[-2:] == ["example:", f"  {EXAMPLES[command]}"]
    program, *words = shlex.split(EXAMPLES[command])
    assert program == "mamlprobe"
    assert isinstance(parse(words), COMMANDS[words[0]])
    assert " ".join(words).startswith(command)


def test_the_examples_follow_one_another(tmp_path):
    """The run that the later examples name is the one that the first one makes."""
    made = f"{parse(shlex.split(EXAMPLES['train'])[1:]).out}/"
    for command in ("evaluate", "probe", "report"):
        assert f" {made}maml-quick-s0-" in EXAMPLES[command]


def test_interruptions(run, monkeypatch, capsys):
    loaded = load_run(run)
    for error, line in [
        (KeyboardInterrupt(), "interrupted"),
        (Interrupted(loaded, 1), f"interrupted: 1 of 2 updates are kept in {run}; the same command goes on"),
    ]:

        def stop(words, error=error):
            raise error

        monkeypatch.setattr(cli, "parse", stop)
        assert main([]) == 130
        assert capsys.readouterr().err == line + "\n"


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    monkeypatch.setattr(cli, "parse", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main([])


def test_as_a_module():
    """With boxes drawn by lines, as on a terminal, what tyro says is one line too."""
    words, env = "train maml --inner.stps 3", os.environ | {"PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "mamlprobe", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, encoding="utf-8")
    assert done.returncode == 2
    got = "--inner.stps; did you mean --inner.steps?"
    assert done.stderr == f"mamlprobe train: the options must be those of this command, got {got}\n"
    assert done.stdout == ""


def test_a_reader_that_leaves(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return spare

    with open("/dev/null", "w") as file:
        spare = file.fileno()
        monkeypatch.setattr(sys, "stdout", Gone())
        assert main(["data"]) == 141
