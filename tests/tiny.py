"""Small images in folders, and the words that train on them in a second."""

from pathlib import Path

import numpy as np
from PIL import Image

SMALL = (
    "--preset smoke --way 3 --size 10 --net.blocks 2 --tasks 2 --updates 2 --checkpoint-every 1 --validation-tasks 3"
)


def write_images(folder: Path, mode: str, size: int = 10) -> Path:
    """A folder of 5 + 3 + 4 classes of 6 images, each class a pattern of its own with noise."""
    noise = np.random.default_rng(0)
    shape = (size, size, 3) if mode == "RGB" else (size, size)
    for split, classes in {"train": 5, "val": 3, "test": 4}.items():
        for each in range(classes):
            pattern, place = noise.integers(0, 200, shape), folder / split / f"{split}{each}"
            place.mkdir(parents=True)
            for item in range(6):
                pixels = (pattern + noise.integers(0, 55, shape)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{item}.png")
    return folder
