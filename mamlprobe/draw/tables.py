"""A figure from a table alone: what it shows is chosen by the table's columns."""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, one_line
from mamlprobe.draw import others, probes
from mamlprobe.draw.table_text import is_numeric, need

FORMS: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "measure layer moment value floor": probes.pair_figure,
    "measure layer value floor": probes.layer_figure,
    "moment_a moment_b layer_a layer_b value": probes.grid_figure,
    "layer term quantity value": probes.layer_term_figure,
    "layer step quantity value": others.distance_figure,
    "row column value": probes.cosine_figure,
    "task moment set label row x y": probes.embed_figure,
    "variant classifier quantity value": probes.classifier_figure,
    "variant step value": probes.accuracy_figure,
    "quantity part value": probes.share_figure,
    "task moment quantity value": others.geometry_figure,
    "task order loss steps quantity value": probes.carried_figure,
    "task quantity value": others.quantity_figure,
    "update split quantity value": others.log_figure,
    "check what value bound verdict": others.certificate_figure,
    "task set row": others.tasks_figure,
    "split classes items images": others.pool_figure,
    "quantity low high": others.range_figure,
}
"""Figures by the columns of their table; the first form whose columns are all present is used.

Examples:
    >>> import pandas as pd
    >>> import mamlprobe as mp
    >>> quantities = ["norm", "norm", "angle", "angle"]
    >>> table = pd.DataFrame({"task": [0, 1] * 2, "quantity": quantities, "value": range(4)})
    >>> figure = mp.draw(table)
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['norm', 'angle']
"""

_WORDS = ("layer", "layer_a", "layer_b", "variant", "term", "part", "measure", "moment", "quantity", "split", "set")
"""Columns of names, which a CSV file may hold as numbers."""


@door()
def draw(table: pd.DataFrame) -> Figure:
    """Draw any table that this package returns or writes, by its columns.

    Rows of several tasks are shown by their mean and its 95 % interval. What may be drawn: the tables of
    `evaluate`, `similarity`, `pair_similarity`, `cka_grid`, `pair_grid`, `weight_distance`, `contrast_table`,
    `cosine_maps`, `cosine_classes`, `class_geometry`, `embed`, `certify`, `manifest_table`, a run's log, the
    summary of a pool, and the CSV files of the command line, read by pandas.

    Raises:
        UserError: no table, or none with such columns; no row; rows of several runs or updates; no number in `value`.

    Examples:
        >>> import mamlprobe as mp
        >>> from torch import nn
        >>> layers = nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
        >>> net, method = mp.wrap(nn.Sequential(*layers), head="3"), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.weight_distance(net, theta, tasks, method, steps=[1, 5, 10])
        >>> mp.draw(table).savefig("distance.pdf")
        >>> mp.draw(table[["task", "value"]])
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: draw: the table must have the columns task, quantity,
        value, or task, moment, quantity, value, or row, column, value, got columns task, value;
        give a table that the package returns
    """
    columns = {str(name) for name in table.columns}
    form = next((form for form in FORMS if set(form.split()) <= columns), None)
    if form is None:
        raise _unknown([str(name) for name in table.columns])
    names = form.split()
    checked = names == ["check", "what", "value", "bound", "verdict"]
    need("draw", table, names, numbers=["value"] if "value" in names and not checked else [])
    for name in ("run", "update"):
        if name in columns and name not in names and (many := len(set(table[name]))) > 1:
            got = f"{many} of column '{name}'"
            raise UserError("draw", f"the table must be of one {name}", got, f"draw the rows of one {name} at a time")
    if "value" in names and not checked and table["value"].isna().all():
        advice = "look at its column 'note'" if "note" in columns else "look at the run that made it"
        raise UserError("draw", "the table must have a value", "NaN in every row", advice)
    as_text = [name for name in _WORDS if name in columns and (is_numeric(table[name]) or name in names)]
    table = table.assign(**{name: table[name].astype(str) for name in as_text})
    hidden = [name for name in table.columns if any(map(_hidden, table[name]))]
    return FORMS[form](table.assign(**{name: [one_line(str(each)) for each in table[name]] for name in hidden}))


def _hidden(value: object) -> bool:
    """Tell whether the value is a text with characters that no font draws, such as those that change its direction."""
    return isinstance(value, str) and not value.isprintable()


def _unknown(columns: list[str]) -> UserError:
    """Return the error for a table of these columns; it lists the columns of the nearest forms."""
    near = sorted(FORMS, key=lambda form: -len(set(form.split()) & set(columns)) / len(form.split()))[:3]
    forms = ", or ".join(", ".join(form.split()) for form in near)
    got = f"columns {', '.join(columns) or 'none'}"
    return UserError("draw", f"the table must have the columns {forms}", got, "give a table that the package returns")
