"""Trainings by name: ``smoke`` (seconds), ``quick`` (default), ``long`` (an hour a figure), ``paper`` (published)."""

from dataclasses import replace

from mamlprobe.base.door import door
from mamlprobe.base.errors import Catalogue, UserError, unknown
from mamlprobe.recipes.contrast import CONTRAST
from mamlprobe.recipes.kao import KAO
from mamlprobe.recipes.learners import MAIN
from mamlprobe.recipes.published import PUBLISHED_RECIPES
from mamlprobe.recipes.sinusoids import SINUSOID
from mamlprobe.runs.experiment import Experiment, Recipe

PRESETS = ("smoke", "quick", "long", "paper")

LEARNERS: dict[str, Recipe] = MAIN | KAO | CONTRAST
"""Every learner, in all sizes: at smoke, quick and long on the built-in characters, at paper in one setting for all."""

RECIPES: dict[str, Recipe] = Catalogue("recipe", LEARNERS | SINUSOID | PUBLISHED_RECIPES)
"""All that can be trained by name."""


@door()
def recipe(name: str, preset: str | None = None) -> Experiment:
    """Return the experiment of that name at that size; None means quick, or the largest size the recipe has.

    Raises:
        UserError: unknown name or preset; a preset that the recipe does not come in.
    """
    sizes = RECIPES[name].sizes
    if preset is None:
        preset = "quick" if "quick" in sizes else list(sizes)[-1]
    if preset not in PRESETS:
        raise unknown("recipe", "preset", preset, PRESETS)
    if preset not in sizes:
        must = f"{name} comes in preset {' or '.join(sizes)} alone"
        raise UserError("recipe", must, repr(preset), "leave the preset out, or train a learner such as maml")
    return replace(sizes[preset], recipe=f"{name}-{preset}")
