"""Runs from elsewhere, runs that stand still, caches, and what a command says: shared by the tests of this room."""

import shlex

import pytest
import torch

from mamlprobe.cli import main
from mamlprobe.data.by_name import load_pool
from mamlprobe.learn.task_batch import TaskBatch
from mamlprobe.native import build
from tests.commands.inner_words import NETS
from tests.tiny import SMALL


@pytest.fixture(scope="session")
def run(runs):
    """The folder of the MAML run."""
    return runs[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the modules, one of each saved with statistics that its constructor would not give."""
    folder = tmp_path_factory.mktemp("nets")
    name = f"innernets_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        nets = __import__(name)
        for kind in ("Net", "Still", "Flat"):
            torch.manual_seed(3)
            module = getattr(nets, kind)()
            if kind == "Net":
                module.norm.running_mean.normal_()
                module.norm.running_var.uniform_(0.5, 2)
            torch.save(module.state_dict(), folder / f"{kind}.pt")
        yield folder, name


@pytest.fixture(scope="module")
def brought(files, images, tmp_path_factory):
    """Imports a module into a folder of its own and returns the folder."""
    folder, name = files

    def made(*words, kind="Net"):
        out = tmp_path_factory.mktemp("runs") / "run"
        module = ["--module", f"{name}:{kind}", "--head", "fc", "--dataset", str(images)]
        assert main(["import", "state_dict", str(folder / f"{kind}.pt"), "--out", str(out), *module, *words]) == 0
        return str(out)

    return made


@pytest.fixture(scope="module")
def foreign(brought):
    """An imported run of which nothing was said."""
    return brought()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache folder of the test's own, not made yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MAMLPROBE_CACHE", str(folder))
    return folder


@pytest.fixture
def filled(own_cache, images):
    """A cache of a pool in two sizes, kernels, what a killed build left, and what is the user's."""
    for size in (8, 9):
        load_pool(images, size=size)
    kernels = build.kernels_folder()
    kernels.mkdir(mode=0o700)
    for name in ("kernels-0123456789abcdef.so", "kernels-0123456789abcdef.sha256", "notes.txt"):
        (kernels / name).write_bytes(b"12")
    (kernels / "making-x").mkdir()
    (kernels / "making-x" / "half").write_bytes(b"half")
    (own_cache / "mine").mkdir()
    (own_cache / "mine" / "0.png").write_bytes(b"mine")
    (own_cache / "tiny-0123456789abcdef.safetensors").symlink_to(own_cache / "mine" / "0.png")
    return own_cache


@pytest.fixture
def scored_steps(monkeypatch) -> list[int]:
    """The steps after which query sets were scored, filled by what runs."""
    found: list[int] = []
    plain = TaskBatch.query_logits

    def counted(self, params, *, step=0):
        found.append(step)
        return plain(self, params, step=step)

    monkeypatch.setattr(TaskBatch, "query_logits", counted)
    return found


@pytest.fixture(scope="session")
def still_runs(tmp_path_factory, images, runs) -> dict[str, str]:
    """Folders of runs without inner loop at test, and of MAML's, by recipe."""
    out = tmp_path_factory.mktemp("still")
    for name in ("protonet", "nil"):
        assert main(["train", name, *shlex.split(SMALL), "--dataset", str(images), "--out", str(out)]) == 0
    return {"maml": runs[0]} | {name: str(next(out.glob(f"{name}-*"))) for name in ("protonet", "nil")}


@pytest.fixture
def line(capsys):
    """What the command says on stderr, held to be one line, with exit code 2."""

    def told(*words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said[:-1]

    return told


@pytest.fixture
def doctor(capsys):
    """The command; it returns name -> value of its lines."""

    def lines(*words):
        assert main(["doctor", *words]) == 0
        told = capsys.readouterr()
        assert told.err == ""
        return dict(line.split(": ", 1) for line in told.out.splitlines())

    return lines
