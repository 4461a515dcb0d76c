"""The command `certify` as it is typed."""

import shlex

from mamlprobe.cli import parse
from mamlprobe.commands import certificate
from mamlprobe.commands.certify import Certify


def test_maml_is_what_nothing_names():
    assert Certify().target == "maml"
    assert Certify().preset is None
    assert (Certify().seed, Certify().contrast, Certify().said) == (0, False, {})


def test_every_word_arrives():
    words = "anil --preset quick --dataset tiny --data-root raw --module a:B --seed 3 --contrast --out t.csv"
    more = "--inner-lr 0.2 --steps 2"
    assert parse(["certify", *shlex.split(f"{words} {more}")]) == Certify(
        target="anil",
        preset="quick",
        dataset="tiny",
        data_root="raw",
        module="a:B",
        seed=3,
        contrast=True,
        out="t.csv",
        inner_lr=0.2,
        steps=2,
    )
    assert parse(["certify"]) == Certify()


def test_its_code_is_that_of_the_certificate(monkeypatch):
    asked = []
    monkeypatch.setattr(certificate, "certificate", lambda options: asked.append(options) or 1)
    command = Certify(target="anil", seed=2)
    assert command.run() == 1
    assert asked == [command]
