"""Weights & Biases: what its client is called with, each point once, also after a kill."""

import json
import os
import struct
import sys
import types
from importlib.util import find_spec

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.loggers.wandb_log import WandbLog
from tests.loggers.conftest import points

CLIENT = """
import json, os

class Error(Exception):
    pass

def init(**options):
    if os.environ.get("NO_LOGIN"):
        raise Error("no API key")
    return Run(options)

class Run:
    def __init__(self, options):
        self.offline = "OFFLINE" in os.environ
        self.starting_step = 0
        if options["resume"] == "allow" and not self.offline and os.path.exists(os.environ["CALLS"]):
            before = [json.loads(line) for line in open(os.environ["CALLS"])]
            self.starting_step = max([call[1] + 1 for call in before if call[0] == "log"], default=0)
        named = [options[name] for name in ("id", "resume", "name", "project")]
        self.put(["init", *named, options["config"]["way"]])
    def put(self, entry):
        with open(os.environ["CALLS"], "a") as file:
            file.write(json.dumps(entry) + "\\n")
    def log(self, values, step):
        if step == int(os.environ.get("LOST", -1)):
            return  # it never came to the server
        self.put(["log", step, values])
    def finish(self):
        self.put(["finish"])
"""


@pytest.fixture
def client(tmp_path):
    """A stand-in that writes its calls to a file; return the environment that has it, and what reads the calls."""
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "wandb.py").write_text(CLIENT)
    root = os.getcwd()
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'client'}:{root}", "CALLS": str(tmp_path / "calls")}

    def calls():
        return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]

    return environment, calls


def here(monkeypatch):
    """Have the stand-in in this process."""
    module = types.ModuleType("wandb")
    exec(CLIENT, module.__dict__)
    monkeypatch.setitem(sys.modules, "wandb", module)


def logged(calls):
    """(name, update) -> value; no point may be there twice."""
    pairs = [
        ((name, step), v) for kind, step, values in (c for c in calls if c[0] == "log") for name, v in values.items()
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("dies", [None, 3, 8])
def test_every_point_is_handed_over_once(trained, client, dies):
    environment, calls = client
    if dies is not None:
        trained("wandb", dies=dies, environment=environment)
    folder = trained("wandb", environment=environment)
    begun = [call for call in calls() if call[0] == "init"]
    assert len(begun) == 1 + (dies is not None)
    assert len({call[1] for call in begun}) == 1  # a run that goes on keeps its id
    assert begun[0][2:] == ["allow", folder.name, "mamlprobe", 3]
    assert calls()[-1] == ["finish"]
    assert logged(calls()) == points(folder)
    assert len(points(folder)) > 10


def test_what_the_server_did_not_get_comes_again(trained, client):
    environment, calls = client
    trained("wandb", dies=8, environment={**environment, "LOST": "6"})
    assert max(update for _, update in logged(calls())) == 8
    with open(environment["CALLS"]) as file:
        lines = [line for line in file if not line.startswith('["log", 8')]
    with open(environment["CALLS"], "w") as file:
        file.writelines(lines)
    folder = trained("wandb", environment=environment)
    assert logged(calls()) == points(folder)


def test_offline_a_run_that_goes_on_is_another_with_all_points(trained, client):
    environment, calls = client
    environment["OFFLINE"] = "1"
    trained("wandb", dies=8, environment=environment)
    folder = trained("wandb", environment=environment)
    ids = [call[1] for call in calls() if call[0] == "init"]
    assert len(set(ids)) == 2
    begun = [place for place, call in enumerate(calls()) if call[0] == "init"]
    assert logged(calls()[begun[1] :]) == points(folder)
    assert not (folder / "wandb" / "mamlprobe.json").exists()


def test_without_login_one_line_says_what_to_do(tmp_path, monkeypatch):
    here(monkeypatch)
    monkeypatch.setenv("NO_LOGIN", "1")
    line = r"train: wandb must let a run begin, got no API key; log in \(wandb login\), or set WANDB_MODE=offline"
    with pytest.raises(UserError, match=line):
        WandbLog(tmp_path, {})


@pytest.mark.parametrize("text", ["", "[]", '{"name": "a"}'])
def test_a_damaged_note_is_told(tmp_path, monkeypatch, text):
    here(monkeypatch)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "mamlprobe.json").write_text(text)
    with pytest.raises(UserError, match=r"train: .*mamlprobe.json must be whole, got something else; delete it"):
        WandbLog(tmp_path, {})


def records(path):
    """The records of a file of the client: a log of LevelDB behind seven bytes, in blocks of 32 kB."""
    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        room = 2**15 - at % 2**15
        if room < 7:
            at += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("wandb") is None, reason="the client is an extra")
@pytest.mark.parametrize("dies", [None, 8])
def test_the_client_itself_offline(trained, tmp_path, dies):
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", "HOME": str(tmp_path)}
    if dies is not None:
        trained("wandb", dies=dies, environment=environment)
    folder = trained("wandb", environment=environment)

    from wandb.proto.wandb_internal_pb2 import Record

    stored = max((folder / "wandb").glob("offline-run-*/*.wandb"), key=os.path.getmtime)
    seen = []
    for data in records(stored):
        items = Record.FromString(data).history.item
        row = {each.key or ".".join(each.nested_key): json.loads(each.value_json) for each in items}
        seen += [((name, row["_step"]), value) for name, value in row.items() if not name.startswith("_")]
    assert len(dict(seen)) == len(seen)
    assert dict(seen) == points(folder)
