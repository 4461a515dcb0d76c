"""The window of a convolution, and how it moves."""

from typing import NamedTuple


class Window(NamedTuple):
    """Square window of a convolution: its side, the step it moves by, and the zeros put around an image."""

    side: int = 3
    step: int = 1
    pad: int = 1

    def places(self, length: int) -> int:
        """Count the places along an image of this length; below 1 if the window does not fit."""
        return (length + 2 * self.pad - self.side) // self.step + 1
