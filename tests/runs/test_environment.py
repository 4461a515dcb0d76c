import platform
import subprocess

import numpy
import torch

from mamlprobe.native.load import kernels
from mamlprobe.runs.environment import _commit, environment


def test_versions_and_machine():
    found = environment(torch.device("cpu"))
    assert (found["python"], found["torch"], found["numpy"]) == (
        platform.python_version(),
        torch.__version__,
        numpy.__version__,
    )
    assert found["threads"] == torch.get_num_threads()
    assert found["device"]
    assert found["kernels"] == ("compiled" if kernels() is not None else "torch")
    assert set(found) == {"mamlprobe", "commit", "python", "torch", "numpy", "platform", "device", "threads", "kernels"}


def test_the_commit_is_that_of_the_checkout_and_says_of_changes(tmp_path):
    def git(*words):
        names = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", tmp_path, *names, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert _commit(tmp_path) is None
    git("init")
    assert _commit(tmp_path) is None
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "first")
    assert _commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "file").write_text("two")
    assert _commit(tmp_path) == git("rev-parse", "HEAD") + "+changes"
    assert _commit(tmp_path / "below") is None
