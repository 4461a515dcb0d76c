"""Strategies: what a good file, table, tensor or argument becomes when it is damaged, foreign or hostile."""

import copy
import io
import json
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from PIL import Image

WORDS = ["", " ", "maml", "os:abort", "sys:exit", "builtins:exec", "canary:Run", "../..", "~", "\x00", "\u202eabc", "٣"]
WORDS += ["nan", "1e999", "-1", "0", "9" * 40, "x" * 400, "\ud800", "None", "true", "[]", "a,b", "a\nb", "ﬁ", "é" * 50]

NUMBERS: list[Any] = [0, -1, 1, 2, 2**31, 2**63, -(2**63), 10**40, 0.5, -0.0, 1e308, math.inf, -math.inf, math.nan]

words = st.sampled_from(WORDS) | st.text(max_size=12)
numbers = st.sampled_from(NUMBERS) | st.integers() | st.floats()
leaves = st.none() | st.booleans() | numbers | words
nests = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))


@st.composite
def spoiled_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Cut, overwritten, longer, doubled, of zeros, or something else altogether."""
    how, place = draw(st.integers(0, 7)), draw(st.integers(0, max(len(good) - 1, 0)))
    if how == 0:
        return good[:place]
    if how == 1:
        bad = bytearray(good)
        for _ in range(draw(st.integers(1, 8))):
            bad[draw(st.integers(0, len(good) - 1))] = draw(st.integers(0, 255))
        return bytes(bad)
    if how == 2:
        return good[:place] + draw(st.binary(min_size=1, max_size=40)) + good[place:]
    if how == 3:
        return good + good[place:]
    if how == 4:
        return bytes(len(good))
    if how == 5:
        return good[:place] + bytes([255]) * min(8, len(good) - place) + good[place + 8 :]
    if how == 6:  # the sizes that stand at the start of a file
        return draw(st.integers(0, 2**64 - 1)).to_bytes(8, "little") + good[8:]
    return draw(st.binary(max_size=200))


@st.composite
def spoiled_value(draw: st.DrawFn, good: Any) -> Any:
    """A JSON value with one place of it removed, renamed, doubled or of another kind."""
    value = copy.deepcopy(good)
    at, key = None, None
    here = value
    while isinstance(here, dict | list) and here and draw(st.integers(0, 4)):
        at, key = (
            here,
            draw(st.sampled_from(list(here))) if isinstance(here, dict) else draw(st.integers(0, len(here) - 1)),
        )
        here = at[key]
    if at is None:
        return draw(nests)
    how = draw(st.integers(0, 3))
    if how == 0:
        del at[key]
    elif how == 1 and isinstance(at, dict):
        at[draw(words)] = at.pop(key)
    elif how == 2 and isinstance(at, dict):
        at[draw(words)] = draw(nests)
    else:
        at[key] = draw(nests)
    return value


@st.composite
def spoiled_json(draw: st.DrawFn, good: Any) -> bytes:
    """JSON of another content, or no JSON: too deep, too long a number, cut, other bytes."""
    how = draw(st.integers(0, 9))
    if how < 6:
        return json.dumps(draw(spoiled_value(good))).encode("utf-8", "surrogatepass")
    if how == 6:
        depth = draw(st.sampled_from([100, 10_000, 200_000]))
        return b"[" * depth + b"]" * depth
    if how == 7:
        return b'{"format": ' + b"9" * draw(st.sampled_from([400, 5000, 100_000])) + b"}"
    if how == 8:
        return json.dumps(good).encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])))
    return draw(spoiled_bytes(json.dumps(good).encode()))


@st.composite
def spoiled_table(draw: st.DrawFn, good: str) -> bytes:
    """A CSV with other columns, words, rows or bytes."""
    rows = [line.split(",") for line in good.splitlines()]
    how, row = draw(st.integers(0, 8)), draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, len(rows[0]) - 1))
    if how == 0:
        rows[0][column] = draw(words)
    elif how == 1:
        rows = [line[:column] + line[column + 1 :] for line in rows]
    elif how in (2, 3):
        line = rows[row]
        line[min(column, len(line) - 1)] = str(draw(leaves))
    elif how == 4:
        rows[row] += ["1"] * draw(st.integers(1, 3))
    elif how == 5:
        rows = [rows[0]]
    elif how == 6:
        rows[row] = rows[row][:column]
    else:
        return draw(spoiled_bytes(good.encode()))
    return ("\n".join(",".join(line) for line in rows) + "\n").encode("utf-8", "surrogatepass")


class Calls:
    """A pickle of it would write a file, if anybody executed it."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (self.canary,)  # type: ignore[return-value]


def odd_tensors() -> st.SearchStrategy[Any]:
    """Tensors and things in their place: other precisions, layouts, sizes and values."""
    dtypes = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
    dtypes += [torch.complex64, torch.int16]
    shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
    plain = st.builds(lambda shape, kind: torch.ones(shape).to(kind), shapes, st.sampled_from(dtypes))
    values = st.builds(
        lambda shape, value: torch.full(shape, value), shapes, st.sampled_from([0.0, math.inf, math.nan, 1e38])
    )
    special: list[Any] = [
        torch.zeros(1).expand(1_000_000, 1_000_000),
        torch.empty(3, 3, device="meta"),
        torch.eye(3).to_sparse(),
        torch.eye(3).to_sparse_csr(),
        torch.ones(3, dtype=torch.complex64).conj(),
        torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
        torch.ones(4, 4).t(),
        torch.ones(3, requires_grad=True),
        torch.nn.Parameter(torch.ones(2, 2)),
        np.ones((2, 3)),
        np.array(["a", "b"]),
        np.array([None, 1], dtype=object),
        np.ma.masked_array([1.0, 2.0], [True, False]),
        pd.DataFrame({"a": [1.0, 2.0]}),
    ]
    return plain | values | st.sampled_from(special)


def odd_values() -> st.SearchStrategy[Any]:
    """Anything that somebody may pass where something else is wanted."""
    return nests | odd_tensors() | st.sampled_from([object(), print, int, torch.nn.Linear(2, 2), Path("nowhere"), b"x"])


@st.composite
def spoiled_state(draw: st.DrawFn, good: dict[str, torch.Tensor]) -> dict[Any, Any]:
    """Tensors by name with one name or tensor wrong."""
    state: dict[Any, Any] = dict(good)
    name = draw(st.sampled_from(list(good)))
    how = draw(st.integers(0, 4))
    if how == 0:
        del state[name]
    elif how == 1:
        state[draw(words | st.just(0))] = state.pop(name)
    elif how == 2:
        shape = list(good[name].shape) or [1]
        shape[draw(st.integers(0, len(shape) - 1))] += 1
        state[name] = torch.ones(shape)
    elif how == 3:
        state[name] = good[draw(st.sampled_from(list(good)))]
    else:
        state[name] = draw(odd_tensors())
    return state


@st.composite
def spoiled_picture(draw: st.DrawFn) -> tuple[str, bytes]:
    """A name and the bytes of a picture: another kind, another size, damaged, enormous."""
    how = draw(st.integers(0, 5))
    kind = draw(st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "TIFF"]))
    mode = draw(st.sampled_from(["L", "RGB", "RGBA", "P", "1", "I;16", "CMYK"] if kind == "TIFF" else ["L", "RGB"]))
    size = draw(st.sampled_from([(10, 10), (1, 1), (9, 10), (300, 2)]))
    if how == 0:
        size = draw(st.sampled_from([(20_000, 20_000), (60_000, 1), (3_000, 3_000)]))
        kind, mode = "PNG", "1"
    file = io.BytesIO()
    Image.new(mode, size, 1 if mode in ("1", "P", "I;16") else None).save(file, kind)
    good = file.getvalue()
    name = draw(st.sampled_from(["x.png", "x.jpg", "x.PNG", ".x.png", "x", "x.txt", "x.tif"]))
    return name, good if how < 2 else draw(spoiled_bytes(good))


@st.composite
def spoiled_zip(draw: st.DrawFn, picture: bytes) -> bytes:
    """An archive whose entries leave it, repeat, are links, blow up, or whose bytes are damaged."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "val", "test"):
            for each in range(3):
                archive.writestr(f"{split}/{split}{each}/0.png", picture)
                archive.writestr(f"{split}/{split}{each}/1.png", picture)
        how = draw(st.integers(0, 6))
        if how == 0:
            archive.writestr(
                draw(st.sampled_from(["../out.png", "/tmp/out.png", "a/../../out.png", "c:\\out.png"])), picture
            )
        elif how == 1:
            archive.writestr("train/train0/big.png", bytes(draw(st.sampled_from([10**6, 10**8]))))
        elif how == 2:
            info = zipfile.ZipInfo("train/train0/link.png")
            info.create_system, info.external_attr = 3, 0o120777 << 16
            archive.writestr(
                info, draw(st.sampled_from(["../../../etc/passwd", "/etc/passwd", "link.png", "../train1/0.png"]))
            )
        elif how == 3:
            name = draw(words).encode("utf-8", "replace").decode().partition("\0")[0] or "x"
            archive.writestr(name, draw(st.binary(max_size=30)))
        elif how == 4:
            archive.writestr("train/train0/" + "d/" * draw(st.sampled_from([50, 2000])) + "x.png", picture)
    whole = file.getvalue()
    return whole if how < 5 else draw(spoiled_bytes(whole))


@st.composite
def spoiled_pickle(draw: st.DrawFn, good: dict[str, torch.Tensor], canary: Path) -> bytes:
    """A file as torch saves it: of other tensors, of anything, hostile, or damaged."""
    how = draw(st.integers(0, 5))
    file = io.BytesIO()
    if how == 0:
        return pickle.dumps(Calls(canary))
    if how == 1:
        torch.save({**good, "extra": Calls(canary)}, file)
    elif how == 2:
        torch.save(draw(odd_values()) if draw(st.booleans()) else [good, 1], file)
    elif how == 3:
        state = {k: v for k, v in draw(spoiled_state(good)).items() if _small(v)}
        torch.save(state, file)
    else:
        torch.save(good, file, _use_new_zipfile_serialization=draw(st.booleans()))
        return draw(spoiled_bytes(file.getvalue()))
    return file.getvalue()


def _small(value: Any) -> bool:
    return (
        not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.untyped_storage().nbytes() < 10**6
    )


COMMANDS = [
    "train",
    "evaluate",
    "probe",
    "certify",
    "import",
    "export",
    "report",
    "reproduce",
    "data",
    "doctor",
    "cache",
]
COMMANDS += ["kao", "state_dict"]


@st.composite
def command_lines(draw: st.DrawFn, run: str, options: list[str]) -> list[str]:
    """Words behind ``mamlprobe``: a command with options that do not fit."""
    said = [draw(st.sampled_from(COMMANDS) | words)]
    for _ in range(draw(st.integers(0, 5))):
        how = draw(st.integers(0, 3))
        if how == 0:
            said.append(
                draw(st.just(run) | st.sampled_from(["layers", "freeze", "nil", "maml", "glyphs", "-h", "--help"]))
            )
        elif how == 1:
            said.append(draw(st.sampled_from(options)))
        else:
            said += [draw(st.sampled_from(options)), draw(words | numbers.map(str))]
    return said
