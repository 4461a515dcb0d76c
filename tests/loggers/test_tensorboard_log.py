"""TensorBoard reads the points that log.csv has, each once, also after a kill."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.loggers.conftest import points


def scalars(folder):
    """(name, update) -> value, as TensorBoard reads it; no point may be there twice."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    pairs = [((name, each.step), each.value) for name in events.Tags()["scalars"] for each in events.Scalars(name)]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def same(folder):
    wanted, seen = points(folder), scalars(folder)
    assert len(wanted) > 10
    assert seen.keys() == wanted.keys()
    return all(np.float32(value) == np.float32(seen[place]) for place, value in wanted.items())


@pytest.mark.parametrize("dies", [None, 3, 8])
def test_what_tensorboard_reads_is_log_csv(trained, dies):
    """Killed at the hook of update 3 or 8, behind points of the log that no checkpoint has seen yet."""
    if dies is not None:
        trained("tensorboard", dies=dies)
    folder = trained("tensorboard")
    assert (folder / "done").exists()
    assert len(list((folder / "tensorboard").iterdir())) == 1 + (dies is not None)
    assert same(folder)


def test_a_log_that_is_asked_for_later_has_the_earlier_points_too(trained):
    trained("csv", dies=6)
    assert same(trained("tensorboard"))


def test_a_folder_of_events_that_is_a_link_is_refused(trained, tmp_path):
    folder = trained("csv", dies=6)
    (tmp_path / "elsewhere").mkdir()
    (folder / "tensorboard").symlink_to(tmp_path / "elsewhere")
    trained("tensorboard", code=1)
    assert list((tmp_path / "elsewhere").iterdir()) == []
