"""Labels tied to classes: which classes a slot may hold, that all come up alike, and what is refused."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import random_keys
from mamlprobe.data.labelling import SLOTS, places
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import sample

KEYS = random_keys(0, "slots", shape=(4000, 13))


def test_drawn_slots_hold_any_class_but_none_twice():
    found = places(KEYS, 3, "drawn")
    assert all(set(found[:, n].tolist()) == set(range(13)) for n in range(3))
    assert all(len(set(row)) == 3 for row in found.tolist())


def test_a_bin_holds_its_own_classes_each_as_often():
    found = places(KEYS, 3, "bins")
    expected = [range(5), range(5, 9), range(9, 13)]
    for n, mine in enumerate(expected):
        counts = torch.bincount(found[:, n], minlength=13)
        assert set(counts.nonzero().flatten().tolist()) == set(mine)
        assert float(counts[list(mine)].min()) > 0.85 * 4000 / len(mine)
    assert abs(float(torch.corrcoef(found.T.double())[0, 1])) < 0.05  # slots are drawn apart


def test_a_group_is_a_task_and_a_class_keeps_its_label():
    found = places(KEYS, 3, "groups")
    assert (found % 3 == torch.arange(3)).all()
    assert (found // 3 == found[:, :1] // 3).all()
    counts = torch.bincount(found[:, 0] // 3)
    assert len(counts) == 4  # the thirteenth class is left over
    assert float(counts.min()) > 0.85 * 4000 / 4


def test_the_published_bins_of_64_classes():
    found = places(random_keys(0, "mini", shape=(20_000, 64)), 5, "bins")
    assert [len(found[:, n].unique()) for n in range(5)] == [13, 13, 13, 13, 12]


def test_sample_gives_the_slots_of_the_split_and_the_same_words_the_same_tasks():
    images = torch.arange(13 * 4, dtype=torch.uint8).view(13, 4, 1, 1, 1)
    names = tuple(f"class {n}" for n in range(13))
    pool = Pool(name="p", images=images, counts=torch.full((13,), 4), class_names=names,
                splits={"train": torch.arange(12, -1, -1)}, mean=(0.0,), std=(1.0,), source="here")  # fmt: skip
    words = {"split": "train", "way": 3, "shot": 1, "query": 2, "tasks": 50, "seed": 0}
    tasks = {slots: sample(pool, slots=slots, **words) for slots in SLOTS}
    assert torch.equal(tasks["drawn"].class_ids, sample(pool, **words).class_ids)
    place = 12 - tasks["bins"].class_ids  # the split is in falling order
    assert (torch.bucketize(place, torch.tensor([4, 8])) == torch.arange(3)).all()  # 5, 4 and 4 classes
    assert ((12 - tasks["groups"].class_ids) % 3 == torch.arange(3)).all()
    pixels = (tasks["bins"].query_x * 255).round().long().flatten(2)[..., 0] // 4
    assert torch.equal(pixels, tasks["bins"].class_ids.repeat_interleave(2, 1))


def test_what_is_refused():
    with pytest.raises(UserError, match="sample: the word for slots must be a known one, got 'fixed'"):
        places(KEYS, 3, "fixed")
