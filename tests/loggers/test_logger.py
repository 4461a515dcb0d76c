"""Logs by name."""

from importlib.util import find_spec

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.loggers import logger
from mamlprobe.loggers.logger import log_names
from mamlprobe.training.loop import train
from tests.training.conftest import blobs, twelve_updates


def test_names(monkeypatch):
    monkeypatch.setattr(logger, "find_spec", lambda name: name)
    assert log_names("csv") == log_names(()) == log_names(["csv", "csv"]) == ()
    assert log_names("wandb") == ("wandb",)
    assert log_names(("wandb", "csv", "tensorboard", "wandb")) == ("tensorboard", "wandb")
    with pytest.raises(
        UserError, match=r"^train: the log must be a known one, got 'tensorbord'; did you mean tensorboard"
    ):
        log_names("tensorbord")


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_client_that_is_not_installed_is_told_before_anything_is_done(name, monkeypatch, tmp_path):
    monkeypatch.setattr(logger, "find_spec", lambda named: None if named == name else find_spec(named))
    line = rf"^train: the log {name} must have its client, got no package {name}; pip install mamlprobe\[{name}\]$"
    with pytest.raises(UserError, match=line):
        train(twelve_updates(), tmp_path / "runs", pool=blobs(), log=name)
    assert not (tmp_path / "runs").exists()
