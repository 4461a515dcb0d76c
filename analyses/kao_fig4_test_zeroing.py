"""Zeroing the head only at test: what models trained without the zeroing trick gain, and those trained with it do not.

Kao et al. 2022, zeroing at the testing stage (K4). First-order MAML with a random head, a head that starts at zero,
and a head zeroed before every update; accuracy after one inner step, head as trained or zeroed before it. Published,
drawn below from the authors' files: miniImageNet, 5-way 1-shot. Cost: eighteen first-order models (six seeds, which its
smallest difference needs) and two minutes.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import accuracy_panel, gap_panel, gaps, split
from mamlprobe.draw.ranges import same_height
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim, only

ARMS = {"fomaml": "random init", "fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
PAIRS = [("zero-init", "random init"), ("zeroing", "zero-init")]
EXPERIMENT = "testing_stage_zeroing"


def table(study: Study) -> pd.DataFrame:
    """Return accuracy (%) after one step by arm, head and update, ours and published; lifts and differences."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    both = [find(EXPERIMENT, test_zeroing=zeroed) for find in (published_curves, final) for zeroed in (False, True)]
    return published_beside(arm_table(arm_rows(study, ARMS), PAIRS), *both)


def figure(table: pd.DataFrame) -> Figure:
    """Draw both heads over training, the published curves below, and differences at the end beside the published."""
    ours, curves, ends = split(table)
    accuracy, lift, gained = (ours[ours["quantity"] == word] for word in ("accuracy", "lift", "difference"))
    gained = gained[(gained["head"] == "zeroed") & (gained["update"] == gained["update"].max())]
    trained, zeroed = (accuracy[accuracy["head"] == head] for head in ("as trained", "zeroed"))
    published = [curves[curves["head"] == head] for head in ("as trained", "zeroed")]
    drawn = composite([
        accuracy_panel("Head as trained", trained, hue="arm"),
        accuracy_panel("Head zeroed at test", zeroed, hue="arm"),
        gap_panel("Zeroed less as trained", lift, lifts(ends).rename("value").reset_index()),
        accuracy_panel("Published, as trained", published[0], hue="arm", published=True),
        accuracy_panel("Published, zeroed at test", published[1], hue="arm", published=True),
        gap_panel("Between arms, zeroed", gained, gaps(ends[ends["head"] == "zeroed"], PAIRS)),
    ])  # fmt: skip
    same_height([ax for k, ax in enumerate(drawn.axes) if k % 3 < 2])
    note = "After one inner step; c, f: at the end. Published (d, e, diamonds): miniImageNet, 5-way 1-shot; bands: sd."
    caption(drawn, note)
    return drawn


def lifts(ends: pd.DataFrame) -> "pd.Series[float]":
    """Return what zeroing at test adds to the end of each published curve, in points by arm."""
    heads = ends.pivot(index="arm", columns="head", values="value")  # noqa: PD010 (two rows of a curve must raise)
    return (heads["zeroed"] - heads["as trained"]).round(2)


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that the untreated arms gain, that the treated arm does not, and their order."""
    ours, _, ends = split(table)
    theirs, as_trained = lifts(ends), ends[ends["head"] == "as trained"].set_index("arm")["value"]
    facts, results = {"unit": "points", "source": ends["source"].iloc[0]}, []
    for arm in ("random init", "zero-init"):
        row = only(ours, quantity="lift", arm=arm)
        text = f"zeroing at test raises the one-step accuracy of {arm}"
        results.append(claim("K4", text, row, side="above", bound=0.0, published=theirs[arm], **facts))
    row = only(ours, quantity="lift", arm="zeroing")
    text = "zeroing at test changes nothing for models trained with zeroing"
    results.append(claim("K4", text, row, side="below", bound=0.5, published=theirs["zeroing"], **facts))
    for a, b in PAIRS:
        row = only(ours, quantity="difference", arm=f"{a} - {b}", head="as trained")
        text = f"one-step accuracy, head as trained: {a} - {b} is positive"
        results.append(
            claim("K4", text, row, side="above", bound=0.0, published=round(as_trained[a] - as_trained[b], 2), **facts)
        )
    return results


ANALYSIS = Analysis(
    paper="Kao et al. 2022, zeroing at the testing stage",
    title="Zeroing the head at test",
    uncertainty="Whiskers and bands are 95 % intervals over seeds and tasks, those of published curves sd over seeds.",
    order=7,
    recipes=tuple(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    quick_seeds=6,
)
