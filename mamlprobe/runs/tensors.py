"""Tensors from files that others wrote: read without running code, and renamed to a module's names."""

import pickle
import re
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.nets.net import Params

NESTS = ("model_state_dict", "state_dict", "model", "network", "net")
"""Where training scripts put the state dict inside what they save."""

WRAPPERS = {"module", "_orig_mod"}
"""Parts of names that come from running a module in parallel or compiled."""


def read_tensors(path: str | Path) -> Params:
    """Read the tensors of a .pt, .pth or .safetensors file by name, on the CPU; code in a pickle is never run.

    Raises:
        UserError: no such file; a damaged one; one that needs code to be read; one without a dict of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("import", "the file must exist", path, "check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the age of the pickle
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        got = f"a pickle that calls {code[1]}" if code else "something else"
        advice = "save model.state_dict() alone; a pickle that needs code is never run"
        raise UserError("import", f"{path.name} must be a whole file of plain tensors", got, advice) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, TypeError, OSError) as error:
        got = re.split(r"\.\s|\n", str(error))[0] or type(error).__name__
        raise UserError(
            "import", f"{path.name} must be a whole .pt, .pth or .safetensors file", got, "copy it again"
        ) from None
    for nest in NESTS:
        if isinstance(saved, dict) and isinstance(saved.get(nest), dict):
            saved = saved[nest]
    if not isinstance(saved, dict) or not saved or not all(isinstance(value, Tensor) for value in saved.values()):
        kinds = sorted({type(value).__name__ for value in saved.values()}) if isinstance(saved, dict) else type(saved)
        raise UserError("import", f"{path.name} must hold a dict of tensors", kinds, "save model.state_dict()")
    versions = getattr(saved, "_metadata", None)
    tensors: Params = OrderedDict((str(name), _plain(str(name), value, path)) for name, value in saved.items())
    tensors._metadata = versions if isinstance(versions, dict) else {}  # type: ignore[attr-defined]
    return tensors


def _plain(name: str, value: Tensor, path: Path) -> Tensor:
    """Detach the tensor, after checking that it is a plain one with values.

    Raises:
        UserError: a sparse, quantised or meta tensor.
    """
    kinds = {
        "a quantised tensor": value.is_quantized,
        "a meta tensor, without numbers": value.is_meta,
        "a sparse tensor": value.layout != torch.strided,
    }
    for kind, so in kinds.items():
        if so:
            raise UserError("import", f"{path.name} must hold plain tensors", f"{kind} in {name}", "save plain ones")
    return value.detach()


def finite(tensors: Params, file: str) -> None:
    """Refuse a NaN or an infinity.

    Raises:
        UserError: there is one; the message names its tensor and the file.
    """
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            advice = "take a file from before it diverged"
            raise UserError("import", f"{file} must hold finite numbers", f"NaN or infinity in {name}", advice)


def as_floats(tensors: Params) -> Params:
    """Convert the tensors to float32.

    Raises:
        UserError: numbers that are not real, such as integers or complex ones.
    """
    for name, value in tensors.items():
        alike(name, value, torch.ones(()))
    return {name: value.float() for name, value in tensors.items()}


def alike(name: str, value: Tensor, wanted: Tensor) -> None:
    """Refuse numbers of another kind than the net's: real, complex, whole or boolean.

    Raises:
        UserError: they are of another kind.
    """
    kinds = [kind(each) for each in (value, wanted)]
    if kinds[0] != kinds[1]:
        got = str(value.dtype).removeprefix("torch.")
        raise UserError("import", f"{name} must hold {kinds[1]} numbers", got, "save the net's own state dict")


def kind(value: Tensor) -> str:
    """Return the kind of numbers in the tensor: real, complex, boolean or whole."""
    if value.is_floating_point():
        return "real"
    return "complex" if value.is_complex() else "boolean" if value.dtype == torch.bool else "whole"


def conversion(source: Iterable[Tensor], converted: Iterable[Tensor], say: Callable[[str], object]) -> None:
    """Report which dtypes of a file's tensors were converted to which, pair by pair; say nothing if none were."""
    pairs = {(a.dtype, b.dtype) for a, b in zip(source, converted, strict=True) if a.dtype != b.dtype}
    names = sorted(" to ".join(str(each).removeprefix("torch.") for each in pair) for pair in pairs)
    if names:
        say(f"converted: {', '.join(names)}")


def unheard(line: str) -> None:
    """Say nothing."""


def renamed(loaded: Params, wanted: Iterable[str]) -> Params:
    """Rename the tensors to the wanted names: drop the prefix that most of them share, and the parts in `WRAPPERS`."""
    wanted = list(wanted)
    bare = _bare if _apart(map(_bare, wanted)) and _apart(map(_bare, loaded)) else str
    ours = {bare(name): name for name in wanted}
    counts = Counter(prefix for name in loaded for prefix, rest in _cuts(bare(name)) if rest in ours)
    prefix = max(sorted(counts, key=len), key=lambda each: counts[each], default="")
    names = {name: bare(name).removeprefix(prefix) for name in loaded}
    if not _apart(names.values()):
        return loaded
    tensors: Any = OrderedDict((ours.get(names[name], names[name]), value) for name, value in loaded.items())
    versions = getattr(loaded, "_metadata", {})  # by module: the name of a parameter without its last part
    tensors._metadata = {(bare(each) + ".").removeprefix(prefix)[:-1]: value for each, value in versions.items()}
    made: dict[str, Tensor] = tensors
    return made


def _apart(names: Iterable[str]) -> bool:
    names = list(names)
    return len(set(names)) == len(names)


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _cuts(name: str) -> list[tuple[str, str]]:
    """List every way to split a name before one of its parts: a prefix with its dot, and the rest."""
    parts = name.split(".")
    heads = [".".join(parts[:count]) + "." if count else "" for count in range(len(parts))]
    return [(head, name[len(head) :]) for head in heads]


def same_shapes(where: str, wanted: Params, given: Params) -> None:
    """Refuse tensors whose names or shapes are not the wanted ones.

    Raises:
        UserError: there are such; the message names the first of each kind.
    """
    missing, more = [name for name in wanted if name not in given], [name for name in given if name not in wanted]
    other = [
        f"{n} {list(given[n].shape)} instead of {list(wanted[n].shape)}"
        for n in wanted.keys() & given.keys()
        if given[n].shape != wanted[n].shape
    ]
    faults = {"without": missing, "with an unknown": more, "with": sorted(other)}
    got = "; ".join(f"{word} {', '.join(names[:6])}" for word, names in faults.items() if names)
    if got:
        raise UserError(where, "the file must hold the net's tensors", f"one {got}", "name the net it was made with")
