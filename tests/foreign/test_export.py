"""The weights of a run as files for other programs: they come back, and what cannot be is refused."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.foreign import export as exports
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.checkpoint import load_checkpoint
from tests.foreign.exported import MODULE, NET, STRIDED, made_run, passed, rows

FAMILIES = {
    "CNN4": ("learn2learn", NET, "learn2learn CNN4"),
    "CNN4, 84 pixels": ("learn2learn", replace(NET, image=(3, 84, 84)), "learn2learn CNN4"),
    "OmniglotCNN": ("learn2learn", NetSpec(kind="layers", stack=STRIDED, image=(1, 28, 28)), "learn2learn OmniglotCNN"),
    "OmniglotCNN of one place": (
        "learn2learn",
        replace(NET, down="stride", image=(1, 16, 16)),
        "learn2learn OmniglotCNN",
    ),
    "torchmeta": ("torchmeta", NET, "torchmeta's examples or BOIL"),
    "blocks in words": (
        "torchmeta",
        NetSpec(kind="layers", stack=("conv 4 3 1 1,norm,relu,pool 2 2",) * 2, image=(1, 8, 8)),
        "torchmeta's examples or BOIL",
    ),
    "no head bias": ("torchmeta", replace(NET, head_bias=False), "torchmeta's examples or BOIL"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_s_file_comes_back_with_the_same_logits(name, tmp_path):
    kind, spec, family = FAMILIES[name]
    run = made_run(tmp_path / "run", spec)
    written = mp.export(run, kind=kind, out=tmp_path / "net.pt")
    read = mp.load_foreign(tmp_path / "net.pt", image=spec.image)
    assert any(line.startswith(f"seen: {family}: ") for line in read.lines)
    assert not any("tensors" in line for line in read.left_out)
    theta = read.theta.to(dtype=torch.float64)
    x = rows(run)
    torch.testing.assert_close(
        read.net(add_task_axis(theta.net), x[None]).logits, passed(run, x).logits, rtol=0, atol=1e-6
    )
    if kind == "learn2learn":
        moments = add_task_axis(theta.moments)
        again = read.net(add_task_axis(theta.net), x[None], moments=moments).logits
        torch.testing.assert_close(again, passed(run, x, running=True).logits, rtol=0, atol=1e-6)
    inner = "the inner loop (inner rate 0.01, 10 steps, all parameters adapt, norm batch, readout head)"
    assert written.left_out == (("running moments",) if kind == "torchmeta" else ()) + (inner,)


def test_names_are_the_families(tmp_path):
    files = {}
    for name in ("CNN4", "OmniglotCNN", "torchmeta"):
        kind, spec, _ = FAMILIES[name]
        mp.export(made_run(tmp_path / name, spec), kind=kind, out=tmp_path / "net.pt")
        files[name] = torch.load(tmp_path / "net.pt", weights_only=True)
    assert {type(each).__name__ for each in files.values()} == {"OrderedDict"}
    norm = ("weight", "bias", "running_mean", "running_var")
    cnn4 = [
        f"features.{i}.{part}"
        for i in range(4)
        for part in ("conv.weight", "conv.bias", *map("normalize.{}".format, norm))
    ]
    assert list(files["CNN4"]) == [*cnn4, "classifier.weight", "classifier.bias"]
    omniglot = [name.replace("features", base) for base in ("base", "features.1") for name in cnn4]
    assert list(files["OmniglotCNN"]) == [*omniglot, "classifier.weight", "classifier.bias"]
    torchmeta = [f"features.{i}.{part}" for i in range(4) for part in ("0.weight", "0.bias", "1.weight", "1.bias")]
    assert list(files["torchmeta"]) == [*torchmeta, "classifier.weight", "classifier.bias"]
    assert files["CNN4"]["features.2.conv.weight"].shape == (4, 4, 3, 3)


def test_safetensors_hold_all_to_the_bits(tmp_path):
    run = made_run(tmp_path / "run", method=METHODS["mamlpp"])
    written = mp.export(run.path, kind="safetensors", out=tmp_path / "a.safetensors")
    assert written.left_out == ()
    theta = run.theta()
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()["mamlprobe"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    wanted = {
        f"{part}.{name}": value
        for part in ("net", "rates", "moments", "extra")
        for name, value in getattr(theta, part).items()
    }
    assert {name.partition(".")[0] for name in wanted} == {"net", "rates", "moments", "extra"}
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[name], value) for name, value in wanted.items())
    assert (about["run"], about["update"], about["settings"]["net"]["filters"]) == ("run", 0, 4)
    assert about["digest"] == exports.digest(tensors)


def test_the_update_is_the_one_that_is_named(runs, tmp_path):
    for update in (1, 2):
        mp.export(runs[0], kind="safetensors", out=tmp_path / "a.safetensors", update=update)
        run = mp.load_run(runs[0])
        theta = load_checkpoint(run.path / "checkpoints" / f"u{update:06d}.safetensors", run.theta()).theta
        with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
            assert json.loads(file.metadata()["mamlprobe"])["update"] == update
            assert torch.equal(file.get_tensor("net.head.weight"), theta.net["head.weight"])


def test_what_a_family_cannot_hold_is_said(tmp_path):
    run = made_run(tmp_path / "run", method=METHODS["mamlpp"])
    left = mp.export(run, kind="learn2learn", out=tmp_path / "net.pt").left_out
    assert left[:-1] == ("learned inner rates", "norm weights of the later steps", "moments of the later steps")
    theta, state = run.theta(), torch.load(tmp_path / "net.pt", weights_only=True)
    assert torch.equal(state["features.1.normalize.weight"], theta.extra["steps.body.2.norm.weight"][0])
    assert torch.equal(state["features.1.normalize.running_var"], theta.moments["body.2.norm.var"][0])
    headless = made_run(tmp_path / "encoder", replace(NET, headless=True), METHODS["protonet"])
    left = mp.export(headless, kind="torchmeta", out=tmp_path / "net.pt").left_out
    assert left[0] == "the head, which was never learned"
    assert not any(name.startswith("classifier") for name in torch.load(tmp_path / "net.pt", weights_only=True))


REFUSED = {
    "order": replace(NET, order="conv-relu-bn"),
    "down": replace(NET, down="stride"),
    "unpadded": replace(NET, down="unpadded"),
    "widths": NetSpec(
        kind="layers",
        stack=("conv 4 3 1 1, norm, relu, pool 2 2", "conv 8 3 1 1, norm, relu, pool 2 2"),
        image=(1, 8, 8),
    ),
    "eps": NetSpec(kind="layers", stack=("conv 4 3 1 1, norm 0.001, relu, pool 2 2",) * 2, image=(1, 8, 8)),
    "mlp": NetSpec(kind="mlp", image=(1, 4, 4)),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["learn2learn", "torchmeta"])
def test_other_blocks_are_refused_in_a_line(name, kind, tmp_path):
    run = made_run(tmp_path / "run", REFUSED[name])
    with pytest.raises(UserError) as caught:
        mp.export(run, kind=kind, out=tmp_path / "net.pt")
    line = str(caught.value)
    assert line.startswith(f"export: {kind} must be given a net of blocks (conv 3 1 1, norm, relu, pool 2 2)")
    assert f"got a net of kind {REFUSED[name].kind} with blocks (" in line
    assert line.endswith("; take safetensors or torchscript or onnx")
    assert not (tmp_path / "net.pt").exists()


def test_another_kind_that_fits_is_named(tmp_path):
    run = made_run(tmp_path / "run", FAMILIES["OmniglotCNN"][1])
    with pytest.raises(UserError, match="; take learn2learn or safetensors or torchscript or onnx"):
        mp.export(run, kind="torchmeta", out=tmp_path / "net.pt")


def test_a_module_of_the_user_s_own(tmp_path, monkeypatch):
    (tmp_path / "exportednets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = NetSpec(kind="module", module="exportednets:Net", head="fc", image=(1, 9, 9), output="logits")
    path = made_run(tmp_path / "run", spec).path
    with pytest.raises(UserError, match="got a module exportednets:Net; take safetensors or torchscript or onnx"):
        mp.export(path, kind="learn2learn", out=tmp_path / "net.pt")
    with pytest.raises(UserError, match="must come from you"):
        mp.export(path, kind="torchscript", out=tmp_path / "net.pt")
    mp.export(path, kind="torchscript", out=tmp_path / "net.pt", module="exportednets:Net")
    assert mp.export(mp.load_run(path), kind="safetensors", out="a", module="exportednets:Net").kind == "safetensors"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_torchscript_says_what_it_is(tmp_path):
    run = made_run(tmp_path / "run", method=replace(METHODS["mamlpp"], readout="cosine"))
    written = mp.export(run, kind="torchscript", out=tmp_path / "net.pt", norm="running")
    extra = {"mamlprobe.json": ""}
    torch.jit.load(tmp_path / "net.pt", _extra_files=extra)
    about = json.loads(extra["mamlprobe.json"])
    assert (about["norm"], about["update"], about["run"], about["image"]) == ("running", 0, "run", [1, 28, 28])
    assert about["left_out"] == list(written.left_out)
    assert written.left_out[-1] == "readout cosine (the logits are the head's)"
    assert written.holds == "logits and features of rows [R, 1, 28, 28], norm running"
    assert written.lines[-1] == f"file: {tmp_path / 'net.pt'}"


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
@pytest.mark.parametrize(
    ("statistics", "norm", "used"),
    [
        ("batch", None, "batch"),
        ("running", None, "running"),
        ("running", "batch", "batch"),
        ("batch", "running", "running"),
        ("per_step", None, "running"),
        ("per_step_unused", None, "batch"),
        ("support", "batch", "batch"),
    ],
)
def test_norms_go_by_what_is_said_or_the_run_has(statistics, norm, used, tmp_path):
    maml = METHODS["maml"]
    method = replace(
        maml, norm=replace(maml.norm, statistics=statistics), inner=replace(maml.inner, test_steps=maml.inner.steps)
    )
    run = made_run(tmp_path / "run", method=method)
    written = mp.export(run, kind="torchscript", out=tmp_path / "net.pt", norm=norm)
    assert written.holds.endswith(f"norm {used}")
    assert ("running moments (norms go by each batch)" in written.left_out) is (used == "batch")
    x = rows(run, dtype=torch.float32)
    logits, features = torch.jit.load(tmp_path / "net.pt")(x)
    theta = run.theta()
    moments = {name: value[0] if value.ndim > 1 else value for name, value in theta.moments.items()}
    wanted = run.net()(add_task_axis(theta.net), x[None], moments=add_task_axis(moments) if used == "running" else None)
    torch.testing.assert_close(logits, wanted.logits[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features, wanted.features[0], rtol=1e-4, atol=1e-4)


def test_norms_that_cannot_be(tmp_path):
    maml = METHODS["maml"]
    run = made_run(tmp_path / "run", method=replace(maml, norm=replace(maml.norm, statistics="support")))
    with pytest.raises(UserError, match="got support, the support set's; say norm batch or running"):
        mp.export(run, kind="torchscript", out="net.pt")
    with pytest.raises(UserError, match="the norm must be a known one, got 'per_step'"):
        mp.export(run, kind="torchscript", out="net.pt", norm="per_step")
    with pytest.raises(UserError, match="norm must be left out of learn2learn, got batch"):
        mp.export(run, kind="learn2learn", out="net.pt", norm="batch")
    bare = made_run(tmp_path / "mlp", NetSpec(kind="mlp", image=(1, 4, 4)))
    with pytest.raises(UserError, match="norm running needs running moments, got none in the run"):
        mp.export(bare, kind="torchscript", out="net.pt", norm="running")


def test_kinds_and_updates_that_there_are_not(tmp_path):
    run = made_run(tmp_path / "run")
    with pytest.raises(
        UserError, match="the kind of file must be a known one, got 'torchmete'; did you mean torchmeta"
    ):
        mp.export(run, kind="torchmete", out="net.pt")
    with pytest.raises(UserError, match="must have a checkpoint of the update, got 7; the nearest are 0"):
        mp.export(run, kind="safetensors", out="net.pt", update=7)
    with pytest.raises(UserError, match="the run folder must exist"):
        mp.export("nowhere", kind="safetensors", out="net.pt")


def test_a_file_is_replaced_whole_or_left(tmp_path, monkeypatch):
    run = made_run(tmp_path / "run")
    out, other = tmp_path / "net.pt", tmp_path / "other.pt"
    out.write_text("old")
    with pytest.raises(UserError, match="must be left out"):
        mp.export(run, kind="torchmeta", out=out, norm="batch")
    assert out.read_text() == "old"
    mp.export(run, kind="torchmeta", out=out)
    whole = out.read_bytes()
    other.symlink_to(out)
    mp.export(run, kind="safetensors", out=other)
    assert not other.is_symlink()  # a link is replaced, not written through
    assert out.read_bytes() == whole
    with pytest.raises(UserError, match=r"must be a file, got a folder|must be a file"):
        mp.export(run, kind="safetensors", out=tmp_path / "run")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="there must be room"):
        mp.export(run, kind="safetensors", out=out)
    assert out.read_bytes() == whole
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.pt", "other.pt", "run"]
