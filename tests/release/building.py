"""Builds sdist and wheel from the files of the checkout, the same bytes each time, and says what is wrong in them."""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

HOOK = "import sys, setuptools.build_meta as build; print(getattr(build, f'build_{sys.argv[1]}')(sys.argv[2]))"
"""What pip calls; run in the folder of the sources."""

NOT_RELEASED = ("tests/", "benchmarks/", "figures/", "docs/", ".ci/")
"""What neither file has: they hold what a user runs, the repository what a developer reads."""

SMALLEST_YEAR = 315532800
"""Seconds until 1980, the first year of a zip."""


def sources() -> list[str]:
    """Paths of the files that git would commit; all but caches where there is no git."""
    if (ROOT / ".git").exists():
        words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        named = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0")
        return sorted({name for name in named if name and (ROOT / name).is_file()})
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if not {"__pycache__", ".venv"} & set(path.parts))


def moment() -> int:
    """Seconds that every file is dated by: SOURCE_DATE_EPOCH, else the last commit."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    words = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else SMALLEST_YEAR


def build(out: Path, aside: Path) -> tuple[Path, Path]:
    """Return the sdist, and the wheel that is built from it alone; `aside` is an empty folder for the work."""
    when, out = moment(), out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("mamlprobe-*.tar.gz"), *out.glob("mamlprobe-*.whl")):
        old.unlink()
    for name in sources():
        place = aside / "sources" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place)
        place.chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)
        os.utime(place, (when, when))
    sdist = out / hooked("sdist", aside / "sources", out, when)
    dated(sdist, when)
    with tarfile.open(sdist) as archive:
        archive.extractall(aside, filter="data")
    return sdist, out / hooked("wheel", aside / sdist.name.removesuffix(".tar.gz"), out, when)


def hooked(kind: str, folder: Path, out: Path, when: int) -> str:
    """Name of the file that setuptools builds from this folder."""
    env = os.environ | {"SOURCE_DATE_EPOCH": str(when)}
    words = [sys.executable, "-c", HOOK, kind, str(out)]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, umask=0o022)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.split()[-1]


def dated(sdist: Path, when: int) -> None:
    """Write the archive again with its members in order, nobody's and of this moment."""
    with tarfile.open(sdist) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        contents = {member.name: archive.extractfile(member).read() for member in members if member.isfile()}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            whole = tarfile.TarInfo(member.name)
            whole.type, whole.mode, whole.mtime = member.type, member.mode, when
            whole.size = len(contents.get(member.name, b""))
            archive.addfile(whole, io.BytesIO(contents[member.name]) if member.isfile() else None)
    with sdist.open("wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=when) as packed:
        packed.write(raw.getvalue())


def contents(path: Path) -> dict[str, bytes]:
    """Files of an sdist (below its one folder) or of a wheel."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    with tarfile.open(path) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {each.name.partition("/")[2]: archive.extractfile(each).read() for each in files}


def faults(sdist: dict[str, bytes], wheel: dict[str, bytes]) -> list[str]:
    """What lacks in the two, what they have and should not have, and files that differ from the checkout's."""
    checkout = {name: (ROOT / name).read_bytes() for name in sources()}
    in_wheel = {name: name for name in checkout if name.startswith("mamlprobe/")}
    in_wheel |= {name: f"mamlprobe/{name}" for name in checkout if name.startswith("analyses/")}
    files = ("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "pyproject.toml", "setup.py")
    bad = [f"wheel: {name} lacks or differs" for name, place in in_wheel.items() if wheel.get(place) != checkout[name]]
    bad += [f"sdist: {n} lacks or differs" for n in (*in_wheel, *files) if sdist.get(n) != checkout.get(n, b"none")]
    info = {name for name in wheel if ".dist-info/" in name}
    bad += [f"wheel: {name} is too much" for name in wheel.keys() - info - set(in_wheel.values())]
    bad += [f"sdist: {name} is too much" for name in sdist if name.startswith(NOT_RELEASED)]
    if not any(name.endswith("licenses/LICENSE") for name in info):
        bad.append("wheel: the licence lacks")
    return bad
