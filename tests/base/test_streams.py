"""Random numbers without state: golden values, uniformity, independence."""

import math

import pytest
import torch
from scipy import stats

from mamlprobe.base.streams import generator, key, key_sets, random_keys
from tests.oracles import splitmix64


def test_the_twin_gives_the_published_numbers():
    """First outputs of SplitMix64 for seed 1234567, as its reference implementations print them."""
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("words", [(0,), (7, "train", 3), ("a",)])
def test_keys_are_splitmix64(words):
    found = random_keys(*words, shape=(2, 5, 10))
    wanted = [number >> 1 for number in splitmix64(key(*words), 100)]
    assert found.dtype == torch.int64
    assert found.flatten().tolist() == wanted
    assert found.min() >= 0


def test_golden_values():
    """They must never change: runs on disk were drawn with them."""
    assert random_keys(3, "x", shape=(3,)).tolist() == [7834287185044573893, 285737417399988233, 878272488280753641]


def test_a_generator_is_seeded_by_its_key():
    one, two = generator(5, "init"), torch.Generator().manual_seed(key(5, "init"))
    assert one.initial_seed() == two.initial_seed() != generator(5).initial_seed()
    assert torch.equal(torch.randn(5, generator=one), torch.randn(5, generator=two))


def test_every_word_its_place_and_its_type_count():
    words = [(1, 2), (2, 1), (12,), (1, "2"), ("1", 2), ("12",), (1, 2, 0), (), ("",), (0,), (-1,), ("a", "b"), ("ab",)]
    assert len({int(random_keys(*each, shape=(1,))) for each in words}) == len(words)


def test_uniform_and_without_echo():
    """Kolmogorov-Smirnov of the whole, every bit by itself, neighbours and neighbouring streams without correlation."""
    count = 20000
    rows = torch.stack([random_keys(seed, "test", shape=(count,)) for seed in range(4)])
    for row in rows:
        assert stats.kstest(row.double().numpy() / 2**63, "uniform").pvalue > 1e-3
        for bit in range(63):
            ones = int(((row >> bit) & 1).sum())
            assert abs(ones - count / 2) < 4.5 * math.sqrt(count / 4)
    units = rows.double() / 2**63 - 0.5
    for one, two in ((units[0, 1:], units[0, :-1]), (units[0], units[1]), (units[2], units[3])):
        assert abs(float((one * two).mean()) * 12) < 4.5 / math.sqrt(count)
    assert len(set(rows.flatten().tolist())) == 4 * count


def test_nothing_is_carried_from_call_to_call():
    one = random_keys(1, shape=(4,))
    torch.manual_seed(3)
    random_keys(2, shape=(100,))
    torch.rand(3)
    before = torch.get_rng_state()
    assert torch.equal(random_keys(1, shape=(4,)), one)
    assert torch.equal(random_keys(1, shape=(2, 5)).flatten()[:4], one)
    assert torch.equal(torch.rand(3, generator=generator(1)), torch.rand(3, generator=generator(1)))
    assert torch.equal(torch.get_rng_state(), before)


def test_empty_shapes():
    assert random_keys(1, shape=(0, 3)).shape == (0, 3)
    assert random_keys(1, shape=()).shape == ()


def test_several_streams_in_one_pass_are_those_of_one_at_a_time():
    names, shapes = [(3, "x"), (3, "y", 1), (0,)], [(2, 5), (0, 4), (7,)]
    found = key_sets(names, shapes)
    for words, shape, each in zip(names, shapes, found, strict=True):
        assert torch.equal(each, random_keys(*words, shape=shape))
        assert each.shape == shape
