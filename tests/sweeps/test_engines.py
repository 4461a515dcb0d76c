"""Engines by name, and the clusters that are not there."""

import sys

import pytest

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
