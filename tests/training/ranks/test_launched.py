"""A place among several processes is read from what torchrun sets, and from nothing less."""

import subprocess
import sys

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.training.ranks.launched import Place, launched, leads

GIVEN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a"}
GIVEN |= {"MASTER_PORT": "1"}


def setting(monkeypatch, **changes):
    for name, value in (GIVEN | changes).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def test_the_place(monkeypatch):
    setting(monkeypatch)
    assert launched() == Place(rank=3, size=4, local=1, neighbours=2)
    assert not leads()
    setting(monkeypatch, RANK="0", LOCAL_RANK="0")
    assert leads()


def test_without_numbers_of_the_machine_all_are_on_one(monkeypatch):
    setting(monkeypatch, LOCAL_RANK=None, LOCAL_WORLD_SIZE=None)
    assert launched() == Place(rank=3, size=4, local=3, neighbours=4)


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
@pytest.mark.parametrize("value", [None, ""])
def test_alone_unless_all_is_set(monkeypatch, name, value):
    setting(monkeypatch, **{name: value})
    assert launched() is None
    assert leads()


def test_one_process_is_alone(monkeypatch):
    setting(monkeypatch, RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", LOCAL_WORLD_SIZE="1")
    assert launched() is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"RANK": "x"}, "RANK in the environment must be a whole number, got 'x'"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE in the environment must be a whole number, got '-2'"),
        ({"RANK": "4"}, "RANK must be below WORLD_SIZE, LOCAL_RANK below LOCAL_WORLD_SIZE, got 4 of 4, 1 of 2"),
        ({"LOCAL_RANK": "2"}, "got 3 of 4, 2 of 2"),
        ({"LOCAL_WORLD_SIZE": "5"}, "got 3 of 4, 1 of 5"),
    ],
)
def test_numbers_that_do_not_go_together(monkeypatch, changes, line):
    setting(monkeypatch, **changes)
    with pytest.raises(UserError) as caught:
        launched()
    assert line in str(caught.value)


def test_it_is_known_without_torch():
    program = "import mamlprobe.training.ranks.launched, sys; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
