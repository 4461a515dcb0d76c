"""Floor 1: from tidy tables to figures, text and pages. Nothing here imports torch, or computes more than means.

`style` sets how things look, `charts` are the figures, `layout` adds panels, legends and captions, `table_text` and
`page` write text; `tables` chooses the figure of a table. The module is also the function ``mamlprobe.draw``.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class _Draw(ModuleType):
    """A module that can be called: the function and the folder of its parts share the name ``mamlprobe.draw``."""

    def __call__(self, table: "pd.DataFrame") -> "Figure":
        """Draw the table by its columns, as `mamlprobe.draw.tables.draw` does.

        Raises:
            UserError: as there.
        """
        from mamlprobe.draw.tables import draw

        return draw(table)


draw = sys.modules[__name__]
draw.__class__ = _Draw
