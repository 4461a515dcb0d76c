"""The files below a folder or inside a zip, read in memory: nothing is ever unpacked to disk."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mamlprobe.base.errors import UserError

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}
BILINEAR, LANCZOS = Image.Resampling.BILINEAR, Image.Resampling.LANCZOS


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Files and folders below one path: sorted relative names with ``/`` between the parts, hidden ones left out."""

    path: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    archive: zipfile.ZipFile | None = None

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            UserError: it cannot be read or the archive is damaged there.
        """
        try:
            return (self.path / name).read_bytes() if self.archive is None else self.archive.read(name)
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            must = f"{name} of {self.path} must be readable"
            raise UserError("load_pool", must, _short(error), "get the file again") from None

    def images(self) -> list[str]:
        """Names of the files that are images by their ending."""
        return [name for name in self.files if PurePosixPath(name).suffix.lower() in IMAGES]


@contextmanager
def opened(path: Path) -> Iterator[Tree]:
    """The tree of a folder or of a zip.

    Raises:
        UserError: there is no such path, it is not a whole zip, or one of its entries points out of it.
    """
    if path.is_dir():
        below = sorted(each for each in path.rglob("*") if _shown(each.relative_to(path).as_posix()))
        files = tuple(each.relative_to(path).as_posix() for each in below if each.is_file())
        folders = tuple(each.relative_to(path).as_posix() for each in below if each.is_dir())
        yield Tree(path=path, files=files, folders=folders)
        return
    if not path.is_file():
        raise UserError("load_pool", f"{path} must exist", "nothing there", "check the path or give root")
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError("load_pool", f"{path} must be a whole zip", _short(error), "get the file again") from None
    with archive:
        names = archive.namelist()
        for name in names:
            parts = name.replace("\\", "/").split("/")
            if not parts[0] or ".." in parts or ":" in parts[0]:
                raise UserError(
                    "load_pool", f"entries of {path} must stay inside it", repr(name), "do not trust this zip"
                )
        names = sorted(name for name in names if _shown(name))
        files = tuple(name for name in names if not name.endswith("/"))
        folders = tuple(name.rstrip("/") for name in names if name.endswith("/"))
        yield Tree(path=path, files=files, folders=folders, archive=archive)


def stamps(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file at or below the path: equal stamps, equal content."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return [(str(each), (stat := each.stat()).st_size, stat.st_mtime_ns) for each in files]


def is_grey(tree: Tree, name: str) -> bool:
    """Whether the image holds no colour, told by its header."""
    with _image(tree, name) as image:
        return image.mode in GREY


def pixels(tree: Tree, name: str, *, channels: int, size: int, resample: Image.Resampling) -> NDArray[np.uint8]:
    """The image as ``[C, size, size]``: transparency dropped, squeezed to a square where it is none.

    Raises:
        UserError: it is damaged; the message names it.
    """
    with _image(tree, name) as image:
        try:
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
            image = image.convert("RGBA") if image.mode == "P" else image
            image = image.convert("L" if channels == 1 else "RGB")
        except _BROKEN as error:
            raise _damaged(tree, name, error) from None
        if image.size != (size, size):
            image = image.resize((size, size), resample)
        return np.asarray(image, dtype=np.uint8).reshape(size, size, channels).transpose(2, 0, 1)


_BROKEN = (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error, Image.DecompressionBombError)


def _image(tree: Tree, name: str) -> Image.Image:
    data = tree.read(name)
    try:
        return Image.open(io.BytesIO(data))
    except _BROKEN as error:
        raise _damaged(tree, name, error) from None


def _damaged(tree: Tree, name: str, error: Exception) -> UserError:
    must = f"{name} of {tree.path} must be a whole image"
    return UserError("load_pool", must, _short(error), "get it again or delete it")


def _short(error: Exception) -> str:
    """The first words of an error, without the addresses of objects."""
    return f"{type(error).__name__} ({str(error).split('<')[0].strip()[:80]})"


def _shown(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
