"""What lies in the cache folder, and what of it is removed."""

import pytest

from mamlprobe.cli import main
from mamlprobe.native import build


@pytest.mark.parametrize("how", ["nothing", "a file", "a link"])
def test_a_cache_that_is_not_there_is_empty(how, own_cache, tmp_path, capsys):
    if how == "a file":
        own_cache.write_text("mine")
    if how == "a link":
        own_cache.symlink_to(tmp_path / "nowhere")
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "removed: 0 files"
    assert how != "a file" or own_cache.read_text() == "mine"


def test_kernels_behind_a_link_are_not_cleared(own_cache, tmp_path):
    """The folder of kernels is the user's alone and no link."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "kernels-0123456789abcdef.so").write_bytes(b"theirs")
    own_cache.mkdir()
    build.kernels_folder().symlink_to(other)
    assert main(["cache", "--clear"]) == 0
    assert (other / "kernels-0123456789abcdef.so").exists()
