"""The nearest support item in pixels, against scikit-learn's classifier of one neighbour."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from mamlprobe.data.episodes import Episodes
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import sample
from mamlprobe.probe.representation.pixel_baseline import nearest_pixels, other_orders


@pytest.mark.parametrize("shot", [1, 3])
def test_nearest_pixels_are_those_of_one_neighbour(shot):
    source = torch.Generator().manual_seed(shot)
    labels = torch.arange(4).repeat_interleave(shot).expand(5, -1)
    support_y = labels.gather(1, torch.rand(5, 4 * shot, generator=source).argsort(1))
    query_y = torch.randint(4, (5, 9), generator=source)
    centres = torch.randn(4, 1, 3, 3, generator=source)
    support_x, query_x = (centres[y] + torch.randn(*y.shape, 1, 3, 3, generator=source) for y in (support_y, query_y))
    found = nearest_pixels(Episodes(support_x=support_x, support_y=support_y, query_x=query_x, query_y=query_y))
    for task in range(5):
        judge = KNeighborsClassifier(1).fit(support_x[task].flatten(1).numpy(), support_y[task].numpy())
        score = judge.score(query_x[task].flatten(1).numpy(), query_y[task].numpy())
        assert float(found[task]) == pytest.approx(score)
    assert 0.25 < float(found.mean()) < 1


def test_other_orders_move_whole_groups_to_the_end():
    """Images of group a are all alike, so that nothing tells its classes apart; those of group b are told for sure."""
    images = torch.full((10, 16, 1, 2, 5), 7, dtype=torch.uint8)
    images[5:] = torch.arange(5, dtype=torch.uint8).mul(50).reshape(5, 1, 1, 1, 1)
    ids = torch.arange(10)
    names = tuple(f"{group}/{number}" for group in "ab" for number in range(5))
    splits = {"train": ids[:5], "test": ids[5:]}
    pool = Pool(name="two", images=images, counts=torch.full((10,), 16), class_names=names, splits=splits)
    assert float(nearest_pixels(sample(pool, split="test", way=5, shot=1, query=15, tasks=3, seed=0)).mean()) == 1
    found = other_orders(pool, orders=12, tasks=3)
    assert {round(float(share), 6) for share in found} == {0.2, 1.0}
