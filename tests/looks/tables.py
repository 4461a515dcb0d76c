"""Made tables for the package's figures: of a net of 4 layers, and of one of 18 with long names."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

NETS = {
    "4 layers": ["conv1", "conv2", "conv3", "head"],
    "18 layers": [*(f"encoder.stage{1 + k // 4}.block{k % 4}.attention.output" for k in range(17)), "classifier"],
}
"""Names of layers."""
TASKS = range(6)
CELLS = [f"{set_}{k}" for set_ in "sq" for k in range(3)]
"""Support and query items of a map."""
RUNS = {"4 layers": ["maml-s0", "anil-s0"], "18 layers": [f"vit-small-5way-1shot-rate-{k}-seed-{k}" for k in range(9)]}


def made(net: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Tables as the probes return them, by name; the first are drawn by ``draw``, "survey" by ``survey_figure``."""
    layers, rng = NETS[net], np.random.default_rng(0)

    def rows(**columns: list) -> pd.DataFrame:
        """A row for each combination, with a value in 0..1."""
        grid = pd.MultiIndex.from_product(columns.values(), names=columns).to_frame(index=False)
        return grid.assign(value=rng.uniform(0.2, 0.9, len(grid)))

    task, depth = list(TASKS), {name: k / len(layers) for k, name in enumerate(layers)}
    alike = rows(task=task, layer=layers, step=[1, 5], measure=["cca_mean", "cka_debiased"])
    yield "layers", alike.assign(value=1 - 0.5 * alike["layer"].map(depth) - 0.05 * alike["value"], floor=0.1)
    pair = rows(task=task, layer=layers, moment=["before", "after"], measure=["cca_mean", "cka_debiased"])
    yield "pair", pair.assign(floor=0.1)
    moments = ["before", "after"]
    grid = rows(task=task, moment_a=moments, moment_b=moments, layer_a=layers, layer_b=layers)
    yield "grid", grid.assign(value=grid["value"] - 0.1)
    signs = rows(task=task, row=CELLS, column=CELLS, quantity=["map"])
    yield "cosine maps", signs.assign(value=signs["value"] - 0.6)
    words = ["interference", "noise", "contrastive", "noise, same class", "noise, different classes"]
    terms = rows(task=task, layer=layers, term=words, quantity=["share", "cosine", "norm"])
    yield "terms", terms.assign(value=terms["value"] - 0.3 * (terms["term"] == "interference"))
    yield "distance", rows(task=task, layer=layers, step=list(range(6)), quantity=["distance", "relative"])
    point = rows(task=task[:3], moment=moments, set=["support", "query", "prototype"], label=list(range(5)))
    point = point.assign(row=point["label"], x=rng.normal(size=len(point)), y=rng.normal(size=len(point)))
    yield "points", point.assign(quantity="point", explained_x=0.4, explained_y=0.2)
    frozen = ["freeze:none", *(f"freeze:1-{k}" for k in range(1, len(layers)))]
    yield "variants", rows(task=task, variant=["keep", "nil", *frozen], step=[5], quantity=["accuracy"]).assign(way=5)
    yield "classifiers", rows(task=task, variant=["keep", "nil"], classifier=["cosine", "dot product", "euclidean"],
                              quantity=["accuracy", "agreement", "correlation"])  # fmt: skip
    yield "shares", rows(task=task, part=["interference", "noise", "contrastive"], quantity=["share"])
    yield "geometry", rows(task=task, moment=moments, quantity=["within", "between", "ratio"])
    log = rows(update=list(range(0, 2000, 100)), split=["train", "val"], quantity=["loss", "accuracy"])
    yield "log", log
    head = ["head norm", "initial logits", "alignment, past", "alignment, own"]
    yield "head", rows(task=task, order=[1], loss=["cross_entropy"], steps=[1], quantity=head)
    checks = rows(check=["gradient", "inner loop"], what=layers).assign(bound=1e-6, verdict="passes")
    yield "certificate", checks.assign(value=1e-9 * checks["value"])
    yield "manifest", rows(task=task, set=["support", "query"], row=[0, 1, 2], label=[*range(5)])
    yield "pool", pd.DataFrame({"split": ["train", "val", "test"], "classes": 64, "items": 20, "images": 1280})
    yield "ranges", pd.DataFrame({"quantity": ["amplitude", "phase"], "low": [0.1, 0.0], "high": [5.0, 3.1]})
    survey = pd.concat([rows(run=RUNS[net], quantity=["accuracy", "NIL", "body frozen", "head zeroed"], layer=[""]),
                        rows(run=RUNS[net], quantity=["similarity"], layer=layers)])  # fmt: skip
    yield "survey", survey.assign(low=survey["value"] - 0.1, high=survey["value"] + 0.1, episodes="e")
