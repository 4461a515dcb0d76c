"""Two nets, a short method, and certificates of them."""

import pandas as pd

from mamlprobe.certificates.gradient import certify
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from tests.probe.cases import start

MLP = mlp(inputs=16, way=3, hidden=(5, 4), activation="relu", norm="batch")
CONV = conv4(image=(1, 8, 8), way=3, filters=3, blocks=2, order="conv-bn-relu", down="pool")
SMALL = Method(inner=Inner(steps=2, test_steps=2, lr=0.1))


def table_of(net, method, episodes, theta=None, **words) -> pd.DataFrame:
    return certify(net, theta or start(net, method), episodes, method, updates=100_000, **words)


def rows(table: pd.DataFrame, check: str) -> pd.DataFrame:
    return table[table["check"] == check]
