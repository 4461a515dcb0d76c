"""The user's mistakes at the command line: one line on stderr, exit code 2, no traceback."""

import errno
import json
import os
import shlex
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from mamlprobe.cli import main
from mamlprobe.runs import checkpoint as checkpoints
from mamlprobe.runs.folder import load_run

SMALL = (
    "--preset smoke --way 3 --size 10 --net.blocks 2 --tasks 2 --updates 2 --checkpoint-every 2 --validation-tasks 2"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of 4 + 3 + 3 classes of 4 images of noise."""
    folder, noise = tmp_path_factory.mktemp("data") / "tiny", np.random.default_rng(0)
    for name in [
        *(f"train/a{i}" for i in range(4)),
        *(f"{split}/{split}{i}" for split in ("val", "test") for i in range(3)),
    ]:
        (folder / name).mkdir(parents=True)
        for item in range(4):
            Image.fromarray(noise.integers(0, 256, (10, 10)).astype(np.uint8)).save(folder / name / f"{item}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, images):
    """Two small runs, of 4 and of 6 filters."""
    out = tmp_path_factory.mktemp("runs")
    for filters in ("4", "6"):
        words = ["--dataset", str(images), "--net.filters", filters, "--out", str(out / filters)]
        assert main(["train", "maml", *shlex.split(SMALL), *words]) == 0
    return [next((out / filters).iterdir()) for filters in ("4", "6")]


@pytest.fixture
def run(made, tmp_path):
    """A copy of the first run, to be spoiled."""
    return Path(shutil.copytree(made[0], tmp_path / "run"))


@pytest.fixture
def line(capsys):
    """What the command says on stderr, held to be one line, with exit code 2."""

    def of(*words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        told = capsys.readouterr().err
        assert told.endswith("\n")
        assert told.count("\n") == 1, told
        return told[:-1]

    return of


def last(run):
    return run / "checkpoints" / "u000002.safetensors"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("trian maml", "mamlprobe: the command must be a known one, got 'trian'; did you mean train?"),
        ("train mmal", "recipe: the recipe must be a known one, got 'mmal'; did you mean maml, imaml, somaml?"),
        (
            "train maml --head zero",
            "method: the head must be a known one, got 'zero'; did you mean zero_once, zero_at_test?",
        ),
        (
            "train maml --norm.statistics bach",
            "method: the norm.statistics must be a known one, got 'bach'; did you mean batch?",
        ),
        ("train maml --inner.order 3", "method: inner.order must be 1 or 2, got 3; 2 is MAML, 1 is FOMAML"),
        ("train maml --way 0", "experiment: way must be at least 1, got 0; give a larger number"),
        (
            "train maml --device gpu",
            "train: device must be auto, cpu, cuda or cuda:<number>, got 'gpu'; choose one of them",
        ),
        (
            "data glyphs --fetch",
            "data: the data set to download must be a known one, got 'glyphs'; did you mean omniglot?",
        ),
        ("report --out a.html", "report: at least one run must be named, got none; name the folders of runs"),
        ("report a --out a.txt", "write: a.txt must end in .html or .htm, got '.txt'; rename it"),
        ("probe layers a --figure a.doc", "write: a.doc must end in .png or .pdf or .svg, got '.doc'; rename it"),
        ("import koa file", "import: the kind of file must be a known one, got 'koa'; did you mean kao?"),
        ("probe lyers a", "probe: the probe must be a known one, got 'lyers'; did you mean layers, terms?"),
        ("evaluate nowhere", "load_run: the run folder must exist, got nowhere; train it first, or check the path"),
    ],
)
def test_names_and_numbers(words, told, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert line(*words.split()) == told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "got"),
    [
        (
            "",
            "got expected one of {train, sweep, evaluate, probe, certify, import, export, report, table, survey, "
            "reproduce, data, doctor, cache}; see mamlprobe --help",
        ),
        ("train", "got missing from mamlprobe train: RECIPE maml, anil,"),
        ("train maml --inner.stps 3", "got --inner.stps; did you mean --inner.steps?"),
        ("train maml --inner.steps x", "got error parsing --inner.steps: invalid literal for int() with base 10: 'x'"),
        ("train maml --updates", "got missing value for argument '--updates'"),
        ("import kao", "got missing from mamlprobe import kao: FILE"),
        (
            "import kao a --out b --data-root c",
            "got --data-root (an option of train, sweep, evaluate, probe, certify, import auto, report, table, ",
        ),
        (
            "import kao a --out b --image 1 2",
            "got error parsing --image: no type matching {INT INT INT} could be instantiated from ['1', '2']; see",
        ),
        ("data a b", "got unrecognized words: b; see mamlprobe data --help"),
    ],
)
def test_words_that_make_no_command(words, got, line):
    told = line(*words.split())
    assert told.startswith("mamlprobe")
    must = "the options must be those of this command" if got.startswith("got --") else "the words must make a command"
    assert f": {must}, {got}" in told
    assert "│" not in told


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("--preset big", "recipe: the preset must be a known one, got 'big'; did you mean smoke, quick, long, paper?"),
        ("--precision tf16", "train: the precision must be a known one, got 'tf16'; did you mean tf32"),
        ("--head kep", "method: the head must be a known one, got 'kep'; did you mean keep?"),
        ("--outer.terms noise nois", "method: the outer.terms must be a known one, got 'nois'; did you mean noise?"),
        ("--net.order conv-relu", "net: the order must be a known one, got 'conv-relu'; did you mean conv-relu-bn"),
        ("--labels bin", "experiment: the word for labels must be a known one, got 'bin'; did you mean bins"),
    ],
)
def test_a_word_that_is_not_in_its_list(words, wanted, line, tmp_path):
    assert line("train", "maml", "--out", tmp_path, *words.split()).startswith(wanted)


def test_unknown_data(line, tmp_path):
    told = line("train", "maml", "--dataset", "glyfs", "--data-root", tmp_path, "--out", tmp_path / "out")
    assert told.startswith("load_pool: the data set (a name, or a folder or zip of class folders, as given or under")
    assert told.endswith("must be a known one, got 'glyfs'; did you mean glyphs?")
    assert not (tmp_path / "out").exists()


def test_unknown_variant_update_and_split(made, line):
    assert line("evaluate", made[0], "--variants", "keep,zero") == (
        "variants: the variant must be a known one, got 'zero'; did you mean zero_at_test?"
    )
    assert "freeze: layers must lie in 1-3, got 1-9" in line("evaluate", made[0], "--variants", "freeze:1-9")
    assert line("evaluate", made[0], "--update", "1").endswith("checkpoint of the update, got 1; the nearest are 0, 2")
    assert "split of 'tiny' must be a known one, got 'tets'; did you mean test" in line(
        "evaluate", made[0], "--split", "tets"
    )
    assert line("evaluate", made[0], "--episodes", "0").startswith("evaluate: episodes must be at least 1, got 0")


def test_too_few_classes_and_items(made, images, line, tmp_path):
    words = ["train", "maml", "--dataset", images, "--out", tmp_path / "out"]
    assert "way must be at most the 4 classes of split 'train', got 5" in line(*words, "--way", "5")
    assert "way must be at most the 3 classes of split 'val', got 4" in line(*words, "--way", "4", "--query", "1")
    assert "shot + query must be at most the 4 items of class 'a0', got 5" in line(*words, "--way", "3", "--query", "4")
    assert "shot + query must be at most the 4 items of class 'test0', got 5" in line(
        "evaluate", made[0], "--shot", "3"
    )
    assert not (tmp_path / "out").exists()


def test_images_of_another_kind(made, line, tmp_path):
    for each in "abc":
        (tmp_path / "colours" / each).mkdir(parents=True)
        for item in range(4):
            Image.new("RGB", (10, 10), (item, 0, 200)).save(tmp_path / "colours" / each / f"{item}.png")
    told = line("evaluate", made[0], "--dataset", tmp_path / "colours")
    must = "evaluate: images of 'colours' must be [1, 10, 10], as the net sees them, got [3, 10, 10]"
    assert told == f"{must}; choose other data with --dataset"


@pytest.mark.parametrize("how", ["cut", "text", "outside", "empty zip"])
def test_broken_zips(how, images, line, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        if how != "empty zip":
            archive.write(images / "train" / "a0" / "0.png", "train/a/0.png")
        if how == "outside":
            archive.write(images / "train" / "a0" / "0.png", "../out.png")
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    if how == "text":
        path.write_text("not a zip")
    told = line("train", "maml", "--dataset", path, "--out", tmp_path / "out")
    assert told.startswith("load_pool: ")
    assert {"outside": "../out.png", "empty zip": "must hold folders of images"}.get(how, "whole zip") in told
    assert not (tmp_path.parent / "out.png").exists()


def test_a_broken_image_and_an_empty_folder(images, line, tmp_path):
    folder = Path(shutil.copytree(images, tmp_path / "set"))
    picture = folder / "train" / "a1" / "2.png"
    picture.write_bytes(picture.read_bytes()[:60])
    told = line("data", folder)
    assert told.startswith("load_pool: ")
    assert "train/a1/2.png" in told
    (tmp_path / "none").mkdir()
    assert "must hold folders of images, got none; lay it out as train/CLASS/IMAGE" in line("data", tmp_path / "none")


def test_folders_that_are_no_run(run, line, tmp_path):
    config = run / "config.json"
    whole = config.read_text()
    assert f"{tmp_path} must hold config.json, got none; the runs in it are run" in line("evaluate", tmp_path)
    config.write_text(whole[:100])
    assert "the file must be whole JSON" in line("evaluate", run)
    values = json.loads(whole)
    values["method"]["hed"] = "keep"
    config.write_text(json.dumps(values))
    told = line("evaluate", run)
    assert "config.json.method: the field must be a known one, got 'hed'; did you mean head" in told
    config.unlink()
    assert "must hold config.json" in line("report", run, "--out", tmp_path / "a.html")


def test_damaged_checkpoints(run, made, line):
    data = last(run).read_bytes()
    changed = bytearray(data)
    changed[-3] ^= 1
    for bad in (data[: len(data) // 2], bytes(changed)):
        last(run).write_bytes(bad)
        told = line("evaluate", run)
        assert told.startswith("run: the checkpoint of update 2 must be good, got checkpoint: ")
        assert told.endswith("; the last good one is run.theta(update=0)")
    assert main(["evaluate", str(run), "--update", "0", "--episodes", "1"]) == 0
    shutil.copy(last(made[1]), last(run))
    told = line("probe", "nil", run)
    assert "a checkpoint of another architecture, with net.body.1.conv.weight [6, 1, 3, 3]" in told
    assert "instead of [4, 1, 3, 3]" in told


def test_weights_that_are_not_numbers(run, line):
    known = load_run(run).checkpoint()
    broken = {name: value.clone() for name, value in known.theta.net.items()}
    broken["head.weight"][0, 0] = float("nan")
    tensors = checkpoints.named_tensors(replace(known, theta=replace(known.theta, net=broken)))
    digest = checkpoints.digest(tensors)
    header = {"format": checkpoints.FORMAT, "update": 2, "digest": digest, "words": known.metadata}
    last(run).write_bytes(save(tensors, {"checkpoint": json.dumps(header)}))
    assert "every number must be finite, got NaN or infinity in net.head.weight" in line("evaluate", run)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_no_cuda(made, images, line, tmp_path):
    told = "train: device 'cuda' must be there, got 0 CUDA devices"
    assert line("train", "maml", "--device", "cuda", "--out", tmp_path / "out").startswith(told)
    assert line("evaluate", made[0], "--device", "cuda").startswith(told)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_while_training(images, tmp_path, monkeypatch, capsys):
    """The checkpoint before stays; with room again, the same words go on to the end."""
    words = ["train", "anil", *shlex.split(SMALL), "--dataset", str(images), "--out", str(tmp_path / "out")]
    whole = os.replace

    def full(source, target):
        if "u000002" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert main(words) == 2
    *bars, told = capsys.readouterr().err.splitlines()
    assert told.startswith("write: there must be room for ")
    assert "u000002.safetensors, got No space left on device; free space and start again" in told
    assert not any("Traceback" in each for each in bars)
    run = next((tmp_path / "out").iterdir())
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["u000000.safetensors"]
    monkeypatch.setattr(os, "replace", whole)
    assert main(words) == 0
    assert load_run(run).done


def test_a_full_disk_while_a_table_is_written(made, line, tmp_path, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "table.csv"
    out.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    told = line("evaluate", made[0], "--episodes", "1", "--out", out)
    assert told.startswith(f"write: there must be room for {out}, got No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert out.read_text() == "old"


def test_places_that_cannot_be_written_to(made, images, line, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    words = ["train", "maml", *shlex.split(SMALL), "--dataset", images, "--out", file]
    assert line(*words).startswith(f"write: {file}")
    told = f"write: {file} must be a folder, got "
    assert line("evaluate", made[0], "--out", file / "table.csv").startswith(told)
    assert line("probe", "nil", made[0], "--figure", file / "a.png").startswith(told)
    assert line("report", made[0], "--out", file / "a.html").startswith(told)
    assert line("evaluate", made[0], "--out", tmp_path) == (
        f"write: {tmp_path} must be a file, got a folder; name a file in it"
    )
    file.unlink()
    assert "must be a new or an empty folder" in line("import", "kao", kao(tmp_path / "net.pt"), "--out", made[0])


def kao(path):
    """The smallest file of the right names."""
    shapes = [(1, 1, 3, 3), (1,), (1,), (1,), (2, 1)]
    tensors = {f"vars.{i}": torch.zeros(shape) for i, shape in enumerate(shapes)}
    torch.save(tensors | {"vars_bn.0": torch.zeros(1), "vars_bn.1": torch.ones(1)}, path)
    return path


def test_files_that_cannot_be_imported(line, tmp_path):
    out = ["--out", tmp_path / "out"]
    assert "import: the file must exist" in line("import", "kao", tmp_path / "none.pt", *out)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    assert "import kao: tensors must be named vars.<i> and vars_bn.<i>" in line(
        "import", "kao", tmp_path / "other.pt", *out
    )
    module = ["--module", "no.such:Net", "--head", "fc"]
    assert "module 'no.such' must be importable" in line("import", "state_dict", tmp_path / "other.pt", *module, *out)
    assert not (tmp_path / "out").exists()
