"""What the tables of a report hold: the meaning of every column, and what pairs of table and column there are."""

ORIGIN = {
    "learner": "a learner: a run, or several that differ only in their seed",
    "method": "name of the method",
    "dataset": "data set of the tasks",
    "split": "split of the classes that the tasks are drawn from",
    "way": "classes of a task, N",
    "shot": "support items a class, K",
    "update": "outer updates behind the weights",
}
"""The first columns of every table of numbers."""

NUMBERS = {
    "value": "the mean",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "interval": "what the interval is over: tasks where there is one seed, else seeds (Student's t)",
    "seeds": "runs behind the mean",
    "tasks": "tasks behind the mean of a run: the fewest of its runs; those without a value are not counted",
    "estimator": "how the mean is made; over seeds it is the mean of the means of the runs",
    "norm": "what batch norms go by: batch, support or running",
    "episodes": "digest of the tasks: rows with the same saw the same ones",
    "inner_loop": "how the inner loop differs from the run's, where it was restated",
    "trained_classes": "classes of the split that the weights were trained on",
}
"""The last columns of every table of numbers."""

ALWAYS = ("runs", "origin", "files", "left_out")
"""Tables that every report has."""

_TEXTS: dict[str, dict[str, str]] = {
    "runs": {
        "learner": ORIGIN["learner"],
        "run": "name of the run's folder, or of a model",
        "seed": "seed of its training",
        "update": ORIGIN["update"],
        "recipe": "recipe that it was trained by, `foreign` where the weights come from elsewhere",
        "method": ORIGIN["method"],
        "imported": "whether the weights come from elsewhere",
        "folder": "folder of the run",
    },
    "origin": {
        "learner": ORIGIN["learner"],
        "run": "name of the run's folder",
        "fact": "versions, machine, data and so on, as `env.json` names them",
        "value": "the fact",
    },
    "files": {
        "learner": ORIGIN["learner"],
        "run": "name of the run's folder",
        "file": "path of a file that numbers of the report come from",
        "tables": "names of the tables that it is behind",
        "sha256": "first 16 hex digits of the SHA-256 of its bytes",
    },
    "left_out": {
        "learner": ORIGIN["learner"],
        "question": "name of the table that has no row of the learner",
        "reason": "why the question does not apply",
    },
    "settings": {
        "learner": ORIGIN["learner"],
        "setting": "dotted name of a field of `Experiment`",
        "value": "its value as text; of several seeds all",
        "differs": "whether another learner of the report has another value",
    },
    "understood": {
        "learner": ORIGIN["learner"],
        "run": "name of the imported run",
        "kind": "`seen` in the file, `assumed` because no file says it, `stated` by an option, `left out`",
        "fact": "the fact, with the option that states it",
    },
}

_KEYS: dict[str, dict[str, str]] = {
    "log": {
        "split": "`train`: mean since the row before; `val`: the validation tasks",
        "quantity": "`accuracy` or `loss`, after the inner loop",
    },
    "accuracy": {
        "variant": (
            "`keep` as trained; `zero_at_test`: head zeroed before adaptation; `nil`: no inner loop and no head; "
            "`freeze:1,2`: these layers frozen in the inner loop"
        ),
        "step": "inner steps taken",
        "quantity": "`accuracy` of the query items, a fraction; `loss` where targets are numbers",
    },
    "differences": {
        "variant": "what is compared, as in `accuracy`",
        "against": "what is subtracted, on the same tasks: `keep`",
        "step": "inner steps taken",
        "quantity": "`accuracy` or `loss`",
    },
    "similarity": {
        "measure": "`cca_mean`, `cca_top98`, `svcca` or `cka_debiased`, as `mp.similarity` explains them",
        "layer": "layer of the net",
        "step": "inner steps between before and after",
    },
    "distance": {
        "layer": "layer of the net",
        "step": "inner steps taken",
        "quantity": "`distance` from the start, `relative` to the start's norm, or `per parameter`",
    },
    "contrast": {
        "quantity": "`share` of the gradient's squared norm, `norm`, `coefficient` of pairs, `attracted` pairs",
        "part": "term of the gradient, or kind of pair",
    },
    "cosine": {"quantity": "sides and kind of the pairs: `query-support same` and so on"},
    "claims": {
        "id": "name of the claim, as in the table of results",
        "paper": "where it is from",
        "claim": "the statement",
        "published": "published number, as text; empty where there is none",
        "ours": "the number here, in `unit`",
        "low": NUMBERS["low"],
        "high": NUMBERS["high"],
        "unit": "unit of the number and of the bound",
        "side": "`above` or `below`: where the whole interval must lie",
        "bound": "the bound",
        "verdict": "`holds`, `fails` or `undecided`",
    },
}

_MORE: dict[str, dict[str, str]] = {
    "similarity": {
        "floor": "the same measure with the images of after in another order: what chance gives",
        "note": "why a value is missing or not to be trusted",
    },
}

_WITHOUT = {
    "log": ("shot", "episodes", "inner_loop", "trained_classes"),
    "claims": ("value",),
}
"""Columns that a table of numbers does not have."""


def schema() -> dict[str, dict[str, str]]:
    """Return the columns of every table of a report, in their order, with the meaning of each.

    The columns ``inner_loop`` and ``trained_classes`` are there only where they say something.
    """
    tables = dict(_TEXTS)
    for name, keys in _KEYS.items():
        columns = {**ORIGIN, **keys, **{key: text for key, text in NUMBERS.items() if key not in keys}}
        columns |= _MORE.get(name, {})
        tables[name] = {key: text for key, text in columns.items() if key not in _WITHOUT.get(name, ())}
    return tables


OPTIONAL = ("inner_loop", "trained_classes")

SCHEMA = schema()

QUESTIONS_ASKED = tuple(name for name in SCHEMA if name not in ALWAYS)
"""Tables that can be asked for, all of which are by default."""
