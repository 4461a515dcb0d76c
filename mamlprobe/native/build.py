"""The build of the kernels: compiler, flags, the library's path, and the compiler's message when it fails."""

import datetime
import errno
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from filelock import lock_descriptor

from mamlprobe.base.cache import cache_folder
from mamlprobe.native.trust import Refused, digest_line, digest_path, load_library, open_library, private_folder
from mamlprobe.native.variants import processor_flags, wanted

SOURCES = tuple(sorted((Path(__file__).parent / "cpp").iterdir()))
"""C++ sources; ``kernels.cpp`` includes the others."""
FLAGS = ("-O3", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-shared", "-fPIC")
"""Flags of every variant, which adds its own."""
LIMIT = 600.0
"""Seconds that the compiler may take: ten times what it takes on a busy core."""
AGAIN = datetime.timedelta(days=1)
"""Time after which a build that failed is tried again."""

SOON = datetime.timedelta(minutes=10)
"""The same where the disk was full."""

FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""What a compiler says of a full disk, among other words."""
LONGEST = 20_000
"""At most this many characters of the compiler's message are stored."""
ASIDE = "making-"
"""Prefix of the temporary folders in which a library is built."""


class Failure(NamedTuple):
    """A build that failed: when, with what command, and the compiler's message."""

    time: datetime.datetime
    command: str
    message: str


def compiler() -> str | None:
    """Return the C++ compiler: the environment's CXX, else c++, g++ or clang++; None if none is installed."""
    return next(
        (path for word in (os.environ.get("CXX"), "c++", "g++", "clang++") if word and (path := shutil.which(word))),
        None,
    )


@lru_cache
def compiler_version(tool: str) -> str:
    """Return what the compiler prints as its version, empty if it prints nothing."""
    try:
        return subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def flags() -> tuple[str, ...]:
    """Return the compiler's flags for the variant that is asked for; none if the kernels are turned off.

    Raises:
        UserError: ``MAMLPROBE_KERNELS`` is an unknown word or a variant that this processor cannot run.
    """
    variant = wanted()
    return () if variant is None else (*FLAGS, variant.flag)


@lru_cache
def kernels_path() -> Path | None:
    """Return where the kernels of this source, compiler and processor lie, or would lie; None without compiler.

    They have a folder of their own in the cache, which is the user's alone. ``MAMLPROBE_KERNELS=off`` in the
    environment turns them off, and so does ``gpu``, which leaves those of GPUs; ``avx512``, ``avx2`` and ``none`` ask
    for a variant. On a system where a file's owner cannot be determined there are none.

    Raises:
        UserError: as `flags`.
    """
    options, tool = flags(), compiler()
    if not options or tool is None or os.name != "posix":
        return None
    sources = (source.read_text() for source in SOURCES)
    identity = (*sources, compiler_version(tool), " ".join(options), platform.machine(), processor_flags())
    name = f"kernels-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}.so"
    return kernels_folder() / name


def kernels_folder() -> Path:
    """Return the folder of the user's kernels in the cache."""
    return cache_folder() / f"kernels-{os.geteuid() if hasattr(os, 'geteuid') else 0}"


def remove_kernels() -> int:
    """Remove the user's compiled kernels, and what builds have left, and return the number of files.

    Raises:
        OSError: the system refuses.
    """
    folder, names = kernels_folder(), re.compile(r"kernels-[0-9a-f]{16}\.(so|sha256|failed)")
    if folder.is_symlink() or not folder.is_dir():
        return 0
    count = 0
    with _alone(folder):
        for each in sorted(folder.iterdir()):
            if names.fullmatch(each.name):
                each.unlink()
                count += 1
            elif each.name.startswith(ASIDE) and not each.is_symlink():
                shutil.rmtree(each)
    return count


def build(path: Path, *, force: bool = False) -> None:
    """Compile the kernels into the library at `path`, unless a good one is there.

    One process at a time compiles, the others wait for it. A build that failed less than a day ago is not tried again.
    With `force` both are done again.

    Raises:
        Refused: the library cannot be built, or its folder cannot be made the user's own; the message says why.
    """
    tool = compiler()
    if tool is None:
        raise Refused("there is no C++ compiler")
    command = [tool, *flags()]
    try:
        _make_private(path.parent)
        with _alone(path.parent):
            if not force and _is_good(path):
                return
            failure = None if force else recent_failure(path)
            if failure is not None and failure.command == " ".join(command):
                raise Refused(failure.message)
            for left in path.parent.glob(f"{ASIDE}*"):  # left by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=ASIDE) as aside:
                _make(path, command, Path(aside))
    except OSError as error:
        raise Refused(f"{error.filename or path}: {error.strerror or error}") from None


def _make(path: Path, command: list[str], aside: Path) -> None:
    """Compile in the folder `aside`, try to load what was made, and put it in its place."""
    made, note, line = aside / path.name, failure_path(path), aside / "digest"
    message = _compile([*command, str(SOURCES[0].with_name("kernels.cpp")), "-o", str(made)], aside / "words")
    if not message:
        made.chmod(0o700)
        line.write_text(digest_line(made.read_bytes(), path.name))
        line.chmod(0o600)
        line.replace(digest_path(made))
        try:
            load_library(made)
        except Refused as reason:  # from a file system that nothing may be run from, for example
            message = str(reason)
    if message:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line.write_text(f"{now}\n{' '.join(command)}\n{message[:LONGEST]}\n")
        line.replace(note)
        raise Refused(message)
    path.unlink(missing_ok=True)  # so that library and digest never differ
    digest_path(made).replace(digest_path(path))
    made.replace(path)
    note.unlink(missing_ok=True)


def _compile(command: list[str], output: Path) -> str:
    """Run the compiler within the time limit; return its message if it fails, else an empty string."""
    with (
        output.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True) as process,
    ):
        try:
            code = process.wait(LIMIT)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that the compiler started
            if isinstance(error, subprocess.TimeoutExpired):
                return f"the compiler took longer than {LIMIT:g} seconds"
            raise
    if code == 0:
        return ""
    return output.read_text(errors="replace").strip() or f"the compiler ended with code {code} and said nothing"


def failure_path(path: Path) -> Path:
    """Return the path of the file that stores the compiler's message of a failed build."""
    return path.with_suffix(".failed")


def last_failure(path: Path) -> Failure | None:
    """Return how the build of the library at `path` failed; None if it did not."""
    try:
        with private_folder(path.parent):
            time, command, message = failure_path(path).read_text(errors="replace").split("\n", 2)
        return Failure(datetime.datetime.fromisoformat(time).astimezone(), command, message.strip())
    except (OSError, ValueError, Refused):
        return None


def recent_failure(path: Path) -> Failure | None:
    """Return how the build failed, if that was less than a day ago; of a full disk, less than ten minutes."""
    failure = last_failure(path)
    if failure is None:
        return None
    wait = SOON if any(text in failure.message for text in FULL) else AGAIN
    return failure if failure.time <= datetime.datetime.now(datetime.UTC) < failure.time + wait else None


def _is_good(path: Path) -> bool:
    try:
        os.close(open_library(path))
    except Refused:
        return False
    return True


def _make_private(folder: Path) -> None:
    """Make the folder accessible to the user alone; empty one that others could write to.

    Raises:
        Refused: it belongs to somebody else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        with private_folder(folder):
            return
    except Refused:
        if folder.lstat().st_uid != os.geteuid():
            raise
    folder.chmod(0o700)
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process builds in the folder, then lock it; the system unlocks it if this process dies."""
    opened = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        with suppress(OSError):  # a file system without locks
            lock_descriptor(opened)
        yield
    finally:
        os.close(opened)
