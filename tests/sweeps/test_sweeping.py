"""Trainings of a grid: the same files on every engine, nothing trained twice, stopped and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.runs.experiment import run_name
from mamlprobe.sweeps.sweeping import Place, estimated, sweep, unfinished

ROOT = Path(__file__).parents[2]


def small(images, **more):
    base = mp.recipe("maml", "smoke")
    net = replace(base.net, blocks=2)
    return replace(base, data=mp.Data(dataset=str(images)), net=net, way=3, validation_tasks=3, **more)


def files(out):
    """Bytes of every file, without the process that held the lock; of env.json without the seconds it took."""
    found = {}
    for path in sorted(Path(out).rglob("*")):
        if path.is_file() and path.name != ".lock":
            data = path.read_bytes()
            if path.name == "env.json":
                data = json.dumps({name: value for name, value in json.loads(data).items() if name != "seconds"})
            found[str(path.relative_to(out))] = data
    return found


@pytest.fixture(scope="module")
def serial(images, tmp_path_factory):
    """Three experiments, and the folder of their runs, trained one after the other."""
    out = tmp_path_factory.mktemp("serial")
    every = [small(images, seed=seed, query=query) for seed, query in ((0, 2), (1, 2), (0, 3))]
    assert not any(each.error for each in sweep(every, Place(out=str(out)), backend="serial", threads=1))
    return every, out


@pytest.mark.parametrize(
    "backend", ["loky", "threading", *(pytest.param(name, marks=pytest.mark.slow) for name in ("dask", "ray"))]
)
def test_every_file_is_that_of_the_serial_sweep(backend, serial, tmp_path, monkeypatch):
    if backend in ("dask", "ray"):
        pytest.importorskip({"dask": "distributed"}.get(backend, backend), reason=f"the extra {backend} is not there")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    every, out = serial
    done = sweep(every, Place(out=str(tmp_path)), backend=backend, workers=2, threads=1)
    assert [each.error for each in done] == [""] * 3
    assert [Path(each.value).name for each in done] == [run_name(each) for each in every]
    assert files(tmp_path) == files(out)
    assert len(files(out)) == 3 * 7


def test_finished_runs_are_left_and_others_go_on(serial, images, tmp_path):
    every, out = serial
    place = Place(out=str(out))
    assert unfinished(every, place) == []
    new = small(images, seed=9)
    assert unfinished([*every, new], place) == [new]
    mp.train(replace(new, updates=2), tmp_path, progress=False)
    half = next(tmp_path.iterdir())
    half.rename(tmp_path / run_name(new))
    config = tmp_path / run_name(new) / "config.json"
    config.write_text(config.read_text().replace('"updates": 2', '"updates": 4'))
    (config.parent / "done").unlink()
    assert estimated([new], Place(out=str(tmp_path)), threads=1).updates == 2


def test_what_cannot_begin_is_told_before_anything_starts(images, tmp_path):
    with pytest.raises(UserError, match="way must be at most the 5 classes"):
        unfinished([small(images), replace(small(images), way=6)], Place(out=str(tmp_path)))
    with pytest.raises(UserError, match="device must be auto"):
        unfinished([small(images)], Place(out=str(tmp_path), device="gpu"))
    assert list(tmp_path.iterdir()) == []


def test_one_that_fails_leaves_the_others(images, tmp_path):
    bad = small(images)
    bad = replace(bad, method=replace(bad.method, outer=replace(bad.method.outer, lr=1e30)))
    done = sweep([bad, small(images, seed=1)], Place(out=str(tmp_path)), backend="serial")
    assert "the training loss must be finite" in done[0].error or "must be finite" in done[0].error
    assert done[1].value is not None


LONG = """
import sys
from dataclasses import replace
import mamlprobe as mp
from mamlprobe.cli import main

if __name__ == "__main__":
    words = "--set updates=100000 --set checkpoint_every=50000 --set validation_tasks=0 --set net.blocks=2 --set way=3"
    out, images, backend = sys.argv[1:]
    words += f" --set dataset={images} --seeds 0-3 --out {out} --workers 2 --threads 1 --backend {backend}"
    sys.exit(main(["sweep", "maml", "--preset", "smoke", *words.split()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading", "serial"])
def test_ctrl_c_keeps_the_states(backend, images, tmp_path):
    """Those at work are saved at the update where they were, the others are not begun."""
    (tmp_path / "long.py").write_text(LONG)
    out, env = tmp_path / "out", os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "long.py", str(out), str(images), backend]
    count = 1 if backend == "serial" else 2
    with subprocess.Popen(words, cwd=tmp_path, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        end = time.monotonic() + 120
        while len(list(out.glob("*/checkpoints/*"))) < count and time.monotonic() < end:
            time.sleep(0.2)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.decode().splitlines()[-1].startswith("interrupted: 0 of 4 runs were finished; the same command goes on")
    kept = [mp.load_run(path.parent).updates() for path in out.glob("*/config.json")]
    assert [len(each) for each in kept] == [2] * count
    assert all(0 < each[-1] < 50000 for each in kept)
