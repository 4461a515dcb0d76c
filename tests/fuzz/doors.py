"""Public functions and settings with arguments that are right, for one of them to be wrong."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pandas as pd
import torch

import mamlprobe as mp
from tests.fuzz.box import Box, net_of_ones_own

Calls = dict[str, tuple[Callable[..., object], dict[str, Any]]]

NO_DOORS = {
    "Any",
    "import_module",
    "UserError",
    "Decomposition",
    "Readings",
    "Report",
    "Run",
    "TaskSource",
    "compile_kernels",
}
"""Names of the package that nobody calls with anything of hers."""


@cache
def right_calls(box: Box) -> Calls:
    """Return the public functions by name, each with arguments that it takes."""
    run = mp.load_run(box.run)
    pool = mp.load_pool(box.good / "images", size=10)
    numbers = {"way": 3, "shot": 1, "query": 2, "tasks": 2, "seed": 0}
    episodes = mp.sample(pool, split="test", **numbers)
    net, theta, method = run.net(), run.theta(), run.config.method
    four = {"net": net, "theta": theta, "episodes": episodes, "method": method}
    rows = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    model = mp.Model(net=net, theta=theta, method=method)
    short = replace(run.config, updates=1, validation_tasks=0)
    calls: Calls = {
        "evaluate": (mp.evaluate, {"net": net, "theta": theta, "episodes": episodes, "variants": {"plain": method}}),
        "record": (mp.record, {"net": net, "params": theta, "x": episodes.support_x}),
        "meta_gradients": (
            mp.meta_gradients,
            {"net": net, "thetas": [theta, theta], "episodes": [episodes, episodes], "method": method},
        ),
        "cka": (mp.cka, {"x": rows, "y": rows}),
        "cca": (mp.cca, {"x": rows, "y": rows}),
        "svcca": (mp.svcca, {"x": rows, "y": rows}),
        "pwcca": (mp.pwcca, {"x": rows, "y": rows}),
        "pair_similarity": (mp.pair_similarity, {"a": model, "b": model, "episodes": episodes}),
        "pair_grid": (mp.pair_grid, {"a": model, "b": model, "episodes": episodes}),
        "init": (mp.init, {"net": net, "seed": 0, "method": method}),
        "sample": (mp.sample, {"pool": pool, "split": "test", **numbers}),
        "load_pool": (mp.load_pool, {"name_or_path": box.good / "images", "size": 10, "ink": 1, "rotations": "none"}),
        "load_source": (mp.load_source, {"name_or_path": box.good / "images", "size": 10}),
        "load_foreign": (mp.load_foreign, {"path": box.good / "foreign.pt"}),
        "pool_from": (
            mp.pool_from,
            {"data": [torch.ones(1, 5, 5)] * 4, "labels": [0, 0, 1, 1], "name": "x", "size": 5},
        ),
        "report": (mp.report, {"runs": [box.run], "questions": "accuracy", "episodes": episodes, "store": False}),
        "load_run": (mp.load_run, {"path": box.run}),
        "recipe": (mp.recipe, {"name": "maml", "preset": "smoke"}),
        "conv4": (mp.conv4, {"image": (1, 10, 10), "way": 3, "filters": 4, "blocks": 2}),
        "mlp": (mp.mlp, {"inputs": 4, "way": 3, "hidden": (5,)}),
        "wrap": (mp.wrap, {"module": net_of_ones_own(), "head": "4", "inputs": torch.ones(3, 1, 2, 2)}),
        "draw": (mp.draw, {"table": pd.read_csv(box.good / "table.csv")}),
        "manifest": (mp.manifest, {"episodes": episodes}),
        "manifest_table": (mp.manifest_table, {"episodes": episodes}),
        "read_manifest": (mp.read_manifest, {"path": box.good / "tasks.json", "pool": pool}),
        "write_manifest": (mp.write_manifest, {"episodes": episodes, "path": "t.json", "pool": pool, "split": "test"}),
        "variants": (mp.variants, {"net": net, "method": method, "names": "keep,freeze:1"}),
        "export": (mp.export, {"run": box.run, "kind": "safetensors", "out": "net.safetensors", "update": 1}),
        "train": (mp.train, {"experiment": short, "out": "runs", "progress": False, "device": "cpu"}),
        "train_together": (mp.train_together, {"experiments": [short, replace(short, seed=1)], "progress": False}),
    }
    probes = ("meta_gradient", "adapt_tasks", "similarity", "weight_distance", "decompose", "cka_grid", "certify")
    probes += ("class_geometry", "contrast_table", "cosine_classes", "cosine_maps", "embed", "memory_needed")
    calls |= {name: (getattr(mp, name), four) for name in probes}
    values = (
        episodes,
        pool,
        theta,
        model,
        method,
        method.inner,
        method.norm,
        method.outer,
        short,
        short.data,
        short.net,
    )
    calls |= {type(each).__name__: (type(each), _parts(each)) for each in values}
    return calls


def _parts(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value) if each.init}
