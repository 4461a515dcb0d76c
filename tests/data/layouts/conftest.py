"""Small sets of random images, as class folders and as arrays, to be written in other layouts."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.data.by_name import load_pool


class Touch:
    """A pickle of it makes a file, if it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def encoded(image, kind="PNG"):
    into = io.BytesIO()
    Image.fromarray(image).save(into, kind)
    return into.getvalue()


@dataclass
class Small:
    """Random images [n, H, W, 3] or [n, H, W] of some classes of each split."""

    classes: dict[tuple[str, str], np.ndarray]
    folder: Path

    def of(self, split):
        return {name: images for (each, name), images in self.classes.items() if each == split}

    def pool(self, **options):
        """The same images, in class folders."""
        if not self.folder.exists():
            for (split, name), images in self.classes.items():
                (self.folder / split / name).mkdir(parents=True)
                for item, image in enumerate(images):
                    (self.folder / split / name / f"{item:03d}.png").write_bytes(encoded(image))
        return load_pool(self.folder, **options)


@pytest.fixture
def small(tmp_path):
    def make(counts, shape=(6, 6, 3), seed=0):
        draw = np.random.default_rng(seed)
        classes = {key: draw.integers(0, 256, (count, *shape)).astype(np.uint8) for key, count in counts.items()}
        return Small(classes, tmp_path / f"folders-{seed}")

    return make


@pytest.fixture
def same():
    """Load both, by default and in another size, and compare every bit."""

    def check(path, small, options=None, **words):
        for size in (None, 6, 9):
            pool, wanted = load_pool(path, size=size, **(options or {}), **words), small.pool(size=size, **words)
            assert pool.class_names == wanted.class_names
            assert {name: ids.tolist() for name, ids in pool.splits.items()} == {
                name: ids.tolist() for name, ids in wanted.splits.items()
            }
            assert pool.digest() == wanted.digest()
            assert (pool.mean, pool.std) == (wanted.mean, wanted.std)
        return pool

    return check


@pytest.fixture
def refused(tmp_path):
    """The one line that loading ends in; nothing in a file is run."""

    def line(path, **options):
        with pytest.raises(UserError) as caught:
            load_pool(path, **options)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("load_pool: ")
        assert not (tmp_path / "executed").exists()
        return str(caught.value)

    return line


@pytest.fixture
def touch(tmp_path):
    """What makes a file, if its pickle is executed."""
    return Touch(tmp_path / "executed")
