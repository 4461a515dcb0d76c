"""What is refused before anything is written: experiments that cannot be trained, or not together."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Outer
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.spec import NetSpec
from mamlprobe.nets.wrap import wrap
from mamlprobe.training.compatibility import can_begin, large_enough, only_seeds_differ, same_buffers
from mamlprobe.training.loop import train_together
from tests.training.conftest import seeds_of


def test_only_seeds_may_differ(experiment, pool, tmp_path):
    def told(*experiments):
        with pytest.raises(UserError) as caught:
            train_together(experiments, tmp_path / "runs", pool=pool, progress=False)
        assert not (tmp_path / "runs").exists()
        return str(caught.value)

    inner = replace(experiment.method.inner, lr=0.2)
    other = replace(experiment, seed=1, method=replace(experiment.method, inner=inner))
    line = "train_together: runs must differ in their seeds alone, got {}; train them apart"
    assert told(experiment, other) == line.format("method.inner.lr 0.1 and 0.2")
    assert told(experiment, replace(experiment, seed=1), replace(experiment, seed=2, tasks=3)) == line.format(
        "tasks 2 and 3"
    )
    line = "train_together: every run must have a seed of its own, got 4 twice; name it once"
    assert told(*seeds_of(experiment, 4, 0, 4)) == line
    assert told() == "train_together: there must be at least one experiment, got none; give a list of them"
    same = replace(
        experiment, seed=1, method=replace(experiment.method, outer=Outer(lr=1e-3))
    )  # the default, written out
    assert len(train_together([experiment, same], tmp_path, pool=pool, progress=False)) == 2


def test_fields_are_named_by_their_whole_path(experiment):
    other = replace(experiment, seed=1, net=replace(experiment.net, filters=5))
    with pytest.raises(UserError, match=r"got net.filters 4 and 5; train them apart"):
        only_seeds_differ([experiment, other])
    only_seeds_differ([replace(experiment, seed=seed) for seed in (3, 0, 2)])


def method_of(experiment, **inner):
    return replace(experiment, method=replace(experiment.method, inner=replace(experiment.method.inner, **inner)))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"way": 12}, "way must be at most the 9 classes of split 'train', got 12"),
        ({"query": 50}, r"at most the 9 items of class 'blob0', got 51"),
        ({"net": NetSpec(image=(3, 8, 8))}, r"net.image must be the data's shape \[1, 8, 8\], got \[3, 8, 8\]"),
        ({"net": NetSpec(blocks=4)}, r"conv4: images must be at least 16 pixels, got \(1, 8, 8\)"),
    ],
)
def test_what_the_data_cannot_give_is_refused(experiment, pool, change, line):
    can_begin(experiment, pool)
    with pytest.raises(UserError, match=line):
        can_begin(replace(experiment, **change), pool)


def test_patterns_that_select_nothing_are_refused_for_built_nets_alone(experiment, pool):
    """A module is made later, and its own names are known then."""
    with pytest.raises(UserError, match=r"every pattern must select a parameter, got 'nowhere.\*'"):
        can_begin(method_of(experiment, adapts=("nowhere.*",), rates="layer_step", test_steps=2), pool)
    outer = replace(experiment.method, outer=replace(experiment.method.outer, trains=("nobody.*",)))
    with pytest.raises(UserError, match=r"every pattern must select a parameter, got 'nobody.\*'"):
        can_begin(replace(experiment, method=outer), pool)
    spec = NetSpec(kind="module", module="not_there:Net", head="fc")
    can_begin(replace(experiment, method=outer, net=spec), pool)


def test_images_too_small_for_the_net_are_known_before_data_are_read(experiment):
    def sized(size, **net):
        return replace(experiment, net=NetSpec(**net), data=replace(experiment.data, dataset="not there", size=size))

    large_enough(sized(16))
    with pytest.raises(UserError, match=r"conv4: images must be at least 16 pixels, got \(1, 15, 15\)"):
        large_enough(sized(15))
    for other in (sized(None), sized(15, kind="mlp"), sized(15, blocks=2), sized(15, image=(1, 28, 28))):
        large_enough(other)


def test_buffers_that_depend_on_the_seed_are_named():
    def net(value, dtype=torch.float32):
        module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        module.register_buffer("mask", torch.full((2,), value, dtype=dtype))
        return wrap(module, "1", inputs=(1, 2, 2))

    same_buffers([net(1.0), net(1.0), net(1.0)])
    same_buffers([conv4(image=(1, 8, 8), blocks=2)] * 2)
    same_buffers([])
    line = "train_together: runs trained together must share the module's buffers, got another 'mask' for every seed; "
    with pytest.raises(UserError, match=line + "train them apart"):
        same_buffers([net(1.0), net(1.0), net(2.0)])


def test_relation_networks_are_imported_not_trained(experiment, pool, tmp_path):
    method = replace(METHODS["protonet"], readout="relation")
    with pytest.raises(UserError, match="a relation network must come from a file, got readout relation in a training"):
        train_together([replace(experiment, method=method)], tmp_path / "runs", pool=pool, progress=False)
    assert not (tmp_path / "runs").exists()
