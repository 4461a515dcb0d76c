"""Batches of tasks by name: a file of class and item ids, so that two people score the same tasks."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.base.files import atomic_write
from mamlprobe.borders.json_text import read_json
from mamlprobe.borders.regular_files import amount
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import check_ids, take

FORMAT = 1
"""Number of the layout that `write_manifest` writes."""

LARGEST = 2**24
"""Bytes of a manifest, such as one of 25,000 tasks of five classes with two items each."""

_FIELDS = {"dataset": str, "digest": str, "split": str, "episodes": str, "way": int, "shot": int, "query": int}
_MOST = 2**31
"""No id is larger."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifest:
    """A batch of tasks as a file names it.

    classes: ``[B, N]`` ids of classes; entry n has label n.
    items: ``[B, N, K+Q]`` ids of items within their class, the support set first.
    """

    __repr__ = described

    path: Path
    dataset: str
    digest: str
    split: str
    shot: int
    classes: Tensor
    items: Tensor
    episodes: str
    """What `manifest` returns for the tasks."""

    @property
    def tasks(self) -> int:
        """Return B, the number of tasks."""
        return self.classes.shape[0]

    @property
    def way(self) -> int:
        """Return N, the classes of a task."""
        return self.classes.shape[1]

    @property
    def query(self) -> int:
        """Return Q, the query items of a class."""
        return self.items.shape[2] - self.shot

    def check(self, pool: Pool) -> None:
        """Check that the pool is the one whose tasks are named, and that they are those the file was written for.

        Raises:
            UserError: another data set; ids that it does not have; support and query that overlap; other tasks.
        """
        if pool.digest() != self.digest:
            must = f"the data set of {self.path} must be {self.dataset!r} with digest {self.digest}"
            advice = "load that one, with the same options (size, ink, split, rotations)"
            raise UserError("read_manifest", must, f"{pool.name!r} with digest {pool.digest()}", advice)
        check_ids("read_manifest", f"{self.path}: ", self.classes, self.items, pool, self.split, _COPY)
        if (actual := manifest(_bare(self.classes, self.items, self.shot))) != self.episodes:
            must = f"{self.path} must name tasks with the hash {self.episodes}"
            raise UserError("read_manifest", must, actual, _COPY)

    def build(self, pool: Pool, *, first: int = 0, count: int | None = None) -> Episodes:
        """Build the tasks from `first` on, `count` of them or all, from a pool that has passed `check`."""
        part = slice(first, None if count is None else first + count)
        return take(pool, self.classes[part].to(pool.device), self.items[part].to(pool.device), shot=self.shot)


@door()
def write_manifest(episodes: Episodes, path: str | Path, *, pool: Pool, split: str) -> None:
    """Write one JSON file, all or nothing, that names the tasks: a line a class, with its support and query items.

    It also has data set and digest, split, way, shot, query, and the hash that `manifest` gives. Episodes with empty
    inputs are not compared with the pool's images; of others the first task is.

    Raises:
        UserError: episodes without ids, not class-major or not of this pool and split; a path not open for writing.

    Examples:
        >>> import mamlprobe as mp
        >>> pool = mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=2, seed=0)
        >>> mp.write_manifest(tasks, "tasks.json", pool=pool, split="test")
        >>> mp.write_manifest(tasks, "tasks.json", pool=pool, split="train")
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: write_manifest: classes must be of split 'train' of
        'glyphs', got class 1662 in task 0; name the pool and the split that they were drawn from
    """
    if Path(path).is_dir():
        raise UserError("write_manifest", f"{path} must be a file", "a folder", "name a file in it")
    classes, items, shot = _ids(episodes)
    advice = "name the pool and the split that they were drawn from"
    check_ids("write_manifest", "", classes, items, pool, split, advice)
    _same_inputs(episodes, pool, classes, items, shot)
    header = {
        "format": FORMAT,
        "dataset": pool.name,
        "digest": pool.digest(),
        "split": split,
        "way": classes.shape[1],
        "shot": shot,
        "query": items.shape[2] - shot,
        "episodes": manifest(_bare(classes, items, shot)),
    }
    tasks = []
    for ids, drawn in zip(classes.tolist(), items.tolist(), strict=True):
        rows = [
            {"class": each, "name": pool.class_names[each], "support": chosen[:shot], "query": chosen[shot:]}
            for each, chosen in zip(ids, drawn, strict=True)
        ]
        tasks.append("[" + ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows) + "]")
    head = json.dumps(header, indent=1, ensure_ascii=False).removesuffix("\n}")
    body = ",\n ".join(tasks)
    text = f'{head},\n "tasks": [\n {body}\n ]\n}}\n'.encode()
    if len(text) > LARGEST:
        got = f"{amount(len(text))} for {len(tasks)} tasks"
        raise UserError("write_manifest", f"a manifest must have at most {amount(LARGEST)}", got, "write several")
    _write(Path(path), text)


@door()
def read_manifest(path: str | Path, pool: Pool) -> Episodes:
    """Build the tasks that the file names from this pool, on its device: those that were written, to the bit.

    Raises:
        UserError: no such file, or a damaged one; another data set; ids that it does not have; support and query that
            overlap; tasks that are not those the file was written for.

    Examples:
        >>> import mamlprobe as mp
        >>> pool = mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=2, seed=0)
        >>> mp.write_manifest(tasks, "tasks.json", pool=pool, split="test")
        >>> again = mp.read_manifest("tasks.json", pool)
        >>> bool((again.query_x == tasks.query_x).all()), mp.manifest(again) == mp.manifest(tasks)
        (True, True)
    """
    loaded = load_manifest(path)
    loaded.check(pool)
    return loaded.build(pool)


def load_manifest(path: str | Path) -> Manifest:
    """Read the file and check that it is whole; `Manifest.check` tells whether a pool has its tasks.

    Raises:
        UserError: no such file, or a damaged one.
    """
    path = Path(path)
    content = read_json(path, where="read_manifest", must=_must(path), advice=_COPY, most=LARGEST)
    if type(content.get("format")) is not int or content["format"] != FORMAT:
        _damaged(path, f"format {content.get('format')!r}")
    for name, kind in _FIELDS.items():
        if type(content.get(name)) is not kind:
            _damaged(path, f"{name} {content.get(name)!r}")
    rows = _rows(path, content)
    return Manifest(
        path=path,
        classes=torch.tensor([[each for each, _ in task] for task in rows], device="cpu"),
        items=torch.tensor([[items for _, items in task] for task in rows], device="cpu"),
        **{name: content[name] for name in ("dataset", "digest", "split", "shot", "episodes")},
    )


def _rows(path: Path, content: dict[str, Any]) -> list[list[tuple[int, list[int]]]]:
    """Return the class ids of every task, each with its items, the support set first."""
    way, shot, query = (content[name] for name in ("way", "shot", "query"))
    if min(way, shot, query) < 1:
        _damaged(path, f"way {way}, shot {shot}, query {query}")
    tasks = content.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        _damaged(path, "no tasks")
    every = []
    for number, task in enumerate(tasks):
        if not isinstance(task, list) or len(task) != way:
            _damaged(path, f"task {number} without {way} classes")
        classes = []
        for row in task:
            entry: dict[str, Any] = row if isinstance(row, dict) else {}
            each, support, drawn = (entry.get(name, ()) for name in ("class", "support", "query"))
            if [isinstance(part, list) and len(part) for part in (support, drawn)] != [shot, query]:
                _damaged(path, f"task {number} without {shot} support and {query} query items a class")
            ids = [each, *support, *drawn]
            if any(type(value) is not int or not 0 <= value < _MOST for value in ids):
                _damaged(path, f"ids {ids} in task {number}")
            classes.append((each, ids[1:]))
        every.append(classes)
    return every


_COPY = "take an undamaged copy"


def _must(path: Path) -> str:
    return f"{path} must be a whole manifest of episodes, format {FORMAT}"


def _damaged(path: Path, got: str) -> NoReturn:
    raise UserError("read_manifest", _must(path), got, _COPY)


def _bare(classes: Tensor, items: Tensor, shot: int) -> Episodes:
    """Build the tasks with empty inputs: labels and ids alone."""
    tasks, way = classes.shape
    parts: dict[str, Tensor] = {"class_ids": classes}
    for name, part in (("support", items[:, :, :shot]), ("query", items[:, :, shot:])):
        rows = torch.arange(way, device=items.device)[:, None].expand(tasks, way, part.shape[2]).flatten(1)
        parts |= {
            f"{name}_x": torch.zeros(*rows.shape, 0, dtype=torch.float32, device=items.device),
            f"{name}_y": rows,
            f"{name}_items": part.flatten(1),
        }
    return Episodes(**parts)


def _ids(episodes: Episodes) -> tuple[Tensor, Tensor, int]:
    """Return classes [B, N], items [B, N, K+Q] and K of episodes, on the CPU."""
    classes, support, query = episodes.class_ids, episodes.support_items, episodes.query_items
    if classes is None or support is None or query is None:
        advice = "draw them with sample"
        raise UserError("write_manifest", "episodes must know their class and item ids", "none", advice)
    tasks, way = classes.shape
    parts = []
    for name, items, labels in (("support", support, episodes.support_y), ("query", query, episodes.query_y)):
        rows = labels.shape[1]
        if rows % way or not torch.equal(
            labels, (torch.arange(rows, device=labels.device) * way // rows).expand(tasks, rows)
        ):
            must = f"{name} rows must be class-major, equally many a class"
            raise UserError("write_manifest", must, labels[0].tolist(), "sort and balance them")
        parts.append(items.detach().cpu().long().view(tasks, way, rows // way))
    return classes.detach().cpu().long(), torch.cat(parts, dim=2), parts[0].shape[2]


def _same_inputs(episodes: Episodes, pool: Pool, classes: Tensor, items: Tensor, shot: int) -> None:
    """Check that the first task's inputs, unless empty, are the pool's."""
    device = pool.device
    wanted = take(pool, classes[:1].to(device), items[:1].to(device), shot=shot)
    for name in ("support_x", "query_x"):
        given, expected = getattr(episodes, name)[0].flatten(1), getattr(wanted, name)[0].flatten(1)
        if given.numel() and not torch.equal(given, expected.to(given)):
            must = f"inputs of the episodes must be images of {pool.name!r}"
            raise UserError("write_manifest", must, "others", "name the pool that they were drawn from")


def _write(path: Path, text: bytes) -> None:
    try:
        with atomic_write(path) as aside:
            aside.write_bytes(text)
    except OSError as error:
        got = error.strerror or type(error).__name__
        raise UserError("write_manifest", f"{path} must be open for writing", got, "choose another place") from None
