"""Which class lies in which split: lists that papers published, kept as tables beside this file.

miniImageNet: Ravi and Larochelle 2017 (renmengye/few-shot-ssl-public 4ce8726; equal in twitter/meta-learning-lstm and
sicara/easy-few-shot-learning). tieredImageNet: Ren et al. 2018 (the same). CIFAR-FS: Bertinetto et al. 2019, FC100:
Oreshkin et al. 2018 (tristandeleu/pytorch-meta d55d89e). CUB: CloserLook and torchmeta, easyfsl, learn2learn, FEAT.
"""

from collections.abc import Collection
from functools import cache
from importlib import resources

import pandas as pd

from mamlprobe.borders.csv_tables import Schema, parse_table
from mamlprobe.borders.table_columns import TEXT, WHOLE, Column

SPLIT = Column(kind="text", choices=("train", "val", "test"))
CUB_SPLITS = ("closerlook", "easyfsl", "learn2learn", "feat")

TABLES = {
    "miniimagenet": {"wnid": TEXT, "split": SPLIT, "order": WHOLE, "words": TEXT},
    "tieredimagenet": {"wnid": TEXT, "split": SPLIT, "category": TEXT, "words": TEXT},
    "cifar100": {
        **dict.fromkeys(("fine", "coarse"), TEXT),
        **dict.fromkeys(("fine_id", "coarse_id"), WHOLE),
        **dict.fromkeys(("cifar_fs", "fc100"), SPLIT),
    },
    "cub": {"class": TEXT, **dict.fromkeys(CUB_SPLITS, SPLIT)},
}
"""Table -> its columns."""

Published = dict[str, tuple[int, int | None]]
"""Split -> its classes and the images of each; None where classes differ in size."""

MINI: Published = {"train": (64, 600), "val": (16, 600), "test": (20, 600)}
TIERED: Published = {"train": (351, None), "val": (97, None), "test": (160, None)}
CUB: Published = {"train": (100, None), "val": (50, None), "test": (50, None)}
CIFAR_FS: Published = MINI
FC100: Published = {"train": (60, 600), "val": (20, 600), "test": (20, 600)}


@cache
def class_list(name: str) -> pd.DataFrame:
    """Read a table of this package: a row a class."""
    data = (resources.files("mamlprobe.data.layouts") / f"{name}.csv").read_bytes()
    return parse_table(data, Schema(columns=TABLES[name]))


def split_lists(name: str, column: str, split: str = "split") -> dict[str, list[str]]:
    """Return for each split the entries of a column, in the order of the table."""
    table = class_list(name)
    return {each: table[column][table[split] == each].tolist() for each in SPLIT.choices}


def published_for(names: Collection[str]) -> Published | None:
    """Return the numbers of the set that all these classes are of, by wnids, words or birds; None of an unknown one."""
    lists = {
        ("miniimagenet", "wnid"): MINI,
        ("tieredimagenet", "wnid"): TIERED,
        ("tieredimagenet", "words"): TIERED,
        ("cub", "class"): CUB,
    }
    known = ((table, column) for table, column in lists if set(names) <= set(class_list(table)[column]))
    return next((lists[each] for each in known), None)


LISTED = {
    "miniimagenet": ("miniimagenet", "wnid", "split"),
    "tieredimagenet": ("tieredimagenet", "wnid", "split"),
    "cifar-fs": ("cifar100", "fine", "cifar_fs"),
    "fc100": ("cifar100", "fine", "fc100"),
    **{f"cub-{split}": ("cub", "class", split) for split in CUB_SPLITS},
}
"""Data set -> table, column of the names of its classes, and column of its splits."""


def training_classes(name: str) -> tuple[str, ...]:
    """Return the names of the training classes of a published data set; none of another."""
    return tuple(split_lists(*LISTED[name])["train"]) if name in LISTED else ()
