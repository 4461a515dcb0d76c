"""The command `doctor` as a dataclass, one field per option; `commands.machine_facts` finds what it prints."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Tells what the fast routes stand on: compiler, kernels or why there are none, processor, allocator, GPU."""

    compile: bool = False
    """Compile the kernels first, also where they are there or where that failed less than a day ago."""

    def run(self) -> None:
        """Print one line per fact."""
        from mamlprobe.commands.machine_facts import facts  # imports torch, which no help waits for
        from mamlprobe.native.load import compile_kernels

        if self.compile:
            compile_kernels(force=True)
        for name, value in facts():
            print(f"{name}: {value}")
