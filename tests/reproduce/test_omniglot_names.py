"""Names of the trainings on Omniglot, and which data they are for."""

from mamlprobe.recipes import RECIPES, recipe
from mamlprobe.recipes.published import KAO_OMNIGLOT
from mamlprobe.reproduce.omniglot_names import missing, trainings
from mamlprobe.reproduce.study import Study
from mamlprobe.runs.experiment import Data


def test_scripts_say_which_data_they_are_for():
    said = "drawn with --dataset omniglot --preset long (600 updates an arm) or paper (3,000)"
    assert missing(Study(preset="quick")) == missing(Study(preset="quick", dataset="omniglot")) == said
    assert missing(Study(preset="long")) == missing(Study(preset="long", dataset="glyphs")) == said
    assert missing(Study(preset="smoke")) == said
    assert missing(Study(preset="long", dataset="omniglot")) == missing(Study(preset="smoke", dataset="here")) == ""


def test_arms_keep_the_settings_of_the_authors():
    [name] = trainings({"grouped-zeroing": "zeroing"}, (5,))
    assert name in RECIPES
    long, paper = recipe(name, "long"), recipe(name)
    assert (long.updates, paper.updates, paper.labels, paper.shot, paper.tasks) == (600, 3000, "groups", 5, 32)
    inner = paper.method.inner
    assert (inner.order, inner.steps, inner.lr, paper.method.head) == (1, 2, 0.4, "zero_each_update")
    stage = Study(preset="long", dataset="omniglot")
    assert stage.experiment(name).data == paper.data == KAO_OMNIGLOT
    assert stage.experiment("maml").data == Data(dataset="omniglot")
    assert Study(preset="smoke", dataset="here").experiment(name).data.dataset == "here"
    assert recipe(trainings({"so-random": ""}, (1,))[0]).method.inner.order == 2
