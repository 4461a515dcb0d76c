"""The tuples of the passes are those of the kernels' header, name by name, and each route fills them alike."""

import re

import pytest
import torch

from mamlprobe.native import arguments, block_passes, build
from mamlprobe.native.load import kernels
from mamlprobe.nets.fast import compiled
from mamlprobe.nets.fast import norm_relu_pool as in_torch

HEADER = next(path for path in build.SOURCES if path.name == "arguments.h").read_text()
TUPLES = {name: kind for name, kind in vars(block_passes).items() if hasattr(kind, "_fields") and name != "Kind"}
SHAPES = {name: kind for name, kind in vars(arguments).items() if name.endswith("Shape")}


def members(name: str) -> list[str]:
    """Those of the header's structure, in order."""
    [body] = re.findall(rf"struct {name} {{(.*?)}};", HEADER, re.S)
    lines = [re.sub(r"^(const )?\w+\*? ", "", line.strip()) for line in body.split(";") if line.strip()]
    return [word.strip(" *\n") for line in lines for word in line.split(",")]


@pytest.mark.parametrize("name", TUPLES)
def test_tuples_are_those_of_the_header(name):
    assert list(TUPLES[name]._fields) == members(name)


@pytest.mark.parametrize("name", SHAPES)
def test_sizes_are_those_of_the_header(name):
    assert [field for field, _ in SHAPES[name]._fields_] == members(name)


def test_the_header_has_no_others():
    assert set(re.findall(r"struct (\w+) {", HEADER)) == TUPLES.keys() | SHAPES.keys()


@pytest.mark.parametrize("kind", [block_passes.Kind(pool, first) for pool in (1, 2) for first in (False, True)])
def test_each_route_fills_the_same_tuples(kind):
    """The compiled kernels save no winners; in torch they are saved, their positions only where there is a pool."""
    y, *vectors = torch.randn(2, 3, 4, 4, 5), *torch.rand(3, 2, 5)
    for route in (in_torch, *([] if kernels() is None else [compiled])):
        p, var, saved = route.forward(y, *vectors, kind)
        assert isinstance(saved, block_passes.Saved)
        assert p.shape == (2, 3, 4 // kind.pool, 4 // kind.pool, 5)
        assert var.shape == saved.mean.shape == saved.rstd.shape == (2, 5)
        if route is in_torch:
            won, off, which = saved.winners
            assert torch.equal(won, p)
            assert off.shape == p.shape
            assert (which is None) == (kind.pool == 1)
        else:
            assert saved.winners == (None, None, None)
        back = route.backward(saved, torch.ones_like(p), kind)
        assert isinstance(back, block_passes.BackwardResult)
        assert back.gy.shape == y.shape
        assert {each.shape for each in back[1:]} == {(2, 5)}
