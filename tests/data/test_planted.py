"""What is planted: variance by closed form, bodies that are shared or not, and the words that make tasks."""

import math
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator, random_keys
from mamlprobe.data.episodes import manifest
from mamlprobe.data.planted import PLANTED, Planted, taught
from mamlprobe.data.sources import load_source

WORDS = {"split": "train", "shot": 4, "query": 6, "tasks": 5, "seed": 3, "index": 2}
TEACHERS = {name: WORDS[name] for name in ("split", "tasks", "seed", "index")}


def values(source, tasks=1500, rows=400):
    """Targets [T, R] of many tasks at the same inputs, and the inputs [R, D]."""
    x = torch.randn(rows, source.inputs, generator=generator(0, "inputs"), dtype=torch.float64)
    return taught(x.expand(tasks, -1, -1), *source.teachers(split="test", tasks=tasks, seed=0))[..., 0], x


def left(source):
    """Mean squared error that the best head leaves on the mean teacher's features, by least squares on many points."""
    targets, x = values(source, tasks=5000, rows=1000)
    features = torch.tanh(x @ source.mean_teacher[0].mT)
    heads = torch.linalg.lstsq(features, targets.mT).solution
    return float((features @ heads - targets.mT).square().mean())


def test_shapes_and_kinds():
    episodes = Planted(dial=0.3).sample(**WORDS)
    assert episodes.support_x.shape == (5, 4, 20)
    assert episodes.query_x.shape == (5, 6, 20)
    assert episodes.support_y.shape == (5, 4, 1)
    assert episodes.query_y.shape == (5, 6, 1)
    assert {value.dtype for value in vars(episodes).values() if isinstance(value, torch.Tensor)} == {torch.float32}
    assert Planted(dial=0.3).input_shape == episodes.support_x.shape[2:]


def test_targets_are_the_formula_at_the_inputs():
    source = Planted(dial=0.4)
    episodes = source.sample(**WORDS)
    first, last = source.teachers(**TEACHERS)
    for task in range(5):
        for row in range(6):
            x = episodes.query_x[task, row].tolist()
            wanted = sum(
                float(a) * math.tanh(sum(float(w) * v for w, v in zip(unit, x, strict=True)))
                for unit, a in zip(first[task], last[task], strict=True)
            )
            assert float(episodes.query_y[task, row]) == pytest.approx(wanted, abs=3e-6)


@pytest.mark.parametrize("dial", [0, 0.3, 0.7, 1])
def test_the_variance_over_tasks_is_one(dial):
    targets, _ = values(Planted(dial=dial), tasks=4000, rows=500)
    assert float(targets.var(0).mean()) == pytest.approx(1, abs=0.03)


def test_sizes_have_a_closed_form_where_units_are_linear():
    """Then m - k(t) and m - c(t)^2 / m are both g^2 sin^2 t: units of two tasks correlate by cos^2 t on average."""
    source = Planted(dial=0.36, gain=1e-4)
    head, spread, angle = source.sizes
    unit, cosine = 1e-8, math.cos(angle)
    assert 4 * head**2 * unit * (1 - math.cos(math.pi / 4) ** 2) == pytest.approx(1, rel=1e-6)
    assert 4 * unit * (head**2 * (1 - cosine**2) + spread**2) == pytest.approx(1, rel=1e-6)
    assert 4 * unit * (head**2 + spread**2) * (1 - cosine**2) == pytest.approx(0.36, rel=1e-6)


def test_at_dial_zero_one_body_serves_all_tasks():
    source = Planted(dial=0)
    first, last = source.teachers(**TEACHERS)
    assert torch.equal(first, source.mean_teacher[0].expand(5, -1, -1))
    assert last.std(0).min() > 0.1
    assert left(source) < 1e-20
    assert int(torch.linalg.matrix_rank(values(source)[0], rtol=1e-9)) == 4


def test_at_dial_one_the_head_is_shared_and_no_body_of_few_features_serves():
    source = Planted(dial=1)
    first, last = source.teachers(**TEACHERS)
    assert torch.equal(last, source.mean_teacher[1].expand(5, -1))
    assert (first - source.mean_teacher[0]).norm(dim=2).min() > 1
    assert left(source) > 0.98
    powers = torch.linalg.svdvals(values(source)[0]).square() / values(source)[0].numel()
    assert float(powers[5:].sum()) > 0.7  # five features, the best there are
    assert float(powers[:16].sum() / powers.sum()) < 0.95


@pytest.mark.parametrize("dial", [0.25, 0.5, 0.75])
def test_between_heads_on_the_mean_body_leave_the_dial(dial):
    assert left(Planted(dial=dial)) == pytest.approx(dial * left(Planted(dial=1)), abs=0.02)


@pytest.mark.parametrize("dial", [0, 0.5, 1])
def test_units_keep_their_length(dial):
    first, _ = Planted(dial=dial).teachers(**TEACHERS)
    assert torch.allclose(first.norm(dim=2), torch.tensor(1.5, dtype=torch.float64))


def test_normal_numbers_are_their_keys():
    from scipy.special import ndtri

    _, last = Planted(dial=0).teachers(**TEACHERS)
    head, spread, _ = Planted(dial=0).sizes
    keys = random_keys(3, "planted", "train", 2, "head", shape=(5, 4))
    for task in range(5):
        for unit in range(4):
            wanted = head + spread * ndtri((int(keys[task, unit]) + 0.5) / 2**63)
            assert float(last[task, unit]) == pytest.approx(wanted, rel=1e-9)


def test_inputs_are_standard_normal():
    x = Planted(dial=0.5).sample(split="train", shot=500, query=1, tasks=100, seed=0).support_x.double().flatten(0, 1)
    assert float(x.mean(0).abs().max()) < 0.03
    assert float((x.mT @ x / len(x) - torch.eye(20)).abs().max()) < 0.04
    assert float(x.pow(4).mean()) == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("change", [{"split": "val"}, {"split": "test"}, {"seed": 4}, {"index": 3}])
def test_other_words_give_other_teachers_and_other_points(change):
    source = Planted(dial=0.5)
    here, there = source.sample(**WORDS), source.sample(**{**WORDS, **change})
    assert not set(here.support_x.flatten().tolist()) & set(there.support_x.flatten().tolist())
    for one, other in zip(source.teachers(**TEACHERS), source.teachers(**{**TEACHERS, **change}), strict=True):
        assert not set(one[..., -1].flatten().tolist()) & set(other[..., -1].flatten().tolist())


def test_the_dial_turns_the_same_random_numbers():
    low, high = Planted(dial=0.2), Planted(dial=0.9)
    assert torch.equal(low.sample(**WORDS).query_x, high.sample(**WORDS).query_x)
    one, other = (source.teachers(**TEACHERS)[0][..., 4:] for source in (low, high))
    assert torch.allclose(torch.cosine_similarity(one, other, dim=2), torch.ones(5, 4, dtype=torch.float64))


def test_names_digests_and_descriptions():
    assert len({each.digest() for each in PLANTED.values()}) == len(PLANTED) == 101
    assert PLANTED["planted-0.3"] == Planted(dial=0.3)
    assert {"planted-0", "planted-0.07", "planted-1"} <= set(PLANTED)
    assert Planted(dial=0.3).digest() == Planted(dial=0.3).to("meta").digest() != Planted(dial=0.3, gain=2).digest()
    told = Planted(dial=0.3).describe().set_index("quantity")["value"]
    assert told["units"] == 4
    assert told["angle"] == Planted(dial=0.3).sizes[2]
    assert "30 % of what varies" in Planted(dial=0.3).source


def test_sources_by_name_and_drawn():
    assert load_source("planted-0.3") == Planted(dial=0.3)
    words = {"split": "train", "shot": 2, "query": 3, "tasks": 2, "seed": 1}
    assert manifest(Planted(dial=1).sample(way=1, **words)) == manifest(Planted(dial=1).sample(**words))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dial": 1.5}, r"^planted: dial must lie in 0-1, got 1.5; 0 is the head alone, 1 the body alone"),
        ({"units": 0}, r"^planted: inputs must be at least twice the units, .* got 20 inputs, 0 units; raise inputs"),
        ({"units": 11}, r"^planted: inputs must be at least twice the units, .* got 20 inputs, 11 units; raise inputs"),
        ({"gain": 0.0}, r"^planted: gain must be positive, got 0"),
        ({"turn": 0.0}, r"^planted: turn must lie above 0 and up to pi / 2, got 0"),
    ],
)
def test_impossible_families_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        replace(Planted(dial=0), **change)
