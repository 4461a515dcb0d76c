"""Builds the release and tries it: ``python -m tests.release [--out dist] [--fresh 3.11 3.12 3.13]``.

Without `--fresh` sdist and wheel are built and looked over. With it the wheel is installed with all that it needs in a
new environment of each of these Pythons, outside the checkout, and a newcomer's first steps are done there.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.release.building import build, contents, faults

STRANGER = Path(__file__).parent / "stranger.py"


def python_of(version: str) -> str | None:
    """Path of a Python of this version: on PATH, or one that pyenv has installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    known = [shutil.which(f"python{version}"), *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))]
    for path in filter(None, known):
        words = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() == version:
            return path
    return None


def fresh(version: str, wheel: Path, torch: str) -> str:
    """Install the wheel in a new environment, do a newcomer's steps, and return how that ended, in a line."""
    python = python_of(version)
    if python is None:
        return "not tried: there is no such Python"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(prefix="mamlprobe-") as place:
        made, work = Path(place, "venv"), Path(place, "work")
        work.mkdir()
        subprocess.run([python, "-m", "venv", str(made)], check=True, env=env)
        wanted = [f"{wheel}[reproduce]", *([f"torch=={torch}"] if torch else [])]
        words = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*words, *wanted], capture_output=True, text=True, check=False, env=env)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            return f"failed: pip could not install it: {(lines or ['no reason given'])[0]}"
        words = [str(made / "bin" / "python"), str(STRANGER)]
        done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False, env=env)
        return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stdout}{done.stderr}".strip()


def main() -> int:
    """Build, look over, try, and return the exit code: 0, or 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("dist"))
    parser.add_argument("--fresh", nargs="*", default=[], metavar="VERSION", help="Pythons to try the wheel with")
    parser.add_argument("--torch", default="", metavar="VERSION", help="the torch to try it with; else pip's choice")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mamlprobe-") as aside:
        sdist, wheel = build(options.out, Path(aside))
    bad = faults(contents(sdist), contents(wheel))
    print(*(f"{path} {path.stat().st_size / 1000:,.0f} kB" for path in (sdist, wheel)), *bad, sep="\n")
    for version in options.fresh if not bad else []:
        said = fresh(version, wheel, options.torch)
        print(f"{version}: {said}", flush=True)
        bad += [said] if said.startswith("failed") else []
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
