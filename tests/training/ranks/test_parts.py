"""Gradients that several processes compute are those of one; so is what they come to after some updates."""

import pytest
import torch

from mamlprobe.training.ranks.parts import part_of
from tests.training.ranks.programs import CASES, alone, ended, start


@pytest.mark.parametrize(("size", "tasks"), [(1, 1), (2, 2), (2, 3), (3, 7), (4, 4), (5, 32)])
def test_parts_are_all_tasks_in_order_and_differ_by_one(size, tasks):
    parts = [part_of(rank, size, tasks) for rank in range(size)]
    assert [task for begin, end in parts for task in range(begin, end)] == list(range(tasks))
    sizes = [end - begin for begin, end in parts]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("float64")
    codes, texts = ended(start("float64", folder, request.param))
    assert codes == [0] * request.param, texts
    return torch.load(folder / "made.pt")


@pytest.mark.parametrize("case", CASES, ids=lambda case: "/".join(map(str, case)))
def test_in_float64_it_is_one_process_to_the_last_digits(made, case):
    wanted, got = alone(case), made["/".join(map(str, case))]
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert value.dtype == torch.float64
        torch.testing.assert_close(got[name], value, rtol=1e-12, atol=1e-12, msg=name)
    if case[1] in ("running", "per_step"):
        means = [value for name, value in got.items() if name.startswith("0.moments.") and name.endswith("mean")]
        assert means
        assert all(bool(value.any()) for value in means)
