"""How many operations a meta-iteration takes, views left out: what a GPU launches, counted without one."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

WITHOUT_WORK = {"_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "diagonal", "lift_fresh"}
WITHOUT_WORK |= {"expand", "movedim", "permute", "select", "slice", "split", "split_with_sizes", "squeeze", "t"}
WITHOUT_WORK |= {"transpose", "unbind", "unfold", "unsqueeze", "view", "empty", "empty_like", "empty_strided"}
WITHOUT_WORK |= {"new_empty", "new_empty_strided"}
"""Operations that look at what is there, or only make room."""


class Counted(TorchDispatchMode):
    """Counts operations by name while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in WITHOUT_WORK:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def operations(call: Callable[[], object]) -> Counter[str]:
    """Operations of one call by name."""
    with Counted() as counted:
        call()
    return counted.found
