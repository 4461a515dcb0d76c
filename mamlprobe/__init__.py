"""What do meta-learners learn? A training core for MAML and its relatives, with the probes of the papers."""

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest, manifest_table, sample
from mamlprobe.data.load import load_pool
from mamlprobe.data.pool import Pool
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.methods import METHODS, Inner, Method, Norm, Outer
from mamlprobe.learn.outer import Readings, meta_gradient
from mamlprobe.learn.tasks import adapt_tasks
from mamlprobe.learn.theta import Theta, init
from mamlprobe.measure import cca, cka, pwcca, svcca
from mamlprobe.nets.build import NetSpec
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.contrast import Decomposition, decompose
from mamlprobe.probe.cosine import cosine_classes, cosine_maps
from mamlprobe.probe.layers import similarity
from mamlprobe.probe.record import record
from mamlprobe.probe.shares import contrast_table
from mamlprobe.probe.variants import variants
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.folder import Run, load_run
from mamlprobe.train.loop import train

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "Data",
    "Decomposition",
    "Episodes",
    "Experiment",
    "Inner",
    "Method",
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
    "cka",
    "contrast_table",
    "conv4",
    "cosine_classes",
    "cosine_maps",
    "decompose",
    "evaluate",
    "init",
    "load_pool",
    "load_run",
    "manifest",
    "manifest_table",
    "meta_gradient",
    "mlp",
    "pwcca",
    "record",
    "sample",
    "similarity",
    "svcca",
    "train",
    "variants",
    "wrap",
]
