"""Triton's interpreter in place of a GPU: kernels run on the CPU, slowly, and can be counted."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils._python_dispatch import _disable_current_modes


def index_by_item() -> None:
    """Let loops end at a number that a kernel is told: the interpreter makes it of an array as numpy no longer does."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def with_index(tensor: object, scope: object) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))  # type: ignore[attr-defined]

    interpreter._patch_lang_tensor = with_index


@contextmanager
def interpreted() -> Iterator[Counter[str]]:
    """Inside, the kernels of GPUs run on the CPU; how often each was launched, by name.

    ``TRITON_INTERPRET=1`` must stand in the environment before Triton is imported.
    """
    from triton.runtime.interpreter import InterpretedFunction

    before, found, launch = os.environ.get("MAMLPROBE_KERNELS"), Counter[str](), InterpretedFunction.run

    def run(self: InterpretedFunction, *args: object, **words: object) -> object:
        found[self.fn.__name__] += 1
        with _disable_current_modes():  # what the interpreter does is none of the operations
            return launch(self, *args, **words)

    os.environ["MAMLPROBE_KERNELS"], InterpretedFunction.run = "gpu", run
    try:
        yield found
    finally:
        InterpretedFunction.run = launch
        if before is None:
            del os.environ["MAMLPROBE_KERNELS"]
        else:
            os.environ["MAMLPROBE_KERNELS"] = before
