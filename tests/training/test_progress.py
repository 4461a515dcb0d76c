import signal
from dataclasses import replace

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.runs.experiment import Data
from mamlprobe.training import progress
from mamlprobe.training.loop import train
from mamlprobe.training.progress import stopping


def test_the_bar_shows_name_loss_and_accuracy(experiment, pool, tmp_path, capsys):
    run = train(experiment, tmp_path, pool=pool)
    line = capsys.readouterr().err.splitlines()[-1].rpartition("\r")[2]
    assert line.startswith(f"{run.path.name}: 100%")
    for words in ("12/12", "update/s", "loss ", "accuracy "):
        assert words in line


def test_no_progress_is_silent(experiment, pool, tmp_path, capfd):
    train(experiment, tmp_path, pool=pool, progress=False)
    assert capfd.readouterr() == ("", "")


def test_unknown_data_leaves_no_folder(experiment, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMLPROBE_DATA", str(tmp_path / "data"))
    named = replace(experiment, data=Data(dataset="glyfs"))
    with pytest.raises(UserError, match=r"got 'glyfs'; did you mean glyphs\?"):
        train(named, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_hooks_need_names_of_their_own(experiment, pool, tmp_path):
    def hook(update, net, theta):
        return None

    with pytest.raises(UserError, match="train: a hook must have a name, got <lambda>; give a function made with def"):
        train(experiment, tmp_path, pool=pool, hooks=[lambda update, net, theta: None])
    with pytest.raises(UserError, match="train: hooks must have different names, got hook; rename one"):
        train(experiment, tmp_path, pool=pool, hooks=[hook, hook])


def test_a_second_ctrl_c_interrupts_at_once():
    with stopping(on=False) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_a_launcher_hands_on_is_the_same_ctrl_c(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with stopping(on=False, ranks=True) as stop:
        for each in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(each)
        assert stop.asked
        monkeypatch.setattr(progress, "ECHO", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
    with stopping(on=False):
        assert signal.getsignal(signal.SIGTERM) is before
    with stopping(on=False, ranks=True) as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked
