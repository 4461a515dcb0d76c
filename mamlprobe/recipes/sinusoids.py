"""Trainings on sine curves, in the sizes of `mamlprobe.recipes`.

Finn et al. 2017, section 5.1: a net of two layers of 40, 10 points a task, 25 tasks an update, one inner step at rate
0.01 on the mean squared error, Adam at 0.001, 70 000 updates. Our loss is half of that error, so that the same inner
step has rate 0.02. The initial weights are larger than the published code's (variance 2 / fan-in).
"""

from dataclasses import replace

from mamlprobe.methods.method import METHODS, Method
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Data, Experiment, Recipe

INNER_LR = 0.02
"""0.01 on the mean squared error."""

TUNED_LR = 0.005
"""Rate of the joint baseline at test: of six from 0.0005 to 0.02 the best after one step, and with 0.01 after ten."""

UPDATES = 4_000
"""Updates at quick, at three times the published rate of Adam; a rate that falls to 0 learned half as much."""

FINN, NICHOL = "Finn et al. 2017, figure 2", "Nichol et al. 2018, figure 1"


def _method(name: str, *, steps: int, test_steps: int = 10, lr: float = INNER_LR) -> Method:
    """Return the method with a squared error and these inner steps."""
    known = METHODS[name]
    return replace(known, loss="mse", inner=replace(known.inner, steps=steps, test_steps=test_steps, lr=lr, batch=None))


def _recipe(about: str, source: str, method: Method, *, data: str = "sinusoids", updates: int = UPDATES) -> Recipe:
    """Return the recipe in all sizes; `updates` are those of quick and long."""
    paper = Experiment(
        data=Data(dataset=data),
        net=NetSpec(kind="mlp", hidden=(40, 40)),
        method=method,
        way=1,
        shot=10,
        query=10,
        tasks=25,
        updates=70_000,
        validate_every=1_000,
        validation_tasks=200,
        checkpoint_every=10_000,
    )
    outer = method.outer
    if outer.optimizer == "adam":
        outer = replace(outer, lr=3 * outer.lr)
    quick = replace(paper, method=replace(method, outer=outer), updates=updates)
    quick = replace(quick, validate_every=500, checkpoint_every=2_000)
    smoke = replace(quick, tasks=2, updates=4, validate_every=2, validation_tasks=4, checkpoint_every=2)
    return Recipe(sizes={"smoke": smoke, "quick": quick, "long": quick, "paper": paper}, source=source, about=about)


def _reptile() -> Recipe:
    """Take as many inner steps as published; the rates are ours."""
    method = _method("reptile", steps=32, test_steps=32, lr=0.01)
    return _recipe("Reptile on curves of all phases", NICHOL, method, data="sinusoids-2pi", updates=700)


_MAML, _JOINT = _method("maml", steps=1), _method("multitask", steps=0, lr=TUNED_LR)

SINUSOID: dict[str, Recipe] = {
    "sinusoid-maml": _recipe("MAML on sine curves", FINN, _MAML),
    "sinusoid-fomaml": _recipe("MAML on sine curves in first order", FINN, _method("fomaml", steps=1)),
    "sinusoid-anil": _recipe("sine curves, the head alone adapts", "Raghu et al. 2020", _method("anil", steps=1)),
    "sinusoid-meta-sgd": _recipe(
        "one step with a learned rate a weight", "Li et al. 2017", _method("meta_sgd", steps=1, test_steps=1)
    ),
    "sinusoid-joint": _recipe("all sine curves at once, adapted at test alone", FINN, _JOINT),
    "sinusoid-reptile": _reptile(),
    "sinusoid-maml-2pi": _recipe("MAML on curves of all phases", NICHOL, _MAML, data="sinusoids-2pi"),
    "sinusoid-joint-2pi": _recipe("all curves of all phases at once", NICHOL, _JOINT, data="sinusoids-2pi"),
}
"""Recipes by name."""
