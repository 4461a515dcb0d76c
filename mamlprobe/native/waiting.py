"""How threads wait for one another, which only commands set."""

import os
import sys

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables of the environment by which somebody has chosen already."""


def wait_asleep() -> None:
    """Let torch's threads sleep while they wait for one another, unless the environment says otherwise.

    By default they wait by counting, which keeps the cores of a busy machine from whoever should go on: beside two
    other programs on two cores an update took up to twenty times as long. It has an effect only before torch is
    imported, so the command line does it first of all; in a program of your own set ``OMP_WAIT_POLICY=PASSIVE`` in the
    environment.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in VARIABLES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
