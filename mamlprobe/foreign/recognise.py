"""Which family a checkpoint is of: each is asked in turn, the most specific first."""

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.families.basic_blocks import basic_blocks
from mamlprobe.foreign.families.guess import guess
from mamlprobe.foreign.families.mamlpp import mamlpp
from mamlprobe.foreign.families.numbered import numbered
from mamlprobe.foreign.families.plain_families import FAMILIES as PLAIN
from mamlprobe.foreign.families.relation import relation
from mamlprobe.foreign.families.resnet12 import resnet12
from mamlprobe.foreign.families.tensorflow import finn, keras, reptile
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import Asked, Recognise, Recognised

FAMILIES: dict[str, Recognise] = {
    "MAML++": mamlpp,
    "Kao or dragen1860": numbered,
    "ResNet-12": resnet12,
    "ResNet of basic blocks (easyfsl)": basic_blocks,
    "Learning to Compare, relation network": relation,
    "Finn et al., TensorFlow 1": finn,
    "Reptile, TensorFlow 1": reptile,
    "Keras prototypical networks (schatty)": keras,
    **{family.name: family.recognise for family in PLAIN},
    "unknown": guess,
}
"""Family -> what recognises its files."""


def recognise(file: str, state: State, asked: Asked) -> Recognised:
    """Return what the first family that knows the names makes of them; of a stated family, what that one makes.

    Raises:
        UserError: no family knows them; the message says what was seen.
    """
    for name, look in FAMILIES.items():
        if asked.family in (None, name):
            recognised = look(state, asked)
            if recognised is not None:
                return recognised
    got = f"{len(state.tensors)} tensors: {_shown(state)}"
    must = f"{file} must hold a net of {asked.family or 'a family that is known'}"
    advice = "state the layers with --blocks, or take `import state_dict` with the module's class"
    raise UserError("import", must, got, advice)


def _shown(state: State) -> str:
    names = [f"{name} {list(value.shape)}" for name, value in state.tensors.items() if value.ndim > 1]
    more = f", and {len(names) - 4} more matrices" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
