"""Opening a run never imports or calls what its folder names; the class comes from whoever opens it."""

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import init
from mamlprobe.nets.maker import maker
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import load_run, make_run

HOSTILE = (
    *("os:abort", "sys:exit", "builtins:exec", "builtins:input", "antigravity:webbrowser", "torch.nn:Identity"),
    *("torchvision.models:resnet18", "beside_it:Net", "inside_it:Net", "package_inside.deep:Net", "__main__:main"),
    *("", ":", "a:b:c", "../x:Net", "\x1b[2J:Net", "mamlprobe.nets.conv4_module:Conv4Module"),
)
"""What a folder may name."""

TRAP = "open({marker!r}, 'w').close()\nfrom torch import nn\nclass Net(nn.Sequential):\n    pass\n"

DOORS = """
import io, sys
from contextlib import redirect_stderr
from pathlib import Path
from mamlprobe.cli import main

for run in map(str, sorted(Path(sys.argv[1]).iterdir())):
    for words in (["evaluate"], ["probe", "layers"], ["certify"], ["report", "--out", "a.html"]):
        with redirect_stderr(io.StringIO()) as told:
            assert main([*words, run]) == 2, words
        line = told.getvalue()
        assert line.count("\\n") == 1 and "must come from you" in line and "--module" in line, line
print("whole")
"""


def classes(folder):
    """A file of a user's own with nets, on the path of imports."""
    (folder / "opening_nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 3))\n"
        "class Other(Net):\n"
        "    pass\n"
        "def net():\n"
        "    return Net()\n"
    )


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """That file, imported."""
    classes(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "opening_nets", raising=False)
    yield __import__("opening_nets")
    sys.modules.pop("opening_nets", None)


def run_naming(folder, name):
    """A whole run whose folder names this module."""
    spec = NetSpec(kind="module", module="opening_nets:Net", head="3", image=(1, 8, 8))
    run = make_run(folder, Experiment(net=spec, way=3, updates=1), (1, 8, 8))
    save_checkpoint(checkpoint_path(run.path, 0), Checkpoint(update=0, theta=init(run.net(), seed=0)))
    config = json.loads((folder / "config.json").read_text())
    config["net"]["module"] = name
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_no_folder_runs_anything(nets, tmp_path):
    """By every command, in the folder above the runs and with traps beside and inside each of them."""
    runs, marker = tmp_path / "runs", str(tmp_path / "marker")
    for number, name in enumerate(HOSTILE):
        folder = run_naming(runs / f"run{number:02}", name)
        (folder / "inside_it.py").write_text(TRAP.format(marker=marker))
        (folder / "package_inside").mkdir()
        for file in ("__init__.py", "deep.py"):
            (folder / "package_inside" / file).write_text(TRAP.format(marker=marker))
    (runs.parent / "beside_it.py").write_text(TRAP.format(marker=marker))
    (tmp_path / "doors.py").write_text(DOORS)
    done = subprocess.run(
        [sys.executable, "-P", str(tmp_path / "doors.py"), str(runs)],
        cwd=runs.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)])},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    assert done.stdout.endswith("whole\n"), done.stdout + done.stderr
    assert not Path(marker).exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_run_is_read_without_its_module(nets, tmp_path, name):
    run = load_run(run_naming(tmp_path / "run", name))
    assert run.config.net.module == name
    assert run.log.empty
    for door in (run.net, run.theta, run.checkpoint, run.last_good):
        with pytest.raises(UserError, match=r"load_run: the module .* must come from you, .*, got none; .* --module"):
            door()


@pytest.mark.parametrize("folder", ["run", "."])
def test_the_current_folder_is_no_place_for_imports(nets, tmp_path, folder):
    """Files there with the names of libraries that others look for, and which are not installed, do not run."""
    run, marker = run_naming(tmp_path / "run", "inside_it:Net"), str(tmp_path / "marker")
    here = tmp_path / folder
    for name in ("inside_it", "pyarrow", "xxhash", "numexpr", "bottleneck", "opt_einsum", "pytz", "sitecustomize"):
        (here / f"{name}.py").write_text(TRAP.format(marker=marker))
    command = [sys.executable, "-m", "mamlprobe", "evaluate", str(run)]
    paths = os.pathsep.join(each for each in sys.path if each != str(tmp_path))
    env = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("load_run: the module 'inside_it:Net' of ")
    assert not Path(marker).exists()


def test_who_names_a_file_beside_him_gets_it(tmp_path, nets, monkeypatch):
    """As a user does who stands in the folder of his nets."""
    run = run_naming(tmp_path / "run", "opening_nets:Net")
    monkeypatch.chdir(tmp_path)
    del sys.modules["opening_nets"]
    while str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))
    assert type(load_run(run, module="opening_nets:Net").net().module).__name__ == "Net"
    before = [*sys.path]
    with pytest.raises(UserError, match=r"module 'no_such_nets' must be importable, got No module named"):
        maker("no_such_nets:Net")
    assert sys.path == before


@pytest.mark.parametrize("given", ["words", "class"])
def test_the_callers_class_opens_it(nets, tmp_path, given):
    folder = run_naming(tmp_path / "run", "opening_nets:Net")
    run = load_run(folder, module="opening_nets:Net" if given == "words" else nets.Net)
    assert type(run.net().module) is nets.Net
    assert torch.equal(run.theta().net["3.weight"], init(run.net(), seed=0).net["3.weight"])
    assert load_run(run_naming(tmp_path / "b", "opening_nets:net"), module=nets.net).net().layers == run.net().layers


def test_a_class_may_be_named_where_it_is_brought_in(nets, tmp_path, monkeypatch):
    (tmp_path / "opening_brings.py").write_text("from opening_nets import Net\n")
    __import__("opening_brings")
    folder = run_naming(tmp_path / "run", "opening_brings:Net")
    assert type(load_run(folder, module=nets.Net).net().module) is nets.Net
    assert type(load_run(folder, module="opening_brings:Net").net().module) is nets.Net


@pytest.mark.parametrize("name", ["opening_nets:Net", "os:abort", "inside_it:Net"])
def test_another_class_than_the_folders_is_refused(nets, tmp_path, name):
    folder = run_naming(tmp_path / "run", name)
    for module, shown in (("opening_nets:Other", "opening_nets:Other"), (nets.Other, "opening_nets:Other")):
        line = rf"load_run: the module of .* must be the one it names, '{name}', got '{shown}'; give the class"
        with pytest.raises(UserError, match=line):
            load_run(folder, module=module)


def test_a_built_net_needs_none(nets, tmp_path):
    folder = tmp_path / "run"
    run = make_run(folder, Experiment(net=NetSpec(filters=2, blocks=2), way=3), (1, 8, 8))
    save_checkpoint(checkpoint_path(run.path, 0), Checkpoint(update=0, theta=init(run.net(), seed=0)))
    assert load_run(folder).theta().net
    with pytest.raises(UserError, match=r"has a net of kind conv4 and needs no module, got 'opening_nets:Net'; leave"):
        load_run(folder, module=nets.Net)


def layers_of(run):
    return run.net().layers


def test_a_run_goes_to_another_process(nets, tmp_path):
    run = load_run(run_naming(tmp_path / "run", "opening_nets:Net"), module=nets.Net)
    assert pickle.loads(pickle.dumps(run)).module is nets.Net
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        assert executor.submit(layers_of, run).result() == run.net().layers
