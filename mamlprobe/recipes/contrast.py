"""Trainings beyond Kao et al. 2022: their zeroed one-step head at other inner rates, and MAML on squared errors."""

from dataclasses import replace

from mamlprobe.methods.method import METHODS
from mamlprobe.recipes.kao import KAO
from mamlprobe.recipes.presets import at_paper, at_quick, few, sized
from mamlprobe.runs.experiment import Recipe

ETAS = (0.01, 0.03, 0.3, 1.0, 3.0, 10.0)
"""Inner rates in addition to the 0.1 of Kao et al.: temperatures N / eta from 500 down to 0.5 at five classes."""

TWINS = (0.01, 1.0)
"""Inner rates at which the explicit contrastive loss is trained too."""

SOURCE = "ours, after Kao et al. 2022"


def at_rate(name: str, eta: float) -> Recipe:
    """Return the recipe of that name with inner rate `eta`, in all sizes."""
    sizes = {}
    for size, each in KAO[name].sizes.items():
        method = replace(each.method, inner=replace(each.method.inner, lr=eta))
        sizes[size] = replace(each, method=method)
    return Recipe(sizes=sizes, source=SOURCE, about=f"{name} at inner rate {eta:g}")


def _mse() -> Recipe:
    """Use inner rate 0.03 at quick: of 0.01, 0.03 and 0.1 it learned best in a short trial."""
    small, large = few("maml", lr=0.03), METHODS["maml"]
    quick, paper = (replace(each, loss="mse") for each in (small, large))
    return sized("MAML on squared errors", SOURCE, at_quick(quick), at_paper(paper))


CONTRAST: dict[str, Recipe] = {
    "maml-mse": _mse(),
    **{
        f"{name}-eta{eta:g}": at_rate(name, eta)
        for name, etas in (("efil-fo-zeroing", ETAS), ("contrastive-fo-zeroing", TWINS))
        for eta in etas
    },
}
"""Recipes by name, in all sizes."""
