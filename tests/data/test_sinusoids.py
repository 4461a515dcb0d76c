"""Curves against their formula, their distribution, and the words that make them."""

import math
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import random_keys
from mamlprobe.data.episodes import manifest
from mamlprobe.data.sampling import sample
from mamlprobe.data.sinusoids import FORMULAS, Sinusoids, curve
from mamlprobe.data.sources import load_source

WORDS = {"split": "train", "shot": 4, "query": 6, "tasks": 5, "seed": 3, "index": 2}


@pytest.fixture
def source():
    return Sinusoids()


def test_shapes_and_kinds(source):
    episodes = source.sample(**WORDS)
    assert episodes.support_x.shape == episodes.support_y.shape == (5, 4, 1)
    assert episodes.query_x.shape == episodes.query_y.shape == (5, 6, 1)
    assert {getattr(episodes, f"{part}_{end}").dtype for part in ("support", "query") for end in "xy"} == {
        torch.float32
    }
    assert source.input_shape == episodes.support_x.shape[2:]


def test_targets_are_the_formula_at_the_inputs(source):
    episodes = source.sample(**WORDS)
    amplitude, phase = source.curves(split="train", tasks=5, seed=3, index=2)
    for part in ("support", "query"):
        x, y = getattr(episodes, f"{part}_x"), getattr(episodes, f"{part}_y")
        for task in range(5):
            for row in range(x.shape[1]):
                wanted = float(amplitude[task]) * math.sin(float(x[task, row]) - float(phase[task]))
                assert float(y[task, row]) == pytest.approx(wanted, abs=3e-6)


def test_a_number_is_its_key_over_the_range(source):
    keys = random_keys(3, "sinusoids", "train", 2, "curves", shape=(2, 5))
    amplitude, phase = source.curves(split="train", tasks=5, seed=3, index=2)
    for task in range(5):
        assert float(amplitude[task]) == pytest.approx(0.1 + 4.9 * int(keys[0, task]) / 2**63, rel=1e-14)
        assert float(phase[task]) == pytest.approx(math.pi * int(keys[1, task]) / 2**63, rel=1e-14)


@pytest.mark.parametrize("name", FORMULAS)
def test_numbers_are_uniform_in_their_ranges(name):
    source, count = FORMULAS[name], 20_000
    amplitude, phase = source.curves(split="train", tasks=count, seed=0)
    episodes = source.sample(**{**WORDS, "tasks": count, "shot": 1, "query": 1})
    for drawn, (low, high) in (
        (amplitude, source.amplitude),
        (phase, source.phase),
        (episodes.support_x, source.x),
        (episodes.query_x, source.x),
    ):
        assert low <= float(drawn.min()) < low + 0.001 * (high - low)
        assert high - 0.001 * (high - low) < float(drawn.max()) <= high
        share = (drawn.double().flatten() - low) / (high - low)
        assert float(share.mean()) == pytest.approx(1 / 2, abs=0.01)
        assert float(share.square().mean()) == pytest.approx(1 / 3, abs=0.01)
    together = torch.stack([amplitude, phase, episodes.support_x[:, 0, 0].double(), episodes.query_x[:, 0, 0].double()])
    assert float((together.corrcoef() - torch.eye(4)).abs().max()) < 0.03


@pytest.mark.parametrize(("name", "factor"), [("sinusoids", -2 / math.pi * 2.55), ("sinusoids-2pi", 0.0)])
def test_the_mean_curve_is_its_closed_form(name, factor):
    amplitude, phase = FORMULAS[name].curves(split="train", tasks=200_000, seed=1)
    x = torch.linspace(-5, 5, 7, dtype=torch.float64)
    mean = curve(x.expand(200_000, 7)[..., None], amplitude, phase).mean(0)[:, 0]
    assert torch.allclose(mean, factor * x.cos(), atol=0.03)


@pytest.mark.parametrize("change", [{"split": "val"}, {"split": "test"}, {"seed": 4}, {"index": 3}])
def test_other_words_give_other_curves_and_other_points(source, change):
    here, there = source.sample(**WORDS), source.sample(**{**WORDS, **change})
    words = {name: value for name, value in WORDS.items() if name not in ("shot", "query")}
    curves = [source.curves(**each) for each in (words, {**words, **change})]
    assert not set(here.support_x.flatten().tolist()) & set(there.support_x.flatten().tolist())
    assert not set(curves[0][0].tolist()) & set(curves[1][0].tolist())


def test_another_range_of_inputs_keeps_the_curves(source):
    half = replace(source, x=(0.0, 5.0))
    words = {name: value for name, value in WORDS.items() if name not in ("shot", "query")}
    assert all(map(torch.equal, half.curves(**words), source.curves(**words)))
    assert float(half.sample(**WORDS).support_x.min()) >= 0
    assert half.digest() != source.digest()


def test_digests_tell_ranges_apart_and_not_devices():
    assert len({each.digest() for each in FORMULAS.values()}) == len(FORMULAS)
    assert Sinusoids().digest() == FORMULAS["sinusoids"].digest() == Sinusoids().to("meta").digest()
    assert list(Sinusoids().describe()["high"]) == [5.0, math.pi, 5.0]
    assert "3.142" in Sinusoids().source


def test_a_range_that_goes_down_is_refused():
    with pytest.raises(UserError, match=r"^sinusoids: phase must go upwards, got \(1, 0\)"):
        Sinusoids(phase=(1, 0))


def test_draw_takes_images_and_formulas(source, pool):
    words = {"split": "train", "shot": 2, "query": 3, "tasks": 2, "seed": 1}
    assert manifest(pool.sample(way=3, **words)) == manifest(sample(pool, way=3, **words))
    assert manifest(source.sample(way=1, **words)) == manifest(source.sample(**words))


def test_sources_by_name(write_tree, image_bytes, tmp_path):
    assert load_source("sinusoids") == Sinusoids()
    assert load_source("sinusoids-2pi").phase == (0.0, 2 * math.pi)
    images = {f"train/c{c}/{i}.png": image_bytes(10 * c + i) for c in range(2) for i in range(2)}
    assert load_source(write_tree(tmp_path / "some", images)).input_shape[0] == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [("size", 28), ("ink", 0), ("split", "vinyals"), ("rotations", "classes"), ("normalise", "half")],
)
def test_options_of_images_are_refused(option, value):
    with pytest.raises(UserError, match=f"^load_pool: sinusoids has no choice of {option}, got .*{value}"):
        load_source("sinusoids", **{option: value})
