"""The command line: ``mamlprobe train``, ``evaluate``, ``probe``, ``certify``, ``import``, ``export`` and so on."""

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
from mamlprobe.base.door import out_of_memory
from mamlprobe.base.errors import Stopped, UserError, unknown
from mamlprobe.commands.arguments.mistakes import COMPLETION, at_home, looked_over, mistake, with_kind
from mamlprobe.commands.arguments.options import WORD_LISTS
from mamlprobe.commands.cache import Cache
from mamlprobe.commands.certify import Certify
from mamlprobe.commands.doctor import Doctor
from mamlprobe.commands.export_ import Export
from mamlprobe.commands.import_ import Import
from mamlprobe.commands.many.sweep import Sweep
from mamlprobe.commands.many.table import Table
from mamlprobe.commands.reproduce import Reproduce
from mamlprobe.commands.survey import Survey
from mamlprobe.commands.train import Train, listed, train_words
from mamlprobe.commands.words import Evaluate, Probe, Report, Show
from mamlprobe.native.variants import wanted
from mamlprobe.native.waiting import wait_asleep
from mamlprobe.recipes import PRESETS, RECIPES, recipe
from mamlprobe.runs.experiment import run_name
from mamlprobe.training.ranks.launched import leads

ABOUT = "Few-shot meta-learners (MAML and its relatives), trained and then asked what they learned."

COMMANDS = {
    "train": Train,
    "sweep": Sweep,
    "evaluate": Evaluate,
    "probe": Probe,
    "certify": Certify,
    "import": Import,
    "export": Export,
    "report": Report,
    "table": Table,
    "survey": Survey,
    "reproduce": Reproduce,
    "data": Show,
    "doctor": Doctor,
    "cache": Cache,
}
"""Commands by name."""

_RUN = f"runs/{run_name(recipe('maml'))}"
EXAMPLES = {
    "": "mamlprobe train maml",
    "train": "mamlprobe train maml --preset quick --seed 0",
    "sweep": "mamlprobe sweep maml --seeds 0-9 --set inner.lr=0.1,0.4 --set inner.steps=1,5 --dry-run",
    "evaluate": f"mamlprobe evaluate {_RUN} --variants keep,zero_at_test,freeze:1-4,nil --out accuracy.csv",
    "probe": f"mamlprobe probe layers {_RUN} --out layers.csv --figure layers.png",
    "certify": "mamlprobe certify maml",
    "import": "mamlprobe import model.pt --out runs/theirs",
    "import auto": "mamlprobe import model.pt --out runs/theirs",
    "import kao": "mamlprobe import kao model.pt --out runs/kao",
    "import state_dict": "mamlprobe import state_dict net.pt --module my.nets:Net --head fc --out runs/net",
    "export": f"mamlprobe export {_RUN} --as torchscript --out net.pt",
    "report": f"mamlprobe report {_RUN} --out report.html --tables tables",
    "table": f"mamlprobe table {_RUN} --questions accuracy --out table.csv",
    "survey": "mamlprobe survey checkpoints --dataset tinyimagenet-fs --out survey",
    "reproduce": "mamlprobe reproduce raghu_table1_freezing kao_fig2_cosine --out figures",
    "data": "mamlprobe data glyphs",
    "doctor": "mamlprobe doctor",
    "cache": "mamlprobe cache",
}
"""Command -> the example at the end of its help; the first one trains the run that the others read."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 a check failed, 2 the user's mistake, 130 interrupted.

    A mistake is one line on stderr. Other errors are raised.
    """
    wait_asleep()
    if argv is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what no text can
    try:
        return _obey(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        return _say(error, 2)
    except (Stopped, KeyboardInterrupt) as error:
        return _say(str(error) or "interrupted", 130)
    except BrokenPipeError:  # the reader of the output has closed it
        _hush()
        return 141
    except OSError as error:  # that no place below knew more about
        if error.errno is None:
            raise
        where = f" at {error.filename}" if error.filename is not None else ""
        must, got = "the system must let the command read and write", f"{error.strerror}{where}"
        _hush()
        return _say(UserError("mamlprobe", must, got, "mend that and start again"), 2)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error) and type(error).__name__ != "OutOfMemoryError":
            raise
        must, got = "the memory must suffice for the command", "no more of it"
        return _say(UserError("mamlprobe", must, got, "use smaller sizes, fewer tasks, or --chunk"), 2)


def _obey(arguments: Sequence[str]) -> int:
    """Run the command, or print the help or version that is asked for, and return the exit code."""
    if arguments[:1] == ["--version"]:
        print(f"mamlprobe {__version__}")
        return 0
    try:
        command = parse(arguments)
    except SystemExit as asked:  # for help, or for the completion of a shell
        if asked.code:
            raise
        _example(arguments)
        return 0
    wanted()  # refuse a wrong environment variable before anything is done
    code = _run(command)
    if sys.stdout is not None:  # as it is where it was closed
        sys.stdout.flush()
    return code


def _example(arguments: Sequence[str]) -> None:
    """Print the end of a help."""
    if any(word in COMPLETION for word in arguments):
        return
    named = [word for word in arguments if not word.startswith("-")]
    key = next(key for key in (" ".join(named[:2]), *named[:1], "") if key in EXAMPLES)
    if key == "train":
        print(f"\n{listed()}")
    print(f"\nexample:\n  {EXAMPLES[key]}")


def _say(line: object, code: int) -> int:
    """Print the line to stderr, if somebody reads it, and return the exit code; of several processes one says it."""
    if not leads() and not getattr(line, "aloud", False):
        return code
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
    return code


def _hush() -> None:
    """Drop what is left to print if the output takes no more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(command: Any) -> int:
    """Run the command in full float32, and return its exit code; torch is imported here and not before."""
    import torch

    from mamlprobe.native.malloc import tune_malloc
    from mamlprobe.training.precision import precision

    tune_malloc()
    with precision("float32", torch.device("cpu")):  # on a GPU too, where torch would round factors
        return int(command.run() or 0)


def parse(argv: Sequence[str]) -> Any:
    """Parse the arguments into one of `COMMANDS` with its options.

    Raises:
        UserError: arguments that make no command.
        SystemExit: with code 0, help was asked for and printed.
    """
    argv = at_home(argv)
    looked_over(argv, COMMANDS)
    argv = with_kind(argv)
    name, preset, dataset = _train_choice(argv)
    command = _read(argv, train_words(name, preset, dataset))
    if isinstance(command, Train):
        if command.recipe not in RECIPES:
            raise unknown("recipe", "recipe", command.recipe, RECIPES)
        if command.recipe != name:  # `name` was the value of an option
            command = _read(argv, train_words(command.recipe, preset, dataset))
    return command


def _train_choice(argv: Sequence[str]) -> tuple[str, str, str | None]:
    """Return recipe, preset and data set, or their defaults; the defaults of the other options depend on them."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    reader.add_argument("--preset", nargs="?", default="quick")
    reader.add_argument("--dataset", nargs="?")
    options, rest = reader.parse_known_args([word for word in argv[1:] if word != "--"])
    name = next((word for word in rest if word in RECIPES), "maml")
    return name, options.preset if options.preset in PRESETS else "quick", options.dataset


def _read(argv: Sequence[str], usual: Train) -> Any:
    """Parse the command with tyro; `usual` are the defaults of training."""
    kinds: dict[str, Any] = {name: Annotated[kind, subcommand(name)] for name, kind in COMMANDS.items()}
    kinds["train"] = Annotated[Train, subcommand("train", default=usual)]
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            any_of: Any = reduce(or_, kinds.values())
            how: dict[str, Any] = {"args": list(argv), "config": (DisallowNone,), "registry": WORD_LISTS}
            return tyro.cli(any_of, prog="mamlprobe", description=ABOUT, **how)
    except OSError as error:  # a completion file
        must, got = f"{argv[-1]} must be open for writing", error.strerror or type(error).__name__
        raise UserError("mamlprobe", must, got, "choose another place") from None
    except SystemExit as stop:
        if not stop.code:
            raise
        raise _mistake(stop, stderr.getvalue(), argv) from None


def _mistake(stop: SystemExit, message: str, argv: Sequence[str]) -> UserError:
    """Return why tyro stopped: our own error if a setting was refused, else the message in its box."""
    cause = stop.__context__
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__context__
    return mistake(message, argv, COMMANDS)
