"""The command `certify` as it is typed."""

from mamlprobe.commands.certify import Certify


def test_maml_is_what_nothing_names():
    assert Certify().target == "maml"
    assert Certify().preset is None
