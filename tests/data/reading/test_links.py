import re
import stat
import zipfile

import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.data.by_name import load_pool
from mamlprobe.data.reading.archives import opened, stamps
from mamlprobe.data.reading.image_folder import read_folder


@pytest.fixture
def far(tmp_path, write_tree, image_bytes):
    """Class folders in another place."""
    return write_tree(
        tmp_path / "far", {f"{c}/{i}.png": image_bytes(10 * n + i) for n, c in enumerate("abc") for i in range(2)}
    )


@pytest.fixture
def zip_of(tmp_path):
    """A zip of name -> bytes, or -> the target of a link."""

    def make(entries):
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for name, data in entries.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = ((stat.S_IFLNK if isinstance(data, str) else stat.S_IFREG) | 0o644) << 16
                archive.writestr(info, data)
        return tmp_path / "set.zip"

    return make


def test_linked_classes_splits_and_images(tmp_path, far, capsys):
    """The same classes whether they lie in the folder or are linked to, one by one, by split or image by image."""
    for name in ("classes", "splits", "images"):
        (tmp_path / name / ("test/a" if name == "images" else "")).mkdir(parents=True)
    for each in "abc":
        (tmp_path / "classes" / each).symlink_to(far / each)
    (tmp_path / "splits" / "test").symlink_to(far)
    (tmp_path / "whole").symlink_to(far)
    for each in (far / "a").iterdir():
        (tmp_path / "images" / "test" / "a" / each.name).symlink_to(each)
    expected = read_folder(far)
    for name in ("classes", "splits", "whole"):
        assert load_pool(tmp_path / name).class_names == ("a", "b", "c")
        np.testing.assert_array_equal(read_folder(tmp_path / name).images, expected.images)
    np.testing.assert_array_equal(read_folder(tmp_path / "images").images[0], expected.images[0])
    assert capsys.readouterr().err == ""


def test_a_change_behind_a_link_is_seen(tmp_path, far, image_bytes):
    (tmp_path / "set").mkdir()
    for each in "ab":
        (tmp_path / "set" / each).symlink_to(far / each)
    before = load_pool(tmp_path / "set").digest()
    (far / "a" / "0.png").write_bytes(image_bytes(99))
    assert load_pool(tmp_path / "set").digest() != before
    assert len(stamps(tmp_path / "set")) == 4


def test_links_that_lead_back_end(tmp_path, far, capsys):
    (far / "a" / "up").symlink_to(far)
    (far / "all").symlink_to(".")
    (far / "b" / "other").symlink_to(far / "c")
    pool = load_pool(far)
    assert pool.class_names == ("a", "b", "b/other", "c")
    assert capsys.readouterr().err == f"load_pool: of {far} left out links that lead back: a/up, all\n"


@pytest.mark.parametrize("name", ["d", "a/9.png"])
def test_links_that_lead_nowhere(far, name):
    (far / name).symlink_to("absent")
    must = f"load_pool: link {name} of {far} must lead to a file or folder, got 'absent'; mend it or delete it"
    with pytest.raises(UserError, match=re.escape(must)):
        load_pool(far)


def test_links_to_themselves(far):
    (far / "d").symlink_to("d")
    with pytest.raises(UserError, match=r"link d of .* must lead to a file or folder"):
        load_pool(far)


def test_links_in_zips(zip_of, image_bytes):
    """To a folder, to an image, to a link, past a link, and back up."""
    images = {f"far/a/{i}.png": image_bytes(i) for i in range(2)} | {
        f"far/b/{i}.png": image_bytes(5 + i) for i in range(2)
    }
    links = {"set/one": "../far/a", "set/two": "one", "set/three/0.png": "../../far/b/1.png", "set/four": "../way/b"}
    path = zip_of({**images, **links, "way": "./far", "set/five/more": "../../far/b", "set/five/0.png": "more/0.png"})
    pool = read_folder(path)
    got = dict(zip(pool.class_names, pool.images))
    expected = {name: got[f"far/{name}"] for name in "ab"}
    for name, of in {"set/one": "a", "set/two": "a", "set/four": "b", "way/a": "a", "set/five/more": "b"}.items():
        np.testing.assert_array_equal(got[name], expected[of])
    np.testing.assert_array_equal(got["set/three"][0], expected["b"][1])
    np.testing.assert_array_equal(got["set/five"][0], expected["b"][0])


def test_links_that_lead_back_end_in_zips(zip_of, image_bytes, capsys):
    path = zip_of({"a/0.png": image_bytes(), "b/0.png": image_bytes(1), "a/up": "..", "b/here": ".", "b/next": "../a"})
    with opened(path) as tree:
        assert tree.loops == ("a/up", "b/here", "b/next/up")
    assert load_pool(path).class_names == ("a", "b", "b/next")
    assert capsys.readouterr().err.endswith("left out links that lead back: a/up, b/here, b/next/up\n")


@pytest.mark.parametrize("target", ["../../etc", "/etc", "b/../../../etc", "C:/etc"])
def test_links_out_of_zips(zip_of, image_bytes, target):
    path = zip_of({"a/0.png": image_bytes(), "b/": b"", "c": target})
    must = f"load_pool: entries of {path} must stay inside it, got link 'c' to {target!r}; do not trust this zip"
    with pytest.raises(UserError, match=re.escape(must)):
        read_folder(path)


@pytest.mark.parametrize("links", [{"c": "absent"}, {"c": "d", "d": "c"}, {"c": "c"}])
def test_links_that_lead_nowhere_in_zips(zip_of, image_bytes, links):
    with pytest.raises(UserError, match=r"load_pool: link c of .* must lead to a file or folder, got '\w+'; mend it"):
        read_folder(zip_of({"a/0.png": image_bytes()} | links))
