"""Triton's interpreter in place of a GPU: kernels run on the CPU, slowly, and can be counted."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import _disable_current_modes


def mend() -> None:
    """Let loops end at a number that a kernel is told, and spare a third of the time.

    The interpreter makes that number of an array as numpy no longer does. It also patches the language anew in every
    call of a function from a kernel, where the first call of that function is enough.
    """
    from triton.runtime import interpreter

    patch, called = interpreter._patch_lang_tensor, set[Any]()

    def with_index(tensor: object, scope: object) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))  # type: ignore[attr-defined]

    def call(self: interpreter.InterpretedFunction, *args: object, **words: object) -> object:
        if self.fn not in called:
            interpreter._patch_lang(self.fn)
            called.add(self.fn)
        return self.rewrite()(*args, **words)

    interpreter._patch_lang_tensor, interpreter.InterpretedFunction.__call__ = with_index, call


@contextmanager
def interpreted(*, computed: bool = True) -> Iterator[Counter[str]]:
    """Inside, the kernels of GPUs run on the CPU; how often each was launched, by name.

    Launches that are not to be `computed` are counted alone: what they would write stays what it was.

    ``TRITON_INTERPRET=1`` must stand in the environment before Triton is imported.
    """
    from triton.runtime.interpreter import InterpretedFunction

    before, found, launch = os.environ.get("MAMLPROBE_KERNELS"), Counter[str](), InterpretedFunction.run

    def run(self: InterpretedFunction, *args: object, **words: object) -> object:
        found[self.fn.__name__] += 1
        if not computed:
            return None
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
