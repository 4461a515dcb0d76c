"""The command `cache` as a dataclass, one field per option."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Shows what is kept to save time: data sets that were read or drawn, and compiled kernels."""

    clear: bool = False
    """Remove them; they are made anew when they are needed. Downloads and your own files stay."""

    def run(self) -> None:
        """Print the folder and what is in it, and remove what can be made again."""
        from mamlprobe.base.cache import cache_folder
        from mamlprobe.commands.subjects.cache_contents import clear, contents  # imports torch, which no help waits for
        from mamlprobe.commands.subjects.summaries import show

        print(f"cache: {cache_folder()}")
        show(contents())
        if self.clear:
            print(f"removed: {clear()} files")
