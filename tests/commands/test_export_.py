"""The command `export`: what it says and writes, and the mistakes that it ends with."""

import shlex

import pytest
import torch
from safetensors.torch import load_file

from mamlprobe.cli import main
from mamlprobe.runs.folder import load_run
from tests.tiny import SMALL


@pytest.fixture(scope="module")
def pooled(tmp_path_factory, images):
    """A run whose net is one that learn2learn and torchmeta have."""
    out = tmp_path_factory.mktemp("pooled")
    words = [*shlex.split(SMALL), "--net.down", "pool", "--dataset", str(images), "--out", str(out)]
    assert main(["train", "meta-sgd", *words]) == 0
    return str(next(out.glob("meta-sgd-*")))


def test_a_file_and_the_lines_on_it(pooled, tmp_path, capsys):
    out = tmp_path / "new" / "net.pt"
    assert main(["export", pooled, "--as", "torchmeta", "--out", str(out), "--update", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("torchmeta: torchmeta's example, 10 tensors, ")
    assert said[1:3] == ["left out: learned inner rates", "left out: running moments"]
    assert said[3].startswith("left out: the inner loop (inner rate ")
    assert said[4:] == [f"file: {out}"]
    weight = torch.load(out, weights_only=True)["features.1.0.weight"]
    assert torch.equal(weight, load_run(pooled).theta(1).net["body.2.conv.weight"])
    assert not torch.equal(weight, load_run(pooled).theta(2).net["body.2.conv.weight"])


def test_it_is_read_by_import(pooled, tmp_path, capsys):
    assert main(["export", pooled, "--as", "learn2learn", "--out", str(tmp_path / "net.pt")]) == 0
    assert main(["import", str(tmp_path / "net.pt"), "--out", str(tmp_path / "again")]) == 0
    net, again = load_run(pooled).theta().net, load_run(tmp_path / "again").theta().net
    assert net.keys() == again.keys()
    assert all(torch.equal(net[name], again[name]) for name in net)
    assert "seen: learn2learn CNN4: 2 blocks" in capsys.readouterr().out


def test_all_of_theta(pooled, tmp_path):
    assert main(["export", pooled, "--as=safetensors", "--out", str(tmp_path / "a")]) == 0
    theta, tensors = load_run(pooled).theta(), load_file(tmp_path / "a")
    assert {name.partition(".")[0] for name in tensors} == {"net", "rates", "moments"}
    assert all(torch.equal(tensors[f"rates.{name}"], value) for name, value in theta.rates.items())


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_a_module_of_one_s_own(foreign, files, tmp_path, capsys, line):
    words = ["export", foreign, "--as", "torchscript", "--out", str(tmp_path / "net.pt"), "--norm", "running"]
    assert "must come from you" in line(*words)
    capsys.readouterr()
    assert main([*words, "--module", f"{files[1]}:Net"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("torchscript: logits and features of rows [R, 1, 28, 28], found by trial, norm running\n")
    logits, features = torch.jit.load(tmp_path / "net.pt")(torch.zeros(4, 1, 28, 28))
    assert (logits.shape, features.shape) == ((4, 3), (4, 243))


def test_mistakes_are_one_line_and_leave_nothing(run, pooled, tmp_path, line, monkeypatch):
    out = tmp_path / "net.pt"
    assert line("export", run, "--as", "learn2learn", "--out", out).startswith(
        "export: learn2learn must be given a net"
    )
    assert "did you mean torchmeta, torchscript?" in line("export", pooled, "--as", "torchmata", "--out", out)
    assert "must have a checkpoint of the update, got 9" in line(
        "export", pooled, "--as", "torchmeta", "--out", out, "--update", "9"
    )
    assert "missing from mamlprobe export: --as" in line("export", pooled, "--out", out)
    assert "--format; see mamlprobe export --help" in line("export", pooled, "--format", "onnx", "--out", out)
    assert line("export", pooled, "--as", "torchmeta", "--out", "/dev/null") == (
        "write: /dev/null must be a file, got a device; name another"
    )
    assert line("export", pooled, "--as", "torchmeta", "--out", tmp_path).endswith(
        "must be a file, got a folder; name a file in it"
    )
    monkeypatch.setattr("mamlprobe.foreign.plain_module.find_spec", lambda name: None)
    assert "pip install onnx onnxscript" in line("export", pooled, "--as", "onnx", "--out", out)
    assert list(tmp_path.iterdir()) == []
