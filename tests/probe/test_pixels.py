"""The nearest support item in pixels, against scikit-learn's classifier of one neighbour."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from mamlprobe.data.episodes import Episodes
from mamlprobe.probe.pixels import nearest_pixels


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
