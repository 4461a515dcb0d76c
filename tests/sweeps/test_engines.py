"""Engines by name, and the clusters that are not there."""

import os
import subprocess
import sys

import pytest

from mamlprobe import __version__
from mamlprobe.base.errors import UserError
from mamlprobe.sweeps import engines
from mamlprobe.sweeps.engines import engine


@pytest.mark.parametrize("backend", ["loky", "threading", "serial"])
def test_a_cluster_needs_a_backend_that_reaches_it(backend):
    with pytest.raises(UserError, match=f"got backend {backend}; add --backend dask"), engine(backend, 1, 1, "host:1"):
        pass


@pytest.mark.parametrize(("backend", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed(backend, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"pip install mamlprobe\[{backend}\]"), engine(backend, 1, 1, None):
        pass


def test_no_cluster_at_the_address(monkeypatch):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr(engines, "PATIENCE", 1)
    with (
        pytest.raises(UserError, match=r"a cluster must answer at tcp://127\.0\.0\.1:9"),
        engine("dask", 1, 1, "tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "has"),
    [("raise ImportError", "none on tcp"), ("__version__ = '0.0.9'", "0.0.9 on tcp")],
)
def test_workers_of_another_release_are_refused(package, has, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    (tmp_path / "mamlprobe").mkdir()
    (tmp_path / "mamlprobe" / "__init__.py").write_text(package)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster:
        address = cluster.scheduler_address
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
        env = os.environ | {"PYTHONPATH": path}
        worker = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with distributed.Client(address) as client:
                client.wait_for_workers(1, timeout=60)
            line = rf"every worker must have mamlprobe {__version__}, got {has}"
            with pytest.raises(UserError, match=line), engine("dask", 1, 1, address):
                pass
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_a_cluster_of_this_machine_has_as_many_workers_as_asked(workers):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with engine("dask", workers, 1, None):
        assert list(distributed.default_client().nthreads().values()) == [1] * workers
