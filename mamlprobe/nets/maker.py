"""The class or function that makes a user's module: named by its user, and from the user's own code alone."""

import importlib
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from mamlprobe.base.errors import UserError, unknown

Maker = Callable[[], nn.Module]
"""A subclass of ``nn.Module``, or a function that returns one."""

INSTALLED = {"site-packages", "dist-packages"}
"""Names of folders that hold what was installed."""

OWN_FILE = "write a function that returns it in a file of your own, and name that"


def maker(module: Maker | str) -> Maker:
    """Return the class or function itself, or import the one that ``package.file:Class`` names.

    Call this only with what the user named in this call. What is not the user's own code is refused before it is
    imported; the current folder is looked in where no other place has the file.

    Raises:
        UserError: words that name nothing; code of Python, of this package, or of an installed one; neither a subclass
            of ``nn.Module`` nor a function.
    """
    if not isinstance(module, str):
        _check_kind(module, name_of(module))
        return module
    file, colon, name = module.partition(":")
    if not (file and colon and name):
        advice = "separate file and class by a colon"
        raise UserError("net", "net.module must read package.file:Class", repr(module), advice)
    if "/" in file or "\\" in file or file.endswith(".py"):
        advice = "write my.nets:Net for the file my/nets.py, beside you or on PYTHONPATH"
        raise UserError("net", "net.module must be an import name, no path", repr(file), advice)
    if not all(part.isidentifier() for part in (*file.split("."), name)):
        raise UserError("net", "net.module must read package.file:Class", repr(module), "write names of Python alone")
    entries = vars(_imported(file))
    made: Maker | None = entries.get(name)
    if not callable(made):
        names = [word for word, value in entries.items() if inspect.isclass(value) or inspect.isfunction(value)]
        raise unknown("net", f"class of {file!r}", name, names or ["(it has none)"])
    _check_kind(made, module)
    return made


def name_of(module: object) -> str:
    """Return ``package.file:Class`` of a class or function, or the type of anything else."""
    kind = type(module)
    return f"{getattr(module, '__module__', kind.__module__)}:{getattr(module, '__qualname__', kind.__qualname__)}"


def same_module(module: Maker | str, name: str) -> bool:
    """Tell whether the class, function or words are what ``package.file:Class`` names; nothing is imported for it."""
    if isinstance(module, str):
        return module == name
    file, _, entry = name.partition(":")
    imported = sys.modules.get(file)
    return name_of(module) == name or (imported is not None and vars(imported).get(entry) is module)


def _imported(name: str) -> ModuleType:
    """Import a module of the user's own, package by package, each after a look at where it lies."""
    parts = name.split(".")
    try:
        for count in range(1, len(parts) + 1):
            module = ".".join(parts[:count])
            _check_own(module, _places(module, here=count == 1))
            imported = importlib.import_module(module)
    except UserError:
        raise
    except ImportError as error:
        advice = "install it or put its folder on PYTHONPATH"
        raise UserError("net", f"module {name!r} must be importable", str(error), advice) from None
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise UserError("net", f"module {name!r} must be importable", got, "mend it") from error
    return imported


def _places(name: str, *, here: bool = False) -> list[str] | None:
    """List the files or folders that hold the module, without running it; None if it is built into Python.

    With `here`, the current folder is searched too, as the last one. What was made in this process, as in a notebook,
    lies nowhere.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    loaded = sys.modules.get(name)
    if loaded is not None:
        places = [getattr(loaded, "__file__", None), *getattr(loaded, "__path__", ())]
        known = [place for place in places if isinstance(place, str)]
        return known or (None if getattr(loaded, "__spec__", None) else [])
    spec = importlib.util.find_spec(name)
    if spec is None and here and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
        importlib.invalidate_caches()
        spec = importlib.util.find_spec(name)
        if spec is None:
            sys.path.remove(os.getcwd())
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}")
    listed = [spec.origin if spec.has_location else None, *(spec.submodule_search_locations or ())]
    return [place for place in listed if place] or None


def _check_own(name: str, places: Iterable[str] | None) -> None:
    """Refuse a module that is not of the user's own code.

    Raises:
        UserError: it is of Python itself, of this package, or of an installed one.
    """
    if name.partition(".")[0] == "mamlprobe":
        got = "a part of mamlprobe"
    elif places is None:
        got = "a part of Python"
    else:
        got = next((f"the one in {place}" for place in places if _installed(place)), "")
    if got:
        raise UserError("net", f"module {name!r} must be of your own code", got, OWN_FILE)


def _installed(place: str) -> bool:
    """Tell whether a file or folder is Python's or an installed package's, by its path or behind links."""
    folders = {sysconfig.get_path(word) for word in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {os.path.dirname(os.__file__), *site.getsitepackages(), site.getusersitepackages()}
    for path in (Path(os.path.abspath(place)), Path(os.path.realpath(place))):
        if INSTALLED & set(path.parts):
            return True
        if any(path.is_relative_to(each) or path.is_relative_to(os.path.realpath(each)) for each in folders):
            return True
    return False


def _check_kind(made: Any, name: str) -> None:
    """Refuse what is neither a subclass of ``nn.Module`` nor a function, or stems from elsewhere.

    Raises:
        UserError: it is something else, or not of the user's own code.
    """
    plain = inspect.unwrap(made) if callable(made) else made
    if not (inspect.isfunction(plain) or (inspect.isclass(plain) and issubclass(plain, nn.Module))):
        got = f"the class {name}" if inspect.isclass(plain) else type(plain).__name__
        must = f"{name} must be a subclass of nn.Module, or a function that returns one"
        raise UserError("net", must, got, "name another")
    home = str(plain.__module__)
    loaded = sys.modules.get(home)
    if loaded is not None:
        _check_own(home, _places(home))
