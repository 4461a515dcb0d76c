"""Inputs in this process: ``python -m tests.fuzz.worker '{"BORDER": COUNT, ...}' SEED ROOT``, an answer a line."""

import contextlib
import io
import json
import os
import resource
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

GUARD = 12 * 2**30
"""Bytes of addresses that a process may take, so that a fault does not take the machine down."""

LARGEST = 2 * 2**30
"""Bytes of memory that an input may take."""


def peak() -> int:
    """Return the largest resident memory, in bytes, since `forget_peak`."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def forget_peak() -> None:
    """Count the largest memory anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def judged(box: Any, border: Any, value: Any) -> tuple[str, str]:
    """Return the class of what happened, and how it shows."""
    from mamlprobe.base.errors import Stopped, UserError
    from tests.fuzz.borders import Exit

    said, told = io.StringIO(), io.StringIO()
    forget_peak()
    before = peak()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = border.act(box, value)
        kind, how = "accepted", ""
        if isinstance(result, Exit) and result:
            last = told.getvalue().strip().splitlines()[-1:] or [""]
            kind, how = (
                ("refused", "")
                if result == 2 and ", got " in last[0] and "Traceback" not in told.getvalue()
                else ("traceback", f"exit {int(result)} {last}")
            )
    except UserError as error:
        kind, how = ("refused", "") if "\n" not in str(error) else ("traceback", "two lines")
    except Stopped:
        kind, how = "refused", ""
    except SystemExit as stop:
        kind, how = ("accepted", "") if not stop.code else ("traceback", f"SystemExit {stop.code}")
    except MemoryError:
        kind, how = "memory", "MemoryError"
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        kind, how = (
            "traceback",
            f"{type(error).__name__}: {str(error)[:120]} at {Path(frame.filename).name}:{frame.lineno}",
        )
    if peak() - before > LARGEST:
        kind, how = "memory", f"{(peak() - before) / 2**30:.1f} GiB"
    if box.canary.exists():
        box.canary.unlink()
        kind, how = "executed", "a file that was to be read"
    if strangers := box.strangers():
        kind, how = "outside", str(strangers)
    return kind, how


def main(plan: str, seed: str, root: str) -> None:
    """Draw the inputs of each border and print a line before and after each."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stdout = sys.stderr
    os.environ |= {"HOME": f"{root}/home", "MAMLPROBE_CACHE": f"{root}/cache", "MPLCONFIGDIR": f"{root}/cache"}
    import torch
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from tests.fuzz.borders import BORDERS
    from tests.fuzz.box import Box

    torch.set_num_threads(1)
    box = Box(Path(root))
    box.fresh()
    resource.setrlimit(resource.RLIMIT_AS, (GUARD, GUARD))
    usual: dict[str, Any] = {"database": None, "deadline": None, "phases": [Phase.generate]}

    def take_all(name: str, count: int) -> None:
        border = BORDERS[name]

        @seeded(int(seed))
        @settings(max_examples=count, suppress_health_check=list(HealthCheck), **usual)
        @given(border.inputs(box))
        def take(value: Any) -> None:
            answers.write(json.dumps({"border": name, "begin": repr(value)[:300]}) + "\n")
            kind, how = judged(box, border, value)
            answers.write(json.dumps({"end": kind, "how": how}) + "\n")

        take()
        answers.write(json.dumps({"through": name}) + "\n")

    for name, count in json.loads(plan).items():
        take_all(name, count)


if __name__ == "__main__":
    main(*sys.argv[1:])
