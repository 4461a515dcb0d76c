"""Where tasks come from, images or a formula, and the one place that knows which."""

from pathlib import Path

from mamlprobe.base.errors import UserError
from mamlprobe.data.by_name import load_pool, only
from mamlprobe.data.episodes import Episodes, sample
from mamlprobe.data.planted import PLANTED, Planted
from mamlprobe.data.pool import Pool
from mamlprobe.data.sinusoids import FORMULAS, Sinusoids

Source = Pool | Sinusoids | Planted
"""What tasks are drawn from."""


def load_source(
    name_or_path: str | Path,
    *,
    root: str | Path | None = None,
    size: int | None = None,
    ink: int = 1,
    split: str | None = None,
    rotations: str = "none",
    normalise: str | None = None,
) -> Source:
    """Return the formula of that name ("sinusoids", "planted-0.3"), or what `load_pool` loads with these arguments.

    Raises:
        UserError: as `load_pool`; options of images together with a formula.
    """
    name = str(name_or_path)
    formulas: dict[str, Source] = {**FORMULAS, **PLANTED}
    if name not in formulas:
        options = {"ink": ink, "split": split, "rotations": rotations, "normalise": normalise}
        return load_pool(name_or_path, root=root, size=size, **options)  # type: ignore[arg-type]
    for option, value, default in (
        ("size", size, None),
        ("ink", ink, 1),
        ("split", split, None),
        ("rotations", rotations, "none"),
        ("normalise", normalise, None),
    ):
        only(name, option, value, default)
    return formulas[name]


def draw(
    source: Source,
    *,
    split: str,
    way: int,
    shot: int,
    query: int,
    tasks: int,
    seed: int,
    index: int = 0,
    slots: str = "drawn",
) -> Episodes:
    """Draw batch `index` of the stream of tasks that `seed` and `split` name; see `sample` and `Sinusoids.episodes`.

    Raises:
        UserError: as they do; slots for a source without classes.
    """
    numbers = {"way": way, "shot": shot, "query": query, "tasks": tasks, "seed": seed, "index": index}
    if isinstance(source, Pool):
        return sample(source, split=split, slots=slots, **numbers)
    if slots != "drawn":
        raise UserError("train", f"labels by {slots} need images in classes", source.name, "set labels to episode")
    return source.episodes(split=split, **numbers)
