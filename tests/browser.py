"""A real browser without a window, asked through its pipe: what a page says, how wide it is, what went wrong on it."""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = (1280, 900), (375, 800)
"""Width and height of a window."""

LONGEST = 60
"""Seconds to wait for an answer."""

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *(
        "--disable-dev-shm-usage",
        "--disable-component-update",
        "--disable-sync",
        "--disable-extensions",
        "--remote-debugging-pipe",
    ),
)


def program() -> str:
    """The browser's path; the test is skipped where there is none."""
    path = next((path for name in NAMES if (path := shutil.which(name))), None)
    if path is None:
        pytest.skip("no browser: install chromium")
    return path


class Ended(Exception):
    """The browser is gone."""


class Browser:
    """One page of a running browser."""

    def __init__(self, write: int, read: int) -> None:
        self.write, self.read, self.number, self.rest = write, read, 0, b""
        self.faults: list[str] = []
        self.session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{part}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask for one thing and wait for the answer; what the page complains about in between is kept."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], LONGEST)
            assert ready, f"the browser said nothing for {LONGEST} s"
            part = os.read(self.read, 1 << 16)
            if not part:
                raise Ended("the browser ended")
            self.rest += part
        text, _, self.rest = self.rest.partition(b"\0")
        message = json.loads(text)
        name, params = message.get("method"), message.get("params", {})
        if name == "Runtime.exceptionThrown":
            self.faults.append(str(params["exceptionDetails"].get("exception", {}).get("description", params)))
        if name == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.faults.append(str([each.get("value") for each in params["args"]]))
        if name == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.faults.append(params["entry"]["text"])
        if name == "Network.loadingFailed" and not params.get("canceled"):
            self.faults.append(params["errorText"])
        return message

    def open(self, path: Path, *, size: tuple[int, int] = WIDE, scheme: str = "light", scripts: bool = True) -> None:
        """Open a file in a window of this size, in a light or a dark scheme, and wait until it is there."""
        self.faults.clear()
        wide, high = size
        self.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=wide < 500)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + LONGEST
        while self.call("Runtime.evaluate", expression="document.readyState")["result"]["value"] != "complete":
            assert time.monotonic() < end, f"{path} was not there after {LONGEST} s"
            time.sleep(0.01)

    def ask(self, expression: str) -> Any:
        """The value of an expression on the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write what is seen to a PNG."""
        import base64

        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


def runs(path: str, folder: Path) -> bool:
    """Whether the browser can show an empty page by itself, without a pipe and without this module."""
    command = [path, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}-alone"]
    try:
        done = subprocess.run(
            [*command, "--dump-dom", "data:text/html,<p>here</p>"],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
            env=os.environ | {"HOME": str(folder)},
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and "here" in done.stdout


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run a browser whose profile lies in the folder."""
    command = [program(), *FLAGS, f"--user-data-dir={folder}"]
    ours, theirs = os.pipe(), os.pipe()

    def in_place() -> None:  # the browser reads commands from 3 and writes answers to 4
        read, write = os.dup(ours[0]), os.dup(theirs[1])
        os.dup2(read, 3)
        os.dup2(write, 4)

    environment = os.environ | {"HOME": str(folder)}
    process = subprocess.Popen(
        command, preexec_fn=in_place, close_fds=False, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(ours[0])
    os.close(theirs[1])
    try:
        try:
            page = Browser(ours[1], theirs[0])
        except (Ended, BrokenPipeError):
            code = process.wait()
            assert not runs(command[0], folder), f"the browser ended at once, with exit code {code}, and runs otherwise"
            pytest.skip(f"the browser cannot run on this machine: exit code {code}")
        yield page
    finally:
        process.kill()
        process.wait()
        os.close(ours[1])
        os.close(theirs[0])
