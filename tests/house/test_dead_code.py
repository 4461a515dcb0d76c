"""Nothing of the package is left that nothing uses."""

from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).parents[2]
ROOMS = ("mamlprobe", "analyses", "benchmarks")

CALLED_FROM_OUTSIDE = [
    *("__getattr__", "__dir__", "__path__", "__class__", "__call__"),  # by Python
    "_repr_html_",  # by notebooks
    *("find_class", "persistent_load"),  # by pickle
    *("_check_input_dim", "CheckpointFunction", "_checkpoint_without_reentrant_generator", "preserve"),  # by torch
    *("running_var", "use_input_stats", "frame", "cls"),  # arguments that the caller hands over
    *("mean_x", "mean_y", "permuted_head"),  # by users
    *("tests", "hanging", "convolutions", "profiles"),  # parts of a visit, by name
    "ADAPTED",  # one of three names given at once
]


def unused(*paths: Path, ignore: list[str]) -> list[str]:
    """What the sources define and never use, as ``file:line name``."""
    finder = Vulture(ignore_names=ignore)
    finder.scavenge([str(path) for path in paths], exclude=["*/native/gpu/*"])  # Triton calls kernels by other names
    return [f"{item.filename}:{item.first_lineno} {item.name}" for item in finder.get_unused_code(min_confidence=60)]


def test_everything_is_used():
    assert unused(*(ROOT / room for room in ROOMS), ignore=CALLED_FROM_OUTSIDE) == []


def test_what_nothing_uses_is_seen(tmp_path):
    source = tmp_path / "file.py"
    source.write_text("def used():\n    return 1\n\n\ndef dead():\n    return used()\n")
    assert unused(source, ignore=[]) == [f"{source}:5 dead"]
    assert unused(source, ignore=["dead"]) == []
