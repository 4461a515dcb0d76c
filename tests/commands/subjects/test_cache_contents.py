"""What lies in the cache folder, and what of it is removed."""

import os

import pytest

from mamlprobe.cli import main
from mamlprobe.commands.subjects.cache_contents import MIB, OTHERS, clear, contents
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


def test_rows_are_summed_and_in_order(own_cache, tmp_path):
    """Data sets by name, then kernels, then the rest, which holds kernels of another user and is not cleared."""
    sizes = {
        "tiny-0123456789abcdef.safetensors": 3 * MIB,
        "tiny-fedcba9876543210.safetensors": MIB // 2,
        "a-b-0123456789abcdef.safetensors": MIB,
        "a-b-0123456789abcde.safetensors": 0,
        f"{build.kernels_folder().name}/kernels-0123456789abcdef.so": 2 * MIB,
        "kernels-123456/kernels-0123456789abcdef.so": 4 * MIB,
        "omniglot/deep/images.zip": 5 * MIB,
    }
    for name, size in sizes.items():
        (own_cache / name).parent.mkdir(parents=True, exist_ok=True)
        with open(own_cache / name, "wb") as file:
            file.truncate(size)
    assert contents().to_numpy().tolist() == [
        ["data set a-b", 1, "1.0", "yes"],
        ["data set tiny", 2, "3.5", "yes"],
        ["kernels", 1, "2.0", "yes"],
        [OTHERS, 3, "9.0", "no"],
    ]
    assert clear() == 4
    assert contents().to_numpy().tolist() == [["kernels", 1, "0.0", "yes"], [OTHERS, 3, "9.0", "no"]]


def test_links_count_as_links_and_folders_stay(own_cache, tmp_path):
    """A link to a large file is as small as a link; a folder of a data set's name is nobody's cache."""
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(8 * MIB)
    own_cache.mkdir()
    (own_cache / "tiny-0123456789abcdef.safetensors").symlink_to(large)
    (own_cache / "away").symlink_to(tmp_path)
    (own_cache / "glyphs-0123456789abcdef.safetensors").mkdir()
    table = contents().set_index("what")
    assert table.loc["data set tiny"].tolist() == [1, "0.0", "yes"]
    assert table.loc[OTHERS].tolist() == [1, "0.0", "no"]
    assert clear() == 1
    assert sorted(os.listdir(own_cache)) == ["away", "glyphs-0123456789abcdef.safetensors"]
    assert large.stat().st_size == 8 * MIB
