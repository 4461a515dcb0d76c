"""What do meta-learners learn? A training core for MAML and its relatives, with the probes of the papers.

Names are imported when they are first used, so that drawing a figure from its table needs no torch.
"""

import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mamlprobe.base.errors import UserError
    from mamlprobe.certificates.gradient import certify
    from mamlprobe.data.by_name import load_pool
    from mamlprobe.data.episodes import Episodes, manifest, manifest_table
    from mamlprobe.data.manifests import read_manifest, write_manifest
    from mamlprobe.data.pool import Pool
    from mamlprobe.data.reading.data_objects import pool_from
    from mamlprobe.data.sampling import sample
    from mamlprobe.data.sources import TaskSource, load_source
    from mamlprobe.draw.tables import draw
    from mamlprobe.foreign.export import export
    from mamlprobe.foreign.load_foreign import load_foreign
    from mamlprobe.learn.evaluate import evaluate
    from mamlprobe.learn.outer import Readings, meta_gradient
    from mamlprobe.learn.outer.many_runs import meta_gradients
    from mamlprobe.learn.outer.memory import memory_needed
    from mamlprobe.learn.task_batch import adapt_tasks
    from mamlprobe.learn.theta import Theta, init
    from mamlprobe.measure import cca, cka, pwcca, svcca
    from mamlprobe.methods.method import MAMLPP, METHODS, Method
    from mamlprobe.methods.settings import Inner, Norm, Outer
    from mamlprobe.native.load import compile_kernels
    from mamlprobe.nets.conv4 import conv4
    from mamlprobe.nets.mlp import mlp
    from mamlprobe.nets.spec import NetSpec
    from mamlprobe.nets.wrap import wrap
    from mamlprobe.probe.adaptation.interventions import variants
    from mamlprobe.probe.adaptation.weight_change import weight_distance
    from mamlprobe.probe.contrast.decomposition import Decomposition, decompose
    from mamlprobe.probe.contrast.shares import contrast_table
    from mamlprobe.probe.representation.activations import record
    from mamlprobe.probe.representation.cka_grid import cka_grid, pair_grid
    from mamlprobe.probe.representation.class_cosine import cosine_classes, cosine_maps
    from mamlprobe.probe.representation.embedding import class_geometry, embed
    from mamlprobe.probe.representation.layer_similarity import similarity
    from mamlprobe.probe.representation.model_similarity import Model, pair_similarity
    from mamlprobe.recipes import RECIPES, recipe
    from mamlprobe.reports.report import Report, report
    from mamlprobe.runs.experiment import Data, Experiment
    from mamlprobe.runs.folder import Run, load_run
    from mamlprobe.training.loop import train, train_together

__version__ = "0.2.0"

_HOMES = {
    "base.errors": "UserError",
    "data.episodes": "Episodes manifest manifest_table",
    "data.by_name": "load_pool",
    "data.manifests": "read_manifest write_manifest",
    "data.pool": "Pool",
    "data.reading.data_objects": "pool_from",
    "data.sampling": "sample",
    "data.sources": "TaskSource load_source",
    "draw": "draw",
    "methods.settings": "Inner Norm Outer",
    "foreign.export": "export",
    "foreign.load_foreign": "load_foreign",
    "learn.evaluate": "evaluate",
    "learn.outer.many_runs": "meta_gradients",
    "learn.outer.memory": "memory_needed",
    "methods.method": "MAMLPP METHODS Method",
    "learn.outer": "Readings meta_gradient",
    "learn.task_batch": "adapt_tasks",
    "learn.theta": "Theta init",
    "measure": "cca cka pwcca svcca",
    "nets.spec": "NetSpec",
    "native.load": "compile_kernels",
    "nets.conv4": "conv4",
    "nets.mlp": "mlp",
    "nets.wrap": "wrap",
    "certificates.gradient": "certify",
    "probe.contrast.decomposition": "Decomposition decompose",
    "probe.representation.class_cosine": "cosine_classes cosine_maps",
    "probe.adaptation.weight_change": "weight_distance",
    "probe.representation.embedding": "class_geometry embed",
    "probe.representation.cka_grid": "cka_grid pair_grid",
    "probe.representation.layer_similarity": "similarity",
    "probe.representation.model_similarity": "Model pair_similarity",
    "probe.representation.activations": "record",
    "probe.contrast.shares": "contrast_table",
    "probe.adaptation.interventions": "variants",
    "recipes": "RECIPES recipe",
    "reports.report": "Report report",
    "runs.experiment": "Data Experiment",
    "runs.folder": "Run load_run",
    "training.loop": "train train_together",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
_RENAMED = {"prepare": "compile_kernels"}
"""Old name -> new one; the old names warn, and go with 0.3.0."""

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
    "Report",
    "Run",
    "TaskSource",
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
    "export",
    "init",
    "load_foreign",
    "load_pool",
    "load_run",
    "load_source",
    "manifest",
    "manifest_table",
    "memory_needed",
    "meta_gradient",
    "meta_gradients",
    "mlp",
    "pair_grid",
    "pair_similarity",
    "pool_from",
    "pwcca",
    "read_manifest",
    "recipe",
    "record",
    "report",
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
