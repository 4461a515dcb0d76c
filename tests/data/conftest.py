import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mamlprobe.data.pool import Pool


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or writes the user's cache or data."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MAMLPROBE_CACHE", str(folder))
    return folder


@pytest.fixture
def pool():
    """12 classes of 7 to 10 items; the pixel at (0, 0) tells the class, that at (0, 1) the item."""
    images = torch.randint(0, 256, (12, 10, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images[:, :, 0, 0, 0] = torch.arange(12)[:, None]
    images[:, :, 0, 0, 1] = torch.arange(10)
    counts = torch.tensor([10, 9, 8, 7, 10, 10, 10, 9, 10, 10, 10, 10])
    for each, count in enumerate(counts):
        images[each, count:] = 0
    return Pool(
        name="toy",
        images=images,
        counts=counts,
        class_names=tuple(f"class{each}" for each in range(12)),
        splits={"train": torch.arange(6), "val": torch.tensor([7, 6]), "test": torch.arange(8, 12)},
    )


@pytest.fixture
def image_bytes():
    """An encoded image of noise."""

    def make(seed=0, *, mode="L", size=(9, 9), kind="PNG"):
        shape = size[::-1] + ({"RGB": (3,), "P": (3,), "CMYK": (3,), "RGBA": (4,)}.get(mode, ()))
        pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
        image = Image.fromarray(pixels)
        image = image if image.mode == mode else image.convert(mode)
        into = io.BytesIO()
        image.save(into, kind)
        return into.getvalue()

    return make


@pytest.fixture
def write_zip():
    """A zip of name -> bytes; a name that ends in / is a folder."""

    def make(path: Path, entries: dict[str, bytes]) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return path

    return make


@pytest.fixture
def write_tree():
    """A folder of name -> bytes."""

    def make(path: Path, entries: dict[str, bytes]) -> Path:
        for name, data in entries.items():
            place = path / name
            if name.endswith("/"):
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        return path

    return make
