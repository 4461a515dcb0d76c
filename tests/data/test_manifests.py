"""Episodes written down by their ids and made again; every way in which a file can be wrong, by its message."""

import json
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.data.manifests import load_manifest, read_manifest, write_manifest
from mamlprobe.data.sampling import sample
from tests.marks import cuda

WORDS = {"split": "train", "way": 3, "shot": 2, "query": 4, "tasks": 5, "seed": 7}
PARTS = ("support_x", "support_y", "query_x", "query_y", "class_ids", "support_items", "query_items")


@pytest.fixture
def episodes(pool):
    return sample(pool, **WORDS)


@pytest.fixture
def path(pool, episodes, tmp_path):
    found = tmp_path / "new" / "tasks.json"
    write_manifest(episodes, found, pool=pool, split="train")
    return found


def spoiled(path, change):
    """The file after `change` to what it says."""
    words = json.loads(path.read_text())
    change(words)
    path.write_text(json.dumps(words))


def told(call):
    with pytest.raises(UserError) as error:
        call()
    return str(error.value)


def test_what_is_read_is_what_was_written(pool, episodes, path):
    again = read_manifest(path, pool)
    for name in PARTS:
        here, there = getattr(episodes, name), getattr(again, name)
        assert here.dtype == there.dtype
        assert torch.equal(here, there)
    assert manifest(again) == manifest(episodes)
    assert [each.name for each in path.parent.iterdir()] == ["tasks.json"]


def test_levels_are_the_pools_own(pool, episodes, path):
    """The same tasks may be seen under other levels."""
    other = replace(pool, mean=(0.5,), std=(0.25,), name="renamed")
    torch.testing.assert_close(read_manifest(path, other).support_x, (episodes.support_x - 0.5) / 0.25)


def test_the_file_says_what_a_reader_asks_for(pool, episodes, path):
    words = json.loads(path.read_text())
    head = {"format": 1, "dataset": "toy", "digest": pool.digest(), "split": "train", "way": 3, "shot": 2, "query": 4}
    assert {name: value for name, value in words.items() if name != "tasks"} == {
        **head,
        "episodes": manifest(episodes),
    }
    for b, task in enumerate(words["tasks"]):
        for n, row in enumerate(task):
            each = int(episodes.class_ids[b, n])
            assert row == {
                "class": each,
                "name": f"class{each}",
                "support": episodes.support_items[b, 2 * n : 2 * n + 2].tolist(),
                "query": episodes.query_items[b, 4 * n : 4 * n + 4].tolist(),
            }
    lines = path.read_text().splitlines()
    assert sum('"class"' in line for line in lines) == 15 == len(lines) - 12
    assert max(len(line) for line in lines) < 100


def test_a_part_of_the_tasks(pool, episodes, path):
    found = load_manifest(path)
    assert (found.tasks, found.way, found.shot, found.query, found.split) == (5, 3, 2, 4, "train")
    part = found.build(pool, first=3, count=7)
    assert torch.equal(part.query_x, episodes.query_x[3:])
    assert torch.equal(part.support_items, episodes.support_items[3:])


def test_episodes_without_inputs_are_taken_at_their_word(pool, episodes, path, tmp_path):
    bare = replace(episodes, support_x=episodes.support_x[:, :, :0], query_x=episodes.query_x[:, :, :0])
    write_manifest(bare, tmp_path / "bare.json", pool=pool, split="train")
    assert (tmp_path / "bare.json").read_bytes() == path.read_bytes()


@cuda
def test_on_another_device(pool, episodes, path):
    found = read_manifest(path, pool.to("cuda"))
    assert found.support_x.device.type == "cuda"
    assert torch.equal(found.support_x.cpu(), episodes.support_x)
    assert manifest(found) == manifest(episodes)


def test_another_data_set_is_refused(pool, path):
    pixels = pool.images.clone()
    pixels[0, 0, 0, 2, 2] ^= 1
    other = replace(pool, images=pixels, name="other")
    assert told(lambda: read_manifest(path, other)) == (
        f"read_manifest: the data set of {path} must be 'toy' with digest {pool.digest()}, got 'other' with digest "
        f"{other.digest()}; load that one, with the same options (size, ink, split, rotations)"
    )


def item_of(words, value):
    words["tasks"][1][2]["query"][0] = value


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda words: item_of(words, 10),
            "items of class {name!r} must lie in 0..{last}, got 10 in task 1",
        ),
        (
            lambda words: words["tasks"][1][2].update({"class": 11}),
            "classes must be of split 'train' of 'toy', got class 11 in task 1",
        ),
        (
            lambda words: words["tasks"][1][2].update({"class": 99}),
            "classes must be of split 'train' of 'toy', got class 99 in task 1",
        ),
        (
            lambda words: words["tasks"][1].__setitem__(0, words["tasks"][1][2]),
            "the classes of a task must differ, got class {each} twice in task 1",
        ),
        (
            lambda words: item_of(words, words["tasks"][1][2]["support"][1]),
            "support and query of a class must not overlap, nor hold an item twice, got item {item} of {name!r} twice "
            "in task 1",
        ),
        (lambda words: words.update(split="tset"), "the split must be one of train, val, test, got 'tset'"),
    ],
)
def test_ids_that_cannot_be_are_refused(pool, path, change, line):
    row = json.loads(path.read_text())["tasks"][1][2]
    each = row["class"]
    line = line.format(name=pool.class_names[each], last=int(pool.counts[each]) - 1, each=each, item=row["support"][1])
    spoiled(path, change)
    assert told(lambda: read_manifest(path, pool)) == f"read_manifest: {path}: {line}; take an undamaged copy"


def test_other_tasks_than_were_written_are_refused(pool, episodes, path):
    """Support items in another order are other tasks too, for the rows are."""
    spoiled(path, lambda words: words["tasks"][0][0]["support"].reverse())
    found = load_manifest(path)
    wrong = replace(episodes, support_items=found.items[:, :, :2].flatten(1))
    assert told(lambda: read_manifest(path, pool)) == (
        f"read_manifest: {path} must name tasks with the hash {manifest(episodes)}, got {manifest(wrong)}; "
        "take an undamaged copy"
    )


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda words: words.update(format=2), "format 2"),
        (lambda words: words.pop("format"), "format None"),
        (lambda words: words.pop("digest"), "digest None"),
        (lambda words: words.update(shot=True), "shot True"),
        (lambda words: words.update(query=0), "way 3, shot 2, query 0"),
        (lambda words: words.update(tasks=[]), "no tasks"),
        (lambda words: words["tasks"][4].pop(), "task 4 without 3 classes"),
        (
            lambda words: words["tasks"][4][1]["query"].pop(),
            "task 4 without 2 support and 4 query items a class",
        ),
        (lambda words: words["tasks"][4][1].pop("query"), "task 4 without 2 support and 4 query items a class"),
        (lambda words: words["tasks"][4].__setitem__(1, 3), "task 4 without 2 support and 4 query items a class"),
        (lambda words: words["tasks"][0][0].update({"class": "a", "support": [0, 1], "query": [2, 3, 4, 5]}),
         "ids ['a', 0, 1, 2, 3, 4, 5] in task 0"),
        (lambda words: words["tasks"][0][0].update({"class": 2**63, "support": [0, 1], "query": [2, 3, 4, -5]}),
         f"ids [{2**63}, 0, 1, 2, 3, 4, -5] in task 0"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(pool, path, change, got):
    spoiled(path, change)
    must = f"{path} must be a whole manifest of episodes, format 1"
    assert told(lambda: read_manifest(path, pool)) == f"read_manifest: {must}, got {got}; take an undamaged copy"


@pytest.mark.parametrize(
    ("damage", "got"),
    [
        (lambda data: b"", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (lambda data: data[:-30], "JSONDecodeError: "),
        (lambda data: b"\xff" + data, "UnicodeDecodeError: "),
        (lambda data: b"[1]", "list"),
        (lambda data: b"[" * 10**6, "1000000 levels of nesting, where 32 are the most"),
    ],
)
def test_what_is_no_json_is_refused(pool, path, damage, got):
    path.write_bytes(damage(path.read_bytes()))
    start = f"read_manifest: {path} must be a whole manifest of episodes, format 1, got {got}"
    assert told(lambda: read_manifest(path, pool)).startswith(start)


def test_no_file(pool, tmp_path):
    none = tmp_path / "none"
    assert told(lambda: read_manifest(none, pool)) == f"read_manifest: the file must exist, got {none}; check the path"
    assert told(lambda: read_manifest(tmp_path, pool)) == (
        f"read_manifest: {tmp_path} must be a regular file, got a folder; take an undamaged copy"
    )


def test_episodes_that_cannot_be_written_down(pool, episodes, tmp_path):
    def line(found, *, pool=pool, split="train", path=tmp_path / "tasks.json"):
        return told(lambda: write_manifest(found, path, pool=pool, split=split))

    advice = "name the pool and the split that they were drawn from"
    made = Episodes(**{name: getattr(episodes, name) for name in PARTS[:4]})
    assert line(made) == (
        "write_manifest: episodes must know their class and item ids, got none; draw them with sample"
    )
    order = torch.tensor([1, 2, 0])
    assert line(replace(episodes, query_y=order[episodes.query_y])) == (
        "write_manifest: query rows must be class-major, equally many a class, got "
        "[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0]; sort and balance them"
    )
    assert line(episodes, split="val") == (
        f"write_manifest: classes must be of split 'val' of 'toy', got class {int(episodes.class_ids[0, 0])} in "
        f"task 0; {advice}"
    )
    query = episodes.query_items.clone()
    query[3, 0] = episodes.support_items[3, 1]
    assert line(replace(episodes, query_items=query)) == (
        "write_manifest: support and query of a class must not overlap, nor hold an item twice, got item "
        f"{int(query[3, 0])} of 'class{int(episodes.class_ids[3, 0])}' twice in task 3; {advice}"
    )
    other = replace(pool, images=255 - pool.images, name="other")
    assert line(episodes, pool=other) == (
        "write_manifest: inputs of the episodes must be images of 'other', got others; name the pool that they were "
        "drawn from"
    )
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "tasks.json"
    found = line(episodes, path=place)
    assert found.startswith(f"write_manifest: {place} must be open for writing, got ")
    assert found.endswith("; choose another place")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
