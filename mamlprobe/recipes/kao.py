"""Trainings of Kao et al. 2022: MAML under their treatments of the head."""

from dataclasses import replace

from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Head
from mamlprobe.recipes.presets import at_paper, at_quick, few, lasting, sized
from mamlprobe.runs.experiment import Experiment, Labels, Recipe


def head_arm(
    about: str, head: Head, *, order: int = 1, steps: int | None = None, scale: float = 1.0, labels: Labels = "episode"
) -> Recipe:
    """Train MAML as Kao et al. 2022 did, batch norm behind ReLU, under this treatment of the head.

    `steps` is the number of inner steps in training, None as usual; the head starts at `scale` times its random start;
    `labels` may be tied to classes.
    """
    sizes: list[Experiment] = []
    for each in (at_quick(few("fomaml")), at_paper(METHODS["fomaml"])):
        inner = replace(each.method.inner, order=order)
        if steps is not None:
            inner = replace(inner, steps=steps, test_steps=max(steps, inner.test_steps))
        method = replace(each.method, name="fomaml" if order == 1 else "maml", inner=inner, head=head, head_scale=scale)
        sizes.append(replace(each, net=replace(each.net, order="conv-relu-bn"), method=method, labels=labels))
    return sized(about, "Kao et al. 2022", *sizes)


def many_shots(about: str, head: Head) -> Recipe:
    """Train an arm on 25 support items a class (at quick 15 of the 20 available), for a third of the usual updates."""
    sizes = head_arm(about, head).sizes
    quick = lasting(replace(sizes["quick"], shot=15, checkpoint_every=100), 300)
    paper = lasting(replace(sizes["paper"], shot=25, checkpoint_every=1_000), 10_000)
    return sized(about, "Kao et al. 2022", quick, paper)


ZEROED: Head = "zero_each_update"
ONCE: Head = "zero_once"

KAO: dict[str, Recipe] = {
    "fomaml": head_arm("MAML in first order, random head", "keep"),
    "fomaml-x0.7": head_arm("the same, head at 0.7 of its start", "keep", scale=0.7),
    "fomaml-x0.5": head_arm("the same, head at half its start", "keep", scale=0.5),
    "fomaml-zero-init": head_arm("the same, head zero at first", ONCE),
    "fomaml-zeroing": head_arm("the same, head zeroed before every update", ZEROED),
    "somaml": head_arm("MAML in second order, random head", "keep", order=2),
    "somaml-zero-init": head_arm("the same, head zero at first", ONCE, order=2),
    "somaml-zeroing": head_arm("the same, head zeroed before every update", ZEROED, order=2),
    "fomaml-1step": head_arm("one inner step, random head", "keep", steps=1),
    "fomaml-7steps": head_arm("seven inner steps, random head", "keep", steps=7),
    "fomaml-zeroing-1step": head_arm("one inner step, zeroing", ZEROED, steps=1),
    "fomaml-zeroing-7steps": head_arm("seven inner steps, zeroing", ZEROED, steps=7),
    "fomaml-bins": head_arm("labels tied to classes, random head", "keep", labels="bins"),
    "fomaml-zero-init-bins": head_arm("labels tied to classes, head zero at first", ONCE, labels="bins"),
    "fomaml-zeroing-bins": head_arm("labels tied to classes, zeroing", ZEROED, labels="bins"),
    "fomaml-shots": many_shots("many shots, random head", "keep"),
    "fomaml-zero-init-shots": many_shots("many shots, head zero at first", ONCE),
    "fomaml-zeroing-shots": many_shots("many shots, zeroing", ZEROED),
}
"""Recipes by name, in all sizes."""
