"""The command line: ``mamlprobe train | evaluate | probe | certify | import | report | data | doctor``."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any

import tyro
from tyro.conf import DisallowNone, subcommand

from mamlprobe import __version__
from mamlprobe.base.errors import Stopped, UserError, unknown
from mamlprobe.commands.certify import Certify
from mamlprobe.commands.doctor import Doctor
from mamlprobe.commands.import_ import Import
from mamlprobe.commands.mistakes import COMPLETION, looked_over, mistake
from mamlprobe.commands.train import Train, listed, train_words
from mamlprobe.commands.words import Evaluate, Probe, Report, Show
from mamlprobe.native.variants import wanted
from mamlprobe.recipes import PRESETS, RECIPES, recipe
from mamlprobe.runs.experiment import run_name

ABOUT = "Few-shot meta-learners (MAML and its relatives), trained and then asked what they learned."

COMMANDS = {
    "train": Train,
    "evaluate": Evaluate,
    "probe": Probe,
    "certify": Certify,
    "import": Import,
    "report": Report,
    "data": Show,
    "doctor": Doctor,
}
"""Commands by name."""

_RUN = f"runs/{run_name(recipe('maml'))}"
EXAMPLES = {
    "": "mamlprobe train maml",
    "train": "mamlprobe train maml --preset quick --seed 0",
    "evaluate": f"mamlprobe evaluate {_RUN} --variants keep,zero_at_test,freeze:1-4,nil --out accuracy.csv",
    "probe": f"mamlprobe probe layers {_RUN} --out layers.csv --figure layers.png",
    "certify": "mamlprobe certify maml",
    "import": "mamlprobe import kao model.pt --out runs/kao",
    "import kao": "mamlprobe import kao model.pt --out runs/kao",
    "import state_dict": "mamlprobe import state_dict net.pt --module my.nets:Net --head fc --out runs/net",
    "report": f"mamlprobe report {_RUN} --out report.html",
    "data": "mamlprobe data glyphs",
    "doctor": "mamlprobe doctor",
}
"""Command -> the example that its help ends with; they follow one another, the first makes the run of the others."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a check failed, 2 the user's mistake, in one line on stderr, 130 interrupted.

    Other errors are raised.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--version"]:
        print(f"mamlprobe {__version__}")
        return 0
    if argv is None and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # modules beside the user are found, as under `python -m`
    try:
        command = parse(words)
        wanted()  # a word of the environment that is wrong is told before anything is done
        code = _run(command)
        sys.stdout.flush()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except (Stopped, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who was reading the output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SystemExit as asked:  # for help, or for the completion of a shell
        if asked.code:
            raise
        if any(word in COMPLETION for word in words):
            return 0
        named = [word for word in words if not word.startswith("-")]
        key = next(key for key in (" ".join(named[:2]), *named[:1], "") if key in EXAMPLES)
        if key == "train":
            print(f"\n{listed()}")
        print(f"\nexample:\n  {EXAMPLES[key]}")
        return 0
    return code


def _run(command: Any) -> int:
    """Run the command in full float32, and return its exit code; torch is imported here and not before."""
    import torch

    from mamlprobe.native.malloc import tune_malloc
    from mamlprobe.training.precision import precision

    tune_malloc()
    with precision("float32", torch.device("cpu")):  # on a GPU too, where torch would round factors
        return int(command.run() or 0)


def parse(argv: Sequence[str]) -> Any:
    """The command that the words name, one of `COMMANDS` with its options.

    Raises:
        UserError: words that make no command.
        SystemExit: with code 0, help was asked for and printed.
    """
    looked_over(argv, COMMANDS)
    name, preset, dataset = _train_choice(argv)
    found = _read(argv, train_words(name, preset, dataset))
    if isinstance(found, Train):
        if found.recipe not in RECIPES:
            raise unknown("recipe", "recipe", found.recipe, RECIPES)
        if found.recipe != name:  # `name` was the value of an option
            found = _read(argv, train_words(found.recipe, preset, dataset))
    return found


def _train_choice(argv: Sequence[str]) -> tuple[str, str, str | None]:
    """Recipe, preset and data set, on which the defaults of the other options hang; the first ones where not given."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    reader.add_argument("--preset", nargs="?", default="quick")
    reader.add_argument("--dataset", nargs="?")
    found, rest = reader.parse_known_args([word for word in argv[1:] if word != "--"])
    name = next((word for word in rest if word in RECIPES), "maml")
    return name, found.preset if found.preset in PRESETS else "quick", found.dataset


def _read(argv: Sequence[str], usual: Train) -> Any:
    """The command by tyro, `usual` the defaults of training."""
    kinds: dict[str, Any] = {name: Annotated[kind, subcommand(name)] for name, kind in COMMANDS.items()}
    kinds["train"] = Annotated[Train, subcommand("train", default=usual)]
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            any_of: Any = reduce(or_, kinds.values())
            return tyro.cli(any_of, prog="mamlprobe", description=ABOUT, args=list(argv), config=(DisallowNone,))
    except OSError as error:  # a completion file
        must, got = f"{argv[-1]} must be open for writing", error.strerror or type(error).__name__
        raise UserError("mamlprobe", must, got, "choose another place") from None
    except SystemExit as stop:
        if not stop.code:
            raise
        raise _mistake(stop, told.getvalue(), argv) from None


def _mistake(stop: SystemExit, told: str, argv: Sequence[str]) -> UserError:
    """What tyro stopped for: our own error where a setting was refused, else what its box says."""
    cause = stop.__context__
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__context__
    return mistake(told, argv, COMMANDS)
