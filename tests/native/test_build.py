"""The build of the kernels: done once, its failures kept and not repeated for a day, within a time limit, by one."""

import datetime
import select
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mamlprobe.native import build, load
from tests.native.conftest import ANSWER, count, forget

FAILS = 'echo "no wonder: vector of 3 eggs" >&2; exit 1'


def test_a_failure_is_kept_and_not_repeated_for_a_day(place, tool):
    calls = tool(FAILS)
    path = build.kernels_path()
    note = build.failure_path(path)
    assert load.why_not() == "not compiled yet"
    assert not load.compile_kernels()
    assert load.kernels() is None
    when, command, words = note.read_text().split("\n", 2)
    assert abs(datetime.datetime.fromisoformat(when) - datetime.datetime.now(datetime.UTC)).total_seconds() < 3600
    assert command == f"{calls.parent}/tool -shared -fPIC -march=native"
    assert words == "no wonder: vector of 3 eggs\n"
    assert load.why_not().endswith(": no wonder: vector of 3 eggs")
    assert {each.name for each in path.parent.iterdir()} == {note.name, ".lock"}

    assert not load.compile_kernels()
    assert count(calls) == 1
    assert not load.compile_kernels(force=True)
    assert count(calls) == 2

    for days, more in ((0.9, 0), (1.1, 1), (-1, 1)):  # the last by a clock that was wrong
        then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
        note.write_text(f"{then.isoformat()}\n{command}\n{words}")
        before = count(calls)
        assert not load.compile_kernels()
        assert count(calls) == before + more, days

    note.write_text("no time\n")
    assert build.last_failure(path) is None
    assert not load.compile_kernels()


def test_a_full_disk_is_tried_again_after_ten_minutes(place, tool):
    calls = tool('echo "fatal error: error writing to /tmp/cc.s: No space left on device" >&2; exit 1')
    assert not load.compile_kernels()
    note = build.failure_path(build.kernels_path())
    _, command, words = note.read_text().split("\n", 2)
    for minutes, more in ((9, 0), (11, 1)):
        then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes)
        note.write_text(f"{then.isoformat()}\n{command}\n{words}")
        before = count(calls)
        assert not load.compile_kernels()
        assert count(calls) == before + more, minutes


def test_another_compiler_is_tried_at_once(place, tool):
    calls = tool(FAILS)
    assert not load.compile_kernels()
    tool(FAILS, version="2")
    assert not load.compile_kernels()
    assert count(calls) == 2


def test_a_build_that_works_again_leaves_no_failure(place, tool):
    tool(FAILS)
    assert not load.compile_kernels()
    tool('exec "$real" "$@"')
    assert not load.compile_kernels()
    assert load.compile_kernels(force=True)
    assert build.last_failure(build.kernels_path()) is None
    assert load.why_not() == ""


def test_a_library_that_cannot_be_loaded_is_a_failure(place, monkeypatch):
    monkeypatch.setattr(build, "FLAGS", ("-c",))
    forget()
    assert not load.compile_kernels()
    assert "cannot be loaded" in build.last_failure(build.kernels_path()).message
    assert not build.kernels_path().exists()


def test_silence_is_a_reason_too(place, tool):
    tool("exit 3")
    assert not load.compile_kernels()
    assert load.why_not().endswith("the compiler ended with code 3 and said nothing")


def test_the_compiler_has_a_time_limit(place, tool, monkeypatch):
    """What it started ends with it."""
    calls = tool('sleep 600 &\necho $! > "$(dirname "$0")/child"\nwait')
    monkeypatch.setattr(build, "LIMIT", 2.0)
    assert not load.compile_kernels()
    assert load.why_not().endswith("the compiler took longer than 2 seconds")
    status = Path(f"/proc/{(calls.parent / 'child').read_text().strip()}/stat")
    for _ in range(100):
        if not status.exists() or status.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("still there")


def test_of_two_at_once_one_compiles(place, tool):
    calls = tool('sleep 1\nexec "$real" "$@"')
    path = build.kernels_path()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(build.build, [path] * 3))
    assert count(calls) == 1
    assert load.kernels().answer() == ANSWER


def test_what_a_killed_process_left_is_taken_away(place):
    left = place.parent / f"{build.ASIDE}x"
    left.mkdir(parents=True)
    place.parent.chmod(0o700)
    (left / "words").write_text("half")
    assert load.compile_kernels()
    assert sorted(each.suffix or each.name for each in place.parent.iterdir()) == [".lock", ".sha256", ".so"]


def test_a_compiler_without_version_is_a_compiler(place, tmp_path, monkeypatch):
    tool = tmp_path / "none"
    tool.write_bytes(b"\x00 no program")
    tool.chmod(0o755)
    monkeypatch.setenv("CXX", str(tool))
    forget()
    assert not load.compile_kernels()
    assert load.why_not()


def test_one_process_at_a_time_builds(tmp_path):
    """Another waits until the folder is free."""
    code = "import sys\nfrom pathlib import Path\nfrom mamlprobe.native.build import _alone\n"
    code += "with _alone(Path(sys.argv[1])):\n    print('in', flush=True)\n    sys.stdin.read()\n"
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:
        said, _, _ = select.select([first.stdout, second.stdout], [], [], 60)
        assert len(said) == 1
        waiting = second if said[0] is first.stdout else first
        assert select.select([waiting.stdout], [], [], 0.5)[0] == []
        (first if waiting is second else second).kill()
        assert select.select([waiting.stdout], [], [], 60)[0] == [waiting.stdout]
        waiting.stdin.close()
