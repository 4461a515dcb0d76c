"""Tensors from files that others wrote: read without running code, and renamed to a module's names."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.borders.checked_tensors import not_finite, plain_tensors
from mamlprobe.borders.tensor_files import read_safetensors, read_saved
from mamlprobe.nets.net import Params

NESTS = ("model_state_dict", "state_dict", "model", "network", "net")
"""Where training scripts put the state dict inside what they save."""

WRAPPERS = {"module", "_orig_mod"}
"""Parts of names that come from running a module in parallel or compiled."""


def read_buffers(path: Path) -> Params:
    """Read the buffers of a run's module.

    Raises:
        UserError: a damaged file, or numbers that are not finite.
    """
    must, advice = f"{path} must be whole", "import the weights again"
    buffers, _ = read_safetensors("run", path, must=must, advice=advice, follow=False)
    if name := not_finite(buffers):
        raise UserError("run", must, f"NaN or infinity in {name}", advice)
    return buffers


def read_tensors(path: str | Path) -> Params:
    """Read the tensors of a .pt, .pth or .safetensors file by name, on the CPU; code in a pickle is never run.

    Raises:
        UserError: no such file; a damaged one; one that needs code to be read; one without a dict of plain tensors.
    """
    path = Path(path)
    must, advice = f"{path.name} must be a whole .pt, .pth or .safetensors file", "copy it again"
    saved: Any
    if path.suffix == ".safetensors":
        saved, _ = read_safetensors("import", path, must=must, advice=advice)
    else:
        code = f"{path.name} must be a whole file of plain tensors"
        help_code = "save model.state_dict() alone; a pickle that needs code is never run"
        saved = read_saved("import", path, must=must, advice=advice, code=code, help_code=help_code)
    for nest in NESTS:
        if isinstance(saved, dict) and isinstance(dict.get(saved, nest), dict):
            saved = dict.get(saved, nest)
    entries = dict(dict.items(saved)) if isinstance(saved, dict) else {}
    if not entries or not all(isinstance(value, Tensor) for value in entries.values()):
        kinds = sorted({type(value).__name__ for value in entries.values()}) if isinstance(saved, dict) else type(saved)
        raise UserError("import", f"{path.name} must hold a dict of tensors", kinds, "save model.state_dict()")
    names = [str(name) for name in entries]
    if len(set(names)) < len(names) or not all(isinstance(name, (str, int)) for name in entries):
        got = f"names such as {next(iter(entries))!r}"
        raise UserError("import", f"{path.name} must hold tensors by name", got, "save model.state_dict()")
    try:
        plain = plain_tensors(dict(zip(names, entries.values(), strict=True)), room=path.stat().st_size)
    except ValueError as error:
        raise UserError("import", f"{path.name} must hold plain tensors", error, "save plain ones") from None
    tensors: Params = OrderedDict(plain)
    tensors._metadata = _versions(getattr(saved, "_metadata", None))  # type: ignore[attr-defined]
    return tensors


def _versions(metadata: object) -> dict[str, dict[str, int]]:
    """Select the versions of the parts of a module, which loading them may depend on."""
    parts = dict(dict.items(metadata)) if isinstance(metadata, dict) else {}
    known = {name: dict.get(part, "version") for name, part in parts.items() if isinstance(part, dict)}
    return {
        name: {"version": number} for name, number in known.items() if isinstance(name, str) and type(number) is int
    }


def finite(tensors: Params, file: str) -> None:
    """Refuse a NaN or an infinity.

    Raises:
        UserError: there is one; the message names its tensor and the file.
    """
    name = not_finite(tensors)
    if name is not None:
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
