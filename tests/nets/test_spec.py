"""Specs of nets: words that are refused, and what stands in JSON and in names of runs."""

import hashlib
import json
from dataclasses import replace

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import fingerprint, from_dict, to_dict
from mamlprobe.nets.spec import KINDS, NetSpec


def test_messages_of_specs():
    with pytest.raises(UserError, match=r"net: the kind must be a known one, got 'conv5'; did you mean conv4\?"):
        NetSpec(kind="conv5")
    with pytest.raises(UserError, match=r"net: a module must name its head, got none; set net.head to the last linear"):
        NetSpec(kind="module", module="a:B")


def test_a_spec_goes_to_json_and_back():
    spec = NetSpec(kind="module", image=(3, 32, 32), module="a:B", head="fc", layers=("x", "y"), features="last")
    again = from_dict(NetSpec, json.loads(json.dumps(to_dict(spec))))
    assert again == spec
    assert (again.image, again.layers) == ((3, 32, 32), ("x", "y"))
    for kind in KINDS[:2]:
        assert from_dict(NetSpec, {"kind": kind}) == NetSpec(kind=kind)
    with pytest.raises(UserError, match=r"config.image: the value must be of type list of length 3, got \[1, 28\]"):
        from_dict(NetSpec, {"image": [1, 28]})


def test_only_a_module_has_a_name():
    assert NetSpec(kind="module", module="a:B", head="fc").named == "a:B"
    assert NetSpec(kind="module", head="fc").named == ""
    assert NetSpec(module="a:B", head="fc").named is None


def test_younger_fields_count_in_a_fingerprint_only_where_they_are_set():
    """So names of runs from before them stay what they were."""
    spec = NetSpec(kind="module", module="a:B", head="fc")
    younger = ("output", "features", "stack", "headless", "moments")
    old = {word: value for word, value in to_dict(spec).items() if word not in younger}
    wanted = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()[:8]
    assert fingerprint(spec) == wanted
    others = ({"output": "0"}, {"features": "last"}, {"stack": ("relu",)}, {"headless": True}, {"moments": False})
    assert len({wanted, *(fingerprint(replace(spec, **other)) for other in others)}) == 6
