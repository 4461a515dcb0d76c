"""The floor stands on its own: no torch, no pyplot, no global figures."""

import os
import subprocess
import sys
from pathlib import Path

import mamlprobe.draw


def test_drawing_needs_neither_torch_nor_pyplot():
    root = Path(mamlprobe.draw.__file__).parent
    names = [f"mamlprobe.draw.{path.stem}" for path in sorted(root.glob("*.py")) if path.stem != "__init__"]
    assert len(names) >= 7
    code = (
        "import importlib, sys\n"
        f"for name in ['mamlprobe.draw', *{names}]: importlib.import_module(name)\n"
        "import pandas as pd\n"
        "from mamlprobe.draw.charts.curves import curves\n"
        "from mamlprobe.draw.files import encode\n"
        "encode(curves(pd.DataFrame({'x': [0, 1], 'value': [0.1, 0.2]}), x='x', hue=None))\n"
        "print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    env = os.environ | {"PYTHONPATH": str(root.parents[1])}
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
