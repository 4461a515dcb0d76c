"""An encoder of Learning to Compare with its relation network: found beside it, or stated, and asked on tasks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.cli import main
from mamlprobe.data.episodes import Episodes
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.foreign.relation_network import partner
from mamlprobe.foreign.write import write_foreign
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.inner import InnerWords, restated
from tests.foreign.recipes import ENCODERS, RECIPES, relation_state

ENCODER = ENCODERS["Learning to Compare, feature encoder"]
LINE = "seen: its relation network in a_relation_network_5way.pkl"


@pytest.fixture
def folder(tmp_path):
    """An encoder and its relation network under the names of the authors' files."""
    torch.save(ENCODER.made().saved, tmp_path / "a_feature_encoder_5way.pkl")
    torch.save(relation_state(4), tmp_path / "a_relation_network_5way.pkl")
    return tmp_path


def tasks():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5 * 2 + 5 * 4, 1, 28, 28, generator=random)
    y = torch.arange(5).repeat(3, 6)
    return Episodes(support_x=x[:, :10], support_y=y[:, :10], query_x=x[:, 10:], query_y=y[:, 10:])


def by_hand(episodes, *, running):
    """Accuracy of every task, from the files' tensors by torch's functions alone, pair by pair, in float64."""
    made, state = ENCODER.made(), {name: value.double() for name, value in relation_state(4).items()}
    right = []
    for sx, sy, qx, qy in zip(episodes.support_x, episodes.support_y, episodes.query_x, episodes.query_y, strict=True):
        support, query = (made.features(x, running=running).reshape(len(x), 4, 5, 5) for x in (sx, qx))
        pairs = [torch.cat([support[sy == label].sum(0), item]) for item in query for label in range(5)]
        z = torch.stack(pairs)
        for layer in ("layer1", "layer2"):
            z = F.conv2d(z, state[f"{layer}.0.weight"], state[f"{layer}.0.bias"], padding=1)
            moments = [state[f"{layer}.1.running_{word}"] if running else None for word in ("mean", "var")]
            norm = state[f"{layer}.1.weight"], state[f"{layer}.1.bias"]
            z = F.max_pool2d(F.batch_norm(z, *moments, *norm, training=not running).relu(), 2)
        hidden = F.linear(z.flatten(1), state["fc1.weight"], state["fc1.bias"]).relu()
        scores = F.linear(hidden, state["fc2.weight"], state["fc2.bias"]).reshape(len(query), 5)
        right.append(float((scores.argmax(1) == qy).double().mean()))
    return right


@pytest.mark.parametrize("running", [False, True])
def test_tasks_are_scored_by_the_network_beside_the_encoder(running, folder):
    found = load_foreign(folder / "a_feature_encoder_5way.pkl")
    assert LINE in found.lines
    assert found.method.readout == "relation"
    assert found.experiment.net.headless
    method = restated(found.method, InnerWords(norm="running" if running else "batch"))
    episodes = tasks()
    table = evaluate(found.net, found.theta.to(dtype=torch.float64), episodes, {"keep": method})
    wanted = by_hand(episodes, running=running)
    np.testing.assert_allclose(table["value"], wanted, atol=1e-12)
    assert len(set(wanted)) > 1


def test_either_file_of_the_pair_can_be_named(folder, capsys):
    one = load_foreign(folder / "a_feature_encoder_5way.pkl")
    other = load_foreign(folder / "a_relation_network_5way.pkl")
    assert (one.lines, one.file) == (other.lines, other.file)
    assert all(torch.equal(one.theta.extra[name], value) for name, value in other.theta.extra.items())
    assert partner(folder / "a_relation_network_5way.pkl", encoder=True) == folder / "a_feature_encoder_5way.pkl"
    assert partner(folder / "a_feature_encoder_9way.pkl", encoder=False) is None
    assert main(["import", str(folder / "a_relation_network_5way.pkl"), "--out", str(folder / "run")]) == 0
    assert LINE in capsys.readouterr().out.splitlines()
    run = load_run(folder / "run")
    assert all(torch.equal(run.theta(0).extra[name], value) for name, value in one.theta.extra.items())
    assert write_foreign(one.judged_by(dataset="omniglot"), folder / "again").config.method.readout == "relation"


def test_the_network_is_stated_where_names_do_not_tell(folder):
    (folder / "b.pkl").write_bytes((folder / "a_feature_encoder_5way.pkl").read_bytes())
    alone = load_foreign(folder / "b.pkl")
    assert alone.method.readout == "prototype"
    assert alone.theta.extra == {}
    assert "assumed: read out by prototypes, without its relation network (say --relation)" in alone.lines
    stated = load_foreign(folder / "b.pkl", relation=folder / "a_relation_network_5way.pkl")
    assert stated.method.readout == "relation"
    without = load_foreign(folder / "a_feature_encoder_5way.pkl", inner=InnerWords(readout="cosine"))
    assert without.method.readout == "cosine"
    headed = load_foreign(folder / "a_feature_encoder_5way.pkl", head="zero")
    assert headed.method.readout == "head"


def test_other_files_are_refused_in_one_line(folder):
    torch.save(relation_state(3), folder / "small.pkl")
    torch.save(RECIPES["learn2learn CNN4"].made().saved, folder / "headed.pt")
    for file, network, line in [
        ("a_feature_encoder_5way.pkl", "small.pkl", "small.pkl must be the relation network of a_feature_encoder_5way"),
        ("a_feature_encoder_5way.pkl", "headed.pt", "headed.pt must hold a relation network: layer1, layer2, fc1 and"),
        ("headed.pt", "a_relation_network_5way.pkl", "must be that of an encoder without a head, got a head in headed"),
    ]:
        with pytest.raises(UserError, match=line):
            load_foreign(folder / file, relation=folder / network)


def test_a_readout_that_has_no_network_says_so(folder):
    (folder / "b.pkl").write_bytes((folder / "a_feature_encoder_5way.pkl").read_bytes())
    alone = load_foreign(folder / "b.pkl", inner=InnerWords(readout="relation"))
    with pytest.raises(UserError, match="readout relation needs a relation network, got none in theta; import an enc"):
        evaluate(alone.net, alone.theta, tasks(), {"keep": alone.method})


def test_a_survey_asks_the_pair_once(folder, images, capsys):
    words = ["--dataset", str(images), "--episodes", "2", "--query", "2", "--way", "3", "--out", str(folder / "out")]
    assert main(["survey", str(folder), *words]) == 0
    said = capsys.readouterr().out
    assert "a relation network must go with its encoder, got that of a_feature_encoder_5way.pkl" in said
