"""Files of data sets as other projects keep them: one good one of each kind, to be spoiled."""

import io
import json
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st
from PIL import Image

import mamlprobe as mp
from tests.fuzz import spoiling as bad
from tests.fuzz.box import Box

IMAGES = np.arange(4 * 5 * 5 * 3, dtype=np.uint8).reshape(4, 5, 5, 3)


def _saved(save: Any, *arrays: Any, **named: Any) -> bytes:
    into = io.BytesIO()
    save(into, *arrays, **named)
    return into.getvalue()


def _hdf5() -> bytes:
    into = io.BytesIO()
    with h5py.File(into, "w") as file:
        file["datasets/a"], file["datasets/b"] = IMAGES[:2], IMAGES[2:]
    return into.getvalue()


@cache
def good_files() -> dict[str, bytes]:
    """Return name -> content; all but the pictures are one data set each."""
    png = _saved(lambda into: Image.fromarray(IMAGES[0]).save(into, "PNG"))
    labels = {"data": IMAGES, "labels": [80, 80, 81, 81]}
    cifar = {"data": np.zeros((4, 3072), np.uint8), "fine_labels": [0, 0, 1, 2]}
    closer = {"label_names": ["a", "b"], "image_names": ["a/0.png", "b/1.png"], "image_labels": [0, 1]}
    caches = {"image_data": IMAGES, "class_dict": {"a": [0, 1], "b": [2, 3]}}
    return {
        "mini-imagenet-cache-test.pkl": pickle.dumps(caches, 2),
        "mini-imagenet-cache-val.pkl": pickle.dumps(caches, 4),
        "miniImageNet_category_split_test.pickle": pickle.dumps(labels, 0),
        "few-shot-test.npz": _saved(np.savez_compressed, features=IMAGES, targets=np.array([0, 0, 1, 1])),
        "train": pickle.dumps(cifar, 5),
        "test_images_png.pkl": pickle.dumps([np.frombuffer(png, np.uint8)] * 4, 2),
        "test_labels.pkl": pickle.dumps({"label_specific": np.array([0, 0, 1, 1]), "label_specific_str": ["a", "b"]}),
        "test_data.hdf5": _hdf5(),
        "omniglot.npy": _saved(np.save, np.zeros((2, 2, 1, 5, 5))),
        "test.csv": b"filename,label\n0.png,a\n1.png,b\n",
        "test.json": json.dumps(closer).encode(),
        "images/0.png": png,
        "images/1.png": png,
        "images/a/0.png": png,
        "images/b/1.png": png,
    }


BESIDE = {
    "train": {"test": "train"},
    "test_images_png.pkl": {"test_labels.pkl": "test_labels.pkl"},
    "test_labels.pkl": {"test_images_png.pkl": "test_images_png.pkl"},
    "test.csv": {"images/0.png": "images/0.png", "images/1.png": "images/1.png"},
    "test.json": {"images/a/0.png": "images/a/0.png", "images/b/1.png": "images/b/1.png"},
}
"""File -> the good ones beside it, and what they hold."""


def spoiled_files(box: Box) -> st.SearchStrategy[tuple[str, bytes]]:
    """Draw a file's name and what it holds: spoiled bytes, or a pickle that would make a file."""
    good = good_files()
    names = st.sampled_from([name for name in good if not name.startswith("images/")])
    code = bad.Calls(box.canary)
    hostile = [{"data": code}, {"image_data": IMAGES, "class_dict": code}, [code], code]

    def contents(name: str) -> st.SearchStrategy[bytes]:
        if name.endswith((".csv", ".json")):
            return bad.spoiled_bytes(good[name])
        pickles = st.tuples(st.sampled_from(hostile), st.integers(0, 5)).map(lambda each: pickle.dumps(*each))
        return bad.spoiled_bytes(good[name]) | bad.spoiled_bytes(good[name]) | pickles

    return names.flatmap(lambda name: contents(name).map(lambda data: (name, data)))


def loaded(box: Box, file: tuple[str, bytes]) -> object:
    """Load the data set that the file is one of."""
    name, content = file
    folder: Path = box.fresh() / "set"
    for place, data in [
        *((place, good_files()[of]) for place, of in BESIDE.get(name, {}).items()),
        (name, content),
    ]:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(data)
    return mp.load_pool(folder, size=5, **({"split": "fc100"} if name == "train" else {}))
