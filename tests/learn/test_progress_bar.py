"""The bar: drawn late, once, and only where somebody looks."""

import io
import sys
import threading

import pytest

from mamlprobe.learn import progress_bar as bars
from mamlprobe.learn.progress_bar import bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal(monkeypatch, *, delay=0.0, kind=Terminal):
    """What is drawn from now on; not a fixture, since pytest sets stderr anew between set-up and test."""
    monkeypatch.setattr(sys, "stderr", kind())
    monkeypatch.setattr(bars, "DELAY", delay)
    return sys.stderr


def work():
    with bar(3, "layers") as advance:
        advance(1)
        advance(2)


def test_it_is_drawn_and_goes(monkeypatch):
    drawn = terminal(monkeypatch)
    work()
    text = drawn.getvalue()
    assert all(word in text for word in ("layers", "/3", "task"))
    assert text.rsplit("\r", 2)[1].strip() == ""  # the line is cleared


def test_it_waits(monkeypatch):
    drawn = terminal(monkeypatch, delay=60.0)
    work()
    assert drawn.getvalue() == ""


def test_nothing_is_drawn_where_nobody_looks(monkeypatch):
    drawn = terminal(monkeypatch, kind=io.StringIO)
    work()
    assert drawn.getvalue() == ""


def test_a_bar_within_a_bar_is_not_drawn(monkeypatch):
    drawn = terminal(monkeypatch)
    with bar(1, "outer"):
        work()
    assert "outer" in drawn.getvalue()
    assert "layers" not in drawn.getvalue()
    work()
    assert "layers" in drawn.getvalue()


def test_nor_is_one_of_another_thread(monkeypatch):
    drawn = terminal(monkeypatch)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert drawn.getvalue() == ""


def test_one_is_drawn_after_a_failure(monkeypatch):
    drawn = terminal(monkeypatch)
    with pytest.raises(ZeroDivisionError), bar(1, "outer"):
        raise ZeroDivisionError
    work()
    assert "layers" in drawn.getvalue()


def test_a_probe_has_one(monkeypatch, classes):
    import mamlprobe as mp

    drawn = terminal(monkeypatch)
    net = mp.conv4(image=(1, 8, 8), way=3, filters=2, blocks=2)
    theta, episodes = mp.init(net, seed=0).to(dtype=classes().support_x.dtype), classes()
    mp.weight_distance(net, theta, episodes, mp.METHODS["maml"])
    mp.evaluate(net, theta, episodes, {"keep": mp.METHODS["maml"]})
    assert "distance" in drawn.getvalue()
    assert "evaluating" in drawn.getvalue()
