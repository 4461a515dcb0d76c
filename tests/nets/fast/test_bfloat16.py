"""The route of a GPU under autocast to bfloat16, by torch alone, on a CPU."""

from dataclasses import replace

import pytest
import torch

from benchmarks.works import WORKS, episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets import conv4 as nets
from mamlprobe.nets.fast import block
from mamlprobe.nets.fast import conv as convolution


@pytest.mark.parametrize("name", ["maml", "anil"])
def test_under_autocast_the_blocks_are_the_general_route(name, monkeypatch):
    """Both off by the rounding of factors, the same amount; norms stay in float32."""
    for place in (block, convolution):
        monkeypatch.setattr(place, "supported", lambda x: False)
    work, errors = WORKS["tiny"], {}
    net = nets.conv4(image=work.image, way=work.way, filters=16)
    method = replace(METHODS[name], inner=replace(METHODS[name].inner, steps=2, lr=0.05))
    for fast in (False, True):
        monkeypatch.setattr(nets, "fast", lambda x, fast=fast: fast)
        found = []
        for seed in range(3):
            theta, tasks = init(net, seed=seed), episodes(work, seed=seed)
            exact, _ = meta_gradient(net, theta.to(dtype=torch.float64), tasks.to(dtype=torch.float64), method)
            with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
                low, _ = meta_gradient(net, theta, tasks, method)
            assert {value.dtype for value in low.values()} == {torch.float32}
            one, two = (torch.cat([value.flatten().double() for value in each.values()]) for each in (low, exact))
            found.append(float((one - two).norm() / two.norm()))
        errors[fast] = sorted(found)[1]
    assert 1e-3 < errors[True] < 2 * errors[False] < 1
