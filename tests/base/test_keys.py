"""Numbers from strings and integers: golden values, and what they depend on."""

from mamlprobe.base.keys import key


def test_golden_values():
    """They must never change: runs on disk were drawn with them."""
    assert key(0, "episodes", "train", 1) == -7765199037188109153


def test_every_word_its_place_and_its_type_count():
    words = [(1, 2), (2, 1), (12,), (1, "2"), ("1", 2), ("12",), (1, 2, 0), (), ("",), (0,), (-1,), ("a", "b"), ("ab",)]
    keys = [key(*each) for each in words]
    assert len(set(keys)) == len(words)
    assert all(-(1 << 63) <= k < 1 << 63 for k in keys)
