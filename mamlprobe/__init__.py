"""What do meta-learners learn? A training core for MAML and its relatives, with the probes of the papers.

Names are imported when they are first used, so that drawing a figure from its table needs no torch.
"""

import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mamlprobe.base.errors import UserError
    from mamlprobe.data.episodes import Episodes, manifest, manifest_table, sample
    from mamlprobe.data.load import load_pool
    from mamlprobe.data.manifests import read_manifest, write_manifest
    from mamlprobe.data.pool import Pool
    from mamlprobe.draw.tables import draw
    from mamlprobe.learn.axes import Inner, Norm, Outer
    from mamlprobe.learn.evaluate import evaluate
    from mamlprobe.learn.joint import meta_gradients
    from mamlprobe.learn.memory import memory_needed
    from mamlprobe.learn.methods import MAMLPP, METHODS, Method
    from mamlprobe.learn.outer import Readings, meta_gradient
    from mamlprobe.learn.tasks import adapt_tasks
    from mamlprobe.learn.theta import Theta, init
    from mamlprobe.measure import cca, cka, pwcca, svcca
    from mamlprobe.native.load import compile_kernels
    from mamlprobe.nets.conv4 import conv4
    from mamlprobe.nets.mlp import mlp
    from mamlprobe.nets.spec import NetSpec
    from mamlprobe.nets.wrap import wrap
    from mamlprobe.probe.certify import certify
    from mamlprobe.probe.contrast import Decomposition, decompose
    from mamlprobe.probe.cosine import cosine_classes, cosine_maps
    from mamlprobe.probe.distance import weight_distance
    from mamlprobe.probe.embedding import class_geometry, embed
    from mamlprobe.probe.grid import cka_grid, pair_grid
    from mamlprobe.probe.layers import similarity
    from mamlprobe.probe.pairs import Model, pair_similarity
    from mamlprobe.probe.record import record
    from mamlprobe.probe.shares import contrast_table
    from mamlprobe.probe.variants import variants
    from mamlprobe.recipes import RECIPES, recipe
    from mamlprobe.runs.experiment import Data, Experiment
    from mamlprobe.runs.folder import Run, load_run
    from mamlprobe.training.loop import train, train_together

__version__ = "0.1.0"

_HOMES = {
    "base.errors": "UserError",
    "data.episodes": "Episodes manifest manifest_table sample",
    "data.load": "load_pool",
    "data.manifests": "read_manifest write_manifest",
    "data.pool": "Pool",
    "draw": "draw",
    "learn.axes": "Inner Norm Outer",
    "learn.evaluate": "evaluate",
    "learn.joint": "meta_gradients",
    "learn.memory": "memory_needed",
    "learn.methods": "MAMLPP METHODS Method",
    "learn.outer": "Readings meta_gradient",
    "learn.tasks": "adapt_tasks",
    "learn.theta": "Theta init",
    "measure": "cca cka pwcca svcca",
    "nets.spec": "NetSpec",
    "native.load": "compile_kernels",
    "nets.conv4": "conv4",
    "nets.mlp": "mlp",
    "nets.wrap": "wrap",
    "probe.certify": "certify",
    "probe.contrast": "Decomposition decompose",
    "probe.cosine": "cosine_classes cosine_maps",
    "probe.distance": "weight_distance",
    "probe.embedding": "class_geometry embed",
    "probe.grid": "cka_grid pair_grid",
    "probe.layers": "similarity",
    "probe.pairs": "Model pair_similarity",
    "probe.record": "record",
    "probe.shares": "contrast_table",
    "probe.variants": "variants",
    "recipes": "RECIPES recipe",
    "runs.experiment": "Data Experiment",
    "runs.folder": "Run load_run",
    "training.loop": "train train_together",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
_RENAMED = {"prepare": "compile_kernels"}
"""Old name -> new one; the old names go with the next version."""

__all__ = [
    "MAMLPP",
    "METHODS",
    "RECIPES",
    "Data",
    "Decomposition",
    "Episodes",
    "Experiment",
    "Inner",
    "Method",
    "Model",
    "NetSpec",
    "Norm",
    "Outer",
    "Pool",
    "Readings",
    "Run",
    "Theta",
    "UserError",
    "adapt_tasks",
    "cca",
    "certify",
    "cka",
    "cka_grid",
    "class_geometry",
    "compile_kernels",
    "contrast_table",
    "conv4",
    "cosine_classes",
    "cosine_maps",
    "decompose",
    "draw",
    "embed",
    "evaluate",
    "init",
    "load_pool",
    "load_run",
    "manifest",
    "manifest_table",
    "memory_needed",
    "meta_gradient",
    "meta_gradients",
    "mlp",
    "pair_grid",
    "pair_similarity",
    "pwcca",
    "read_manifest",
    "recipe",
    "record",
    "sample",
    "similarity",
    "svcca",
    "train",
    "train_together",
    "variants",
    "weight_distance",
    "wrap",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(f"mamlprobe.{name} is now mamlprobe.{new}", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[__name__], new)
    if name not in _HOME:
        raise AttributeError(f"module 'mamlprobe' has no attribute {name!r}")
    value = getattr(import_module(f"mamlprobe.{_HOME[name]}"), name)
    globals()[name] = value  # a submodule of the same name never shadows it again
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
