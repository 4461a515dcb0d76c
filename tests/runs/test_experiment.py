import json
from dataclasses import replace

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import from_dict, to_dict
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Data, Experiment, run_name


def test_json_and_back_is_the_same_value():
    spec = NetSpec(kind="module", module="a:B", head="fc", layers=("one", "two"), image=(3, 84, 84), hidden=(7,))
    data = Data(dataset="omniglot", size=28, ink=0, split="vinyals", rotations="classes", normalise="half")
    whole = Experiment(recipe="raghu-2020", data=data, net=spec, method=METHODS["boil"], way=20, seed=7, updates=3)
    assert from_dict(Experiment, json.loads(json.dumps(to_dict(whole)))) == whole
    assert from_dict(Experiment, {}) == Experiment()


def test_the_name_is_recipe_seed_and_eight_digits_of_every_setting():
    base = Experiment(recipe="maml", seed=3)
    head, _, digits = run_name(base).rpartition("-")
    assert head == "maml-s3"
    assert len(digits) == 8
    assert int(digits, 16) >= 0
    changes = [
        {"way": 6},
        {"updates": 999},
        {"checkpoint_every": 7},
        {"data": Data(size=20)},
        {"net": NetSpec(filters=33)},
        {"method": METHODS["fomaml"]},
        {"seed": 4},
    ]
    names = {run_name(replace(base, **change)).rpartition("-")[2] for change in changes}
    assert len(names | {digits}) == len(changes) + 1


def test_a_number_written_1_or_1_0_gives_one_name():
    whole, point = (Experiment(method=Method(head_scale=value)) for value in (1, 1.0))
    assert run_name(whole) == run_name(point)


@pytest.mark.parametrize(
    ("field", "value", "least"),
    [
        ("way", 0, 1),
        ("shot", 0, 1),
        ("query", 0, 1),
        ("tasks", -1, 1),
        ("updates", -1, 0),
        ("validate_every", 0, 1),
        ("validation_tasks", -1, 0),
        ("checkpoint_every", 0, 1),
    ],
)
def test_numbers_that_are_too_small(field, value, least):
    assert getattr(Experiment(**{field: least}), field) == least
    line = f"experiment: {field} must be at least {least}, got {value}; give a larger number"
    with pytest.raises(UserError, match=f"^{line}$"):
        Experiment(**{field: value})


@pytest.mark.parametrize("recipe", ["", "../up", "a/b", ".hidden", "two words"])
def test_a_recipe_is_a_folder_name(recipe):
    line = "experiment: recipe must be made of letters, digits, dots, dashes and underscores, got .*; rename it"
    with pytest.raises(UserError, match=line):
        Experiment(recipe=recipe)


def test_data_must_be_named_and_of_a_size():
    with pytest.raises(UserError, match=r"data: data.dataset must be named, got ''; use glyphs, or a path"):
        Data(dataset="")
    with pytest.raises(UserError, match=r"data: data.size must be positive, got 0; use None for the data set's own"):
        Data(size=0)
