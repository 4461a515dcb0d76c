"""The folder of an import: there whole or not at all, whatever stopped it; and what of its inner loop was assumed."""

import json
import os
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import locked
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Norm
from mamlprobe.runs import aside
from mamlprobe.runs import import_weights as foreign
from mamlprobe.runs.folder import load_run, make_run
from mamlprobe.runs.import_weights import import_kao, write_run
from mamlprobe.runs.inner import NAMES


def kao(path, **changes):
    """A file of one block, with these tensors changed."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 1, 3, 3), (2,), (2,), (2,), (3, 32), (3,)]
    tensors = {f"vars.{i}": torch.randn(*shape, generator=generator) for i, shape in enumerate(shapes)}
    tensors |= {"vars_bn.0": torch.zeros(2), "vars_bn.1": torch.ones(2)}
    torch.save(tensors | changes, path)
    return path


@pytest.fixture
def made(tmp_path):
    """Settings, weights and the file of an import."""
    file = kao(tmp_path / "net.pt")
    return *import_kao(file, image=(1, 8, 8)), file


def names(folder):
    """All files and folders in it, by their paths."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock")


WHOLE = ["checkpoints", "checkpoints/u000000.safetensors", "config.json", "done", "env.json"]


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "folders above", "a lock"])
def test_the_folder_is_whole(made, there, tmp_path):
    experiment, theta, file = made
    out = tmp_path / "a" / "b" / "run" if there == "folders above" else tmp_path / "run"
    if there in ("an empty folder", "a lock"):
        out.mkdir()
        number = out.stat().st_ino
    if there == "a lock":
        (out / ".lock").touch()
    run = write_run(experiment, theta, out, source=file)
    assert names(out) == WHOLE
    assert load_run(run.path).imported
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["net.pt", out.relative_to(tmp_path).parts[0]])
    if there in ("an empty folder", "a lock"):
        assert out.stat().st_ino == number  # itself: it may be somebody's working directory


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "folders above"])
@pytest.mark.parametrize("place", ["make_run", "save_checkpoint", "write"])
def test_whatever_stops_it_nothing_is_left(made, there, place, tmp_path, monkeypatch):
    experiment, theta, file = made
    out = tmp_path / "a" / "b" / "run" if there == "folders above" else tmp_path / "run"
    if there == "an empty folder":
        out.mkdir()
    before = names(tmp_path)
    whole = getattr(foreign, place)

    def stopped(*words, **more):
        whole(*words, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(foreign, place, stopped)
        with pytest.raises(KeyboardInterrupt):
            write_run(experiment, theta, out, source=file)
    assert names(tmp_path) == before
    write_run(experiment, theta, out, source=file)
    assert names(out) == WHOLE


@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
def test_what_a_killed_import_left_does_not_block_the_next(made, there, tmp_path):
    """A kill leaves the folder aside with anything in it, in an empty folder also some files put in place already."""
    experiment, theta, file = made
    out = tmp_path / "run"
    aside = out / ".importing" if there == "an empty folder" else tmp_path / ".run.importing"
    make_run(aside, replace(experiment, seed=5), experiment.net.image)
    (aside / "checkpoints").mkdir()
    (aside / "checkpoints" / "u000007.safetensors").write_bytes(b"half")
    if there == "an empty folder":
        (out / "checkpoints").mkdir()
        (out / "checkpoints" / "u000009.safetensors").write_bytes(b"half")
        (out / "env.json").write_text("{")
    write_run(experiment, theta, out, source=file)
    assert names(out) == WHOLE
    assert load_run(out).config == experiment
    assert not aside.exists()


def test_an_import_that_is_still_going_on_is_left_alone(made, tmp_path):
    experiment, theta, file = made
    aside = tmp_path / ".run.importing"
    with locked(aside):
        (aside / "config.json").write_text("theirs")
        with pytest.raises(UserError, match=r"must be free, got held by process"):
            write_run(experiment, theta, tmp_path / "run", source=file)
        assert (aside / "config.json").read_text() == "theirs"


@pytest.mark.parametrize("name", ["vars.2", "vars_bn.1"])
def test_numbers_that_are_not_finite_are_told_by_tensor_and_file(name, tmp_path):
    file = kao(tmp_path / "net.pt", **{name: torch.tensor([1.0, torch.nan])})
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            import_kao(file, image=(1, 8, 8))
        line = f"import: net.pt must hold finite numbers, got NaN or infinity in {name}; take a file from before it"
        assert str(caught.value).startswith(line)


def test_numbers_that_are_not_finite_are_not_written(made, tmp_path):
    experiment, theta, file = made
    theta.moments["body.1.norm.var"][0] = torch.inf
    for words, what in (({"source": file}, "net.pt"), ({}, "the weights")):
        with pytest.raises(
            UserError, match=rf"{what} must hold finite numbers, got NaN or infinity in body.1.norm.var"
        ):
            write_run(experiment, theta, tmp_path / "run", **words)
    assert not (tmp_path / "run").exists()


def test_other_numbers_in_files_of_that_lineage(tmp_path):
    said = []
    file = kao(tmp_path / "net.pt", **{"vars.1": torch.ones(2, dtype=torch.float64), "vars.3": torch.ones(2).half()})
    _, theta = import_kao(file, image=(1, 8, 8), say=said.append)
    assert said == ["converted: float16 to float32, float64 to float32"]
    assert {value.dtype for value in theta.net.values()} == {torch.float32}
    with pytest.raises(UserError, match=r"vars.1 must hold real numbers, got int64"):
        import_kao(kao(tmp_path / "net.pt", **{"vars.1": torch.ones(2, dtype=torch.int64)}), image=(1, 8, 8))
    torch.save(
        {f"net.{name}": value for name, value in torch.load(kao(tmp_path / "net.pt")).items()}, tmp_path / "a.pt"
    )
    assert torch.equal(
        import_kao(tmp_path / "a.pt")[1].net["head.bias"], import_kao(tmp_path / "net.pt")[1].net["head.bias"]
    )


def test_what_was_assumed_is_kept(made, tmp_path):
    experiment, theta, file = made
    assert write_run(experiment, theta, tmp_path / "a", source=file).assumed == NAMES
    assert write_run(experiment, theta, tmp_path / "b", assumed=("steps", "inner_lr")).assumed == ("inner_lr", "steps")
    own = Method(inner=Inner(lr=0.1, test_steps=3), norm=Norm(statistics="support"))
    own = replace(experiment, method=own)
    assert write_run(own, theta, tmp_path / "c").assumed == ("adapts", "readout")
    env = json.loads((tmp_path / "c" / "env.json").read_text())
    del env["assumed"]  # as of an import by an earlier version
    (tmp_path / "c" / "env.json").write_text(json.dumps(env))
    assert load_run(tmp_path / "c").assumed == ("adapts", "readout")


def test_nothing_is_assumed_of_a_run_that_was_trained(run):
    assert run.assumed == ()
    (run.path / "done").write_text("finished\n")
    assert run.assumed == ()


def test_the_method_can_be_given(tmp_path):
    file = kao(tmp_path / "net.pt")
    experiment, _ = import_kao(file, image=(1, 8, 8), method=METHODS["anil"])
    assert experiment.method == METHODS["anil"]
    assert import_kao(file, image=(1, 8, 8), method=METHODS["anil"], inner_lr=0.3)[0].method.inner.lr == 0.3
    wrong = Method(inner=Inner(adapts=("nowhere.*",)))
    with pytest.raises(UserError, match=r"every pattern must select a parameter, got 'nowhere.\*'"):
        import_kao(file, image=(1, 8, 8), method=wrong)


class Killed(BaseException):
    """What nothing cleans up after."""


@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
@pytest.mark.parametrize("moves", range(6))
def test_an_import_that_was_killed_while_it_moved_is_repeated(made, there, moves, tmp_path, monkeypatch):
    """Also after its last step, when all is there and the command has not said so yet."""
    experiment, theta, file = made
    out, rename, done = tmp_path / "run", os.rename, []
    if there == "an empty folder":
        out.mkdir()

    def killed(source, target):
        if len(done) == moves:
            raise Killed
        rename(source, target)
        done.append(target)

    with monkeypatch.context() as patch:
        patch.setattr(aside, "_remove", lambda path: None)  # what is killed removes nothing
        patch.setattr(aside.os, "rename", killed)
        with suppress(Killed):
            write_run(experiment, theta, out, source=file)
    number = out.stat().st_ino if out.exists() else None
    for _ in range(2):
        run = write_run(experiment, theta, out, source=file)
        assert (run.config, run.imported, run.assumed) == (experiment, True, NAMES)
        assert names(tmp_path) == sorted(["net.pt", "run", *(f"run/{each}" for each in WHOLE)])
        assert number in (None, out.stat().st_ino)


@pytest.mark.parametrize("change", ["other weights", "another method", "another file", "damaged", "trained"])
def test_another_import_than_the_one_that_is_there_is_refused(made, change, tmp_path):
    experiment, theta, file = made
    run = write_run(experiment, theta, tmp_path / "run", source=file)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    if change == "other weights":
        theta.net["head.bias"].add_(1)
    if change == "another method":
        experiment = replace(experiment, method=METHODS["anil"])
    if change == "another file":
        file = kao(tmp_path / "net.pt", **{"vars.5": torch.zeros(3)})
    if change == "damaged":
        path = run.path / "checkpoints" / "u000000.safetensors"
        path.write_bytes(b"half")
        before[path] = b"half"
    if change == "trained":
        (run.path / "done").write_bytes(b"0 updates\n")
        before[run.path / "done"] = b"0 updates\n"
    with pytest.raises(UserError, match=r"import: .*run must be a new or an empty folder, got one that is in use;"):
        write_run(experiment, theta, tmp_path / "run", source=file)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
@pytest.mark.parametrize("kind", ["a link", "a folder of somebody's"])
def test_a_folder_in_the_place_of_the_temporary_one_is_left_alone(made, there, kind, tmp_path):
    experiment, theta, file = made
    out, mine = tmp_path / "run", tmp_path / "mine"
    place = out / ".importing" if there == "an empty folder" else tmp_path / ".run.importing"
    mine.mkdir()
    (mine / "config.json").write_text("mine")
    place.parent.mkdir(exist_ok=True)
    if kind == "a link":
        place.symlink_to(mine)
    else:
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    line = r"import: .*\.(run\.)?importing must be a folder that an import left, got (a link|one with 'notes.txt');"
    with pytest.raises(UserError, match=line):
        write_run(experiment, theta, out, source=file)
    assert (mine / "config.json").read_text() == "mine"
    assert kind == "a link" or (place / "notes.txt").read_text() == "mine"


def test_a_run_that_holds_a_temporary_folder_is_not_emptied(run, made):
    """Its own files are not what an import that was killed has left."""
    experiment, theta, file = made
    (run.path / ".importing").mkdir()
    before = names(run.path)
    with pytest.raises(UserError, match=r"must be a new or an empty folder, got one that is in use"):
        write_run(experiment, theta, run.path, source=file)
    assert names(run.path) == before
