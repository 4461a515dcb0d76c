"""The trainings of Kao et al. 2022 on Omniglot by name, and for which preset and data set they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mamlprobe.reproduce.study import Study

LATE = 2000
"""Updates from which on a run counts as at its end."""
SHOTS = (1, 5)


def recipe_of(arm: str, shot: int) -> str:
    """Return the name of the recipe of this arm in 5-way tasks of `shot` shots."""
    return f"kao-{arm}-omniglot-5way-{shot}shot"


def trainings(arms: Mapping[str, str], shots: Sequence[int] = SHOTS) -> tuple[str, ...]:
    """Return the names of the recipes of these arms, for every shot."""
    return tuple(recipe_of(arm, shot) for shot in shots for arm in arms)


def missing(stage: Study) -> str:
    """Say why there is no figure, empty if there is one: the settings are those of one data set."""
    sized = stage.preset == "smoke" and stage.dataset is not None
    fits = stage.preset in ("long", "paper") and stage.dataset == "omniglot"
    return "" if fits or sized else "drawn with --dataset omniglot --preset long (600 updates an arm) or paper (3,000)"
