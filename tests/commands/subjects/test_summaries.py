"""Tables as they are printed and as they are written, and files that cannot be."""

import re

import numpy as np
import pandas as pd

from mamlprobe.commands.subjects.summaries import accuracies


def test_differences_are_taken_task_by_task():
    noise = np.random.default_rng(0).uniform(size=50)
    rows = [("keep", noise, 0), ("nil", noise + 0.1, 0), ("head", noise, 0), ("head", noise - 0.2, 1)]
    table = pd.concat(
        [pd.DataFrame({"variant": v, "task": range(50), "step": step, "value": x}) for v, x, step in rows]
    )
    found = accuracies(table).set_index("variant")
    assert found["minus keep"].tolist() == ["", "10.0 [10.0, 10.0]", "-20.0 [-20.0, -20.0]"]
    low, high = (float(text) for text in re.findall(r"[\d.]+", found["accuracy in %"]["keep"])[1:])
    assert high - low > 10
    assert found["step"].tolist() == [0, 0, 1]
