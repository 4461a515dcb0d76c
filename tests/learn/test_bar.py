"""The bar: drawn late, once, and only where somebody looks."""

import io
import sys
import threading

import pytest

from mamlprobe.learn import bar as bars
from mamlprobe.learn.bar import bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """What is drawn on a terminal, at once."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(bars, "DELAY", 0.0)
    return sys.stderr


def work():
    with bar(3, "layers") as advance:
        advance(1)
        advance(2)


def test_it_tells_what_is_done_and_goes(terminal):
    work()
    drawn = terminal.getvalue()
    assert all(word in drawn for word in ("layers", "3", "task"))
    assert drawn.rsplit("\r", 2)[1].strip() == ""  # the line is cleared


def test_it_waits(terminal, monkeypatch):
    monkeypatch.setattr(bars, "DELAY", 60.0)
    work()
    assert terminal.getvalue() == ""


def test_nothing_is_drawn_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(bars, "DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    work()
    assert sys.stderr.getvalue() == ""


def test_a_bar_within_a_bar_is_not_drawn(terminal):
    with bar(1, "outer"):
        work()
    assert "outer" in terminal.getvalue()
    assert "layers" not in terminal.getvalue()
    work()
    assert "layers" in terminal.getvalue()


def test_nor_is_one_of_another_thread(terminal):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert terminal.getvalue() == ""


def test_one_is_drawn_after_a_failure(terminal):
    with pytest.raises(ZeroDivisionError), bar(1, "outer"):
        raise ZeroDivisionError
    work()
    assert "layers" in terminal.getvalue()
