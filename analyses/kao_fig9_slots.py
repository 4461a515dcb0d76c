"""Labels tied to classes in training: the head memorises them, unless it is zeroed.

Kao et al. 2022, fixed channels (K9): the training classes lie in N bins, and label n is always of a class of bin n, so
that tasks can be told without the support set. Test tasks are drawn as usual. First-order MAML, three treatments of the
head; accuracy after the last inner step over training, head at test as trained and zeroed. Published, drawn below from
the authors' files: miniImageNet, 5-way, 1 and 5 shots, the head zeroed. Cost: thirty-six first-order models
(twelve seeds), as many that other figures share, and eight minutes.
"""

from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import draw_published, parted, split

ORDER = 54
TITLE = "Memorisation: labels tied to classes"
PAPER = "Kao et al. 2022, fixed channels"
STARTS = {"fomaml": "random init", "fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
ARMS = {f"{name}-bins": f"{start}, tied" for name, start in STARTS.items()}
ARMS |= {name: f"{start}, drawn" for name, start in STARTS.items()}
MODELS = tuple(ARMS)
CORE = False
QUICK_SEEDS = 12
PAIRS = [(f"{start}, tied", f"{start}, drawn") for start in STARTS.values()]
PAIRS += [("zeroing, tied", "random init, tied")]
EXPERIMENTS = {"tied": "fixed_channel", "drawn": "initialization_and_zeroing"}
SLACK = 3.0
"""Points that tied labels may cost with zeroing."""


def table(stage):
    """Return accuracy (%) by arm, head at test and update, ours and published, and differences at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    steps = stage.experiment("fomaml").method.inner.test_steps
    theirs = [published_curves("fixed_channel", shot=shot).assign(labels="tied") for shot in (1, 5)]
    theirs += [final(name, k=10).assign(labels=word) for word, name in EXPERIMENTS.items()]
    named = [each.assign(arm=each["arm"] + ", " + each["labels"]) for each in theirs]
    return published_beside(arm_table(arm_rows(stage, ARMS, steps=steps), PAIRS), *named)


def figure(table) -> Figure:
    """Draw tied labels over updates with both heads, and the end against drawn labels; below the published curves."""
    ours, curves, ends = split(table)
    both = [rows[rows["arm"].isin(ARMS.values())] for rows in (ours[ours["quantity"] == "accuracy"], curves, ends)]
    shown, curves, marks = (parted(rows, "start", "labels") for rows in both)
    tied = shown[shown["labels"] == "tied"]
    last = shown[(shown["update"] == shown["last"]) & (shown["head"] == "zeroed")]

    def over(head):
        part = tied[tied["head"] == head]
        return lambda ax: (draw_curves(ax, part, x="update", hue="start", chance=20), ax.set(xlabel="updates"))

    def end(ax):
        draw_grouped(ax, last, group="start", hue="labels", reference=marks)

    def published(shot):
        return lambda ax: draw_published(ax, curves[curves["shot"] == shot], hue="start")

    panels = [
        ("Tied, head as trained (%)", over("as trained")),
        ("Tied, head zeroed at test (%)", over("zeroed")),
        ("The end, zeroed (%)", end),
        ("Published, zeroed, 1 shot (%)", published(1)),
        ("Published, zeroed, 5 shots (%)", published(5)),
    ]
    drawn = composite(panels)
    caption(
        drawn, "After the last inner step, on usual tasks. Published: miniImageNet, 5-way; diamonds: 1 shot; bands: sd."
    )
    return drawn


def claims(table):
    """Check that tied labels cost the untreated arms accuracy, and the zeroed one little."""
    from mamlprobe.reproduce.analysis import claim, only

    ours, _, ends = split(table)
    gaps = ours[(ours["quantity"] == "difference") & (ours["head"] == "zeroed")]
    facts, end = {"unit": "points", "source": "; ".join(ends["source"].unique())}, ends.set_index("arm")["value"]
    theirs, results = {f"{a} - {b}": round(end[a] - end[b], 2) for a, b in PAIRS}, []
    for start in ("random init", "zero-init"):
        row = only(gaps, arm=f"{start}, tied - {start}, drawn")
        text = f"tied labels cost accuracy: {start}"
        results.append(claim("K9", text, row, side="below", bound=0.0, published=theirs[row["arm"]], **facts))
    row = only(gaps, arm="zeroing, tied - zeroing, drawn")
    text = f"with zeroing tied labels cost at most {SLACK:g} points"
    results.append(claim("K9", text, row, side="above", bound=-SLACK, published=theirs[row["arm"]], **facts))
    row = only(gaps, arm="zeroing, tied - random init, tied")
    text = "with tied labels zeroing is above random init"
    return [*results, claim("K9", text, row, side="above", bound=0.0, published=theirs[row["arm"]], **facts)]
