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
"""All trainings by name, each a `Recipe` of one experiment in up to four sizes.

Examples:
    >>> import mamlprobe as mp
    >>> anil = mp.RECIPES["anil"]
    >>> list(anil.sizes), anil.source
    (['smoke', 'quick', 'long', 'paper'], 'Raghu et al. 2020, table 2')
    >>> anil.sizes["quick"].updates, anil.sizes["paper"].net.filters
    (1000, 32)
    >>> [name for name in mp.RECIPES if name.startswith("sinusoid-maml")]
    ['sinusoid-maml', 'sinusoid-maml-2pi']
"""


@door()
def recipe(name: str, preset: str | None = None) -> Experiment:
    """Return the experiment of that name at that size; None means quick, or the largest size the recipe has.

    Where its settings come from is said by ``RECIPES[name].source``.

    Raises:
        UserError: unknown name or preset; a preset that the recipe does not come in.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> quick = mp.recipe("anil")
        >>> quick.recipe, quick.updates, quick.method.inner.adapts
        ('anil-quick', 1000, ('head.*',))
        >>> five_shot = replace(quick, recipe="anil-5-shot", shot=5, seed=1)
        >>> mp.recipe("anil", "quik")
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: recipe: the preset must be a known one, got 'quik'; did you
        mean quick?
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
