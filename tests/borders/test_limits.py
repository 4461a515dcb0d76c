"""The limits that the documentation states are those of the code."""

from pathlib import Path

from mamlprobe.borders import csv_tables, json_text, tensor_files, zip_sizes
from mamlprobe.borders.arrays import array_pickles, hdf5_files, numpy_files, tar_entries
from mamlprobe.borders.regular_files import amount
from mamlprobe.data import manifests
from mamlprobe.data.layouts import rows
from mamlprobe.data.reading import archives, decoded

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "reliability.md").read_text()


def test_the_page_states_each_limit():
    lines = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| ")}
    stated = {
        "`config.json`": [amount(json_text.SETTINGS), f"{json_text.DEEPEST} levels"],
        "manifests": [amount(manifests.LARGEST)],
        "tables": [amount(csv_tables.LARGEST_TABLE), f"{csv_tables.ENTRIES:,}", f"{csv_tables.COLUMNS:,} columns"],
        "files of tensors": [
            *(amount(size) for size in (tensor_files.LARGEST_WEIGHTS, tensor_files.LARGEST_HEADER)),
            f"{tensor_files.TENSORS:,} tensors",
        ],
        "a picture": [amount(archives.LARGEST_IMAGE), f"{decoded.PIXELS:,} pixels"],
        "the table of contents": [amount(zip_sizes.LARGEST_CONTENTS)],
        "data sets of other": [
            amount(rows.LARGEST_IMAGES),
            *(f"{each.PACKED} times the file and {amount(each.SLACK)}" for each in (numpy_files, hdf5_files)),
        ],
        "their labels": [amount(rows.LARGEST_LABELS)],
        "their pickles": [
            f"{array_pickles.OPERATIONS:,} operations, {array_pickles.STACK:,} values",
            f"{array_pickles.CONTAINERS:,} lists and dicts, {array_pickles.ENTRIES:,} entries",
        ],
        "a packed tar": [amount(tar_entries.UNPACKED)],
    }
    for start, limits in stated.items():
        row = next(line for name, line in lines.items() if name.startswith(start))
        assert [limit for limit in limits if limit not in row] == []


def test_amounts_are_in_the_largest_unit():
    assert [amount(size) for size in (1, 1023, 1024, 3 * 2**20, 2**33)] == [
        "1 bytes",
        "1023 bytes",
        "1 KiB",
        "3 MiB",
        "8 GiB",
    ]
