import numpy as np
import pytest
import torch
from PIL import Image

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.data.by_name import load_pool

NAMES = ["ant", "bee", "cat", "dog"]
LABELS = [2, 0, 1, 0, 3, 2, 1, 0]


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3)).astype(np.uint8)


class Vision:
    """As torchvision has them."""

    def __init__(self, images, labels=LABELS, classes=None, transform=Image.fromarray):
        self.images, self.targets, self.transform = images, labels, transform
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.images)

    def __getitem__(self, place):
        return self.transform(self.images[place]), self.targets[place]


class Names:
    names = NAMES


class Face:
    """As Hugging Face has them."""

    def __init__(self, images, labels=LABELS, key="image", label="label"):
        self.images, self.labels, self.keys = images, labels, (key, label)
        self.features = {key: None, label: Names()}

    def __len__(self):
        return len(self.images)

    def __getitem__(self, place):
        return dict(zip(self.keys, (Image.fromarray(self.images[place]), self.labels[place])))


class Subset:
    """As torch's own."""

    def __init__(self, dataset, places):
        self.dataset, self.places = dataset, places

    def __len__(self):
        return len(self.places)

    def __getitem__(self, place):
        return self.dataset[self.places[place]]


def folders(tmp_path, images, splits, **options):
    """The same images, in class folders."""
    for place, label in enumerate(LABELS):
        name = NAMES[label]
        split = next(split for split, names in splits.items() if name in names)
        (tmp_path / "set" / split / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[place]).save(tmp_path / "set" / split / name / f"{place}.png")
    return load_pool(tmp_path / "set", **options)


SPLITS = {"train": ["ant", "dog"], "val": ["bee"], "test": ["cat"]}


def real(image):
    return torch.from_numpy(image).permute(2, 0, 1) / 255


KINDS = {
    "pillow": lambda images: Vision(images, classes=NAMES),
    "arrays": lambda images: Vision(images, classes=NAMES, transform=lambda image: image),
    "tensors": lambda images: Vision(images, classes=NAMES, transform=real),
    "bytes": lambda images: Vision(
        images, classes=NAMES, transform=lambda each: torch.from_numpy(each).permute(2, 0, 1)
    ),
    "numbers of numpy": lambda images: Vision(images, np.array(LABELS), NAMES),
    "numbers of torch": lambda images: Vision(images, torch.tensor(LABELS), NAMES),
    "names": lambda images: Vision(images, [NAMES[each] for each in LABELS]),
    "dicts": Face,
    "other dicts": lambda images: Face(images, key="img", label="fine_label"),
    "subset": lambda images: Subset(Vision(images, classes=NAMES), range(8)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_pool_is_that_of_the_same_class_folders(tmp_path, images, kind):
    for options in ({}, {"size": 6}, {"size": 9, "normalise": "half"}):
        pool = mp.pool_from(KINDS[kind](images), splits=SPLITS, **options)
        wanted = folders(tmp_path, images, SPLITS, **options)
        assert pool.class_names == wanted.class_names == ("ant", "dog", "bee", "cat")
        assert pool.digest() == wanted.digest()
        assert (pool.mean, pool.std) == (wanted.mean, wanted.std)


def test_images_and_labels(tmp_path, images):
    wanted = folders(tmp_path, images, SPLITS, size=6)
    labels = [NAMES[each] for each in LABELS]
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    for given in (images, tensor, list(images), [Image.fromarray(each) for each in images]):
        assert mp.pool_from(given, labels, splits=SPLITS, size=6).digest() == wanted.digest()


def test_an_object_for_each_split(tmp_path, images):
    wanted = folders(tmp_path, images, SPLITS, size=6)
    parts = {
        split: Subset(Vision(images, classes=NAMES), [i for i, label in enumerate(LABELS) if NAMES[label] in names])
        for split, names in SPLITS.items()
    }
    assert mp.pool_from(parts, size=6).digest() == wanted.digest()
    assert mp.pool_from({"validation": parts["val"]}, name="x").splits.keys() == {"val"}
    halves = {"train": Subset(Face(images), range(5)), "test": Subset(Face(images), range(5, 8))}
    with pytest.raises(UserError, match=r"class '\w+' must lie in one split, got several; .*give splits"):
        mp.pool_from(halves)
    halves = {"train": Face(images[:5], LABELS[:5]), "test": Face(images[5:], LABELS[5:])}
    assert mp.pool_from(halves, splits=SPLITS, size=6).digest() == wanted.digest()


def test_classes_without_names_have_numbers(images):
    pool = mp.pool_from(Vision(images))
    assert pool.class_names == ("class000", "class001", "class002", "class003")
    assert list(pool.splits) == ["test"]
    assert "images of a Vision, resized to 84 x 84 (bilinear); no splits given" in pool.source
    some = mp.pool_from(Vision(images), splits={"val": [1], "train": np.array([3, 0])}, name="mine")
    assert (some.name, some.class_names) == ("mine", ("class000", "class003", "class001"))
    assert "note: left out 1 classes that are in no split, the first class002" in some.source
    named = mp.pool_from(Vision(images, classes=NAMES), splits={"val": [1]})
    assert named.class_names == ("bee",)


def test_classes_of_one_name_stay_two(images):
    pool = mp.pool_from(Vision(images, classes=["crane", "crane", "x", "y"]))
    assert pool.class_names == ("crane 0", "crane 1", "x 2", "y 3")


def test_grey_unless_one_is_in_colour(images):
    grey = [Image.fromarray(each[..., 0]) for each in images]
    pool = mp.pool_from(grey, LABELS)
    assert (pool.image_shape, pool.mean) == ((1, 28, 28), (0.0,))
    mixed = mp.pool_from([*grey[:-1], Image.fromarray(images[7])], LABELS, size=6)
    assert mixed.image_shape == (3, 6, 6)
    assert (mixed.images[2, 0].numpy() == images[0][..., 0]).all()
    assert mp.pool_from(images[..., 0], LABELS, size=6).image_shape == (1, 6, 6)


def test_images_alone_with_targets(images):
    class Alone(Vision):
        def __getitem__(self, place):
            return self.images[place]

    assert mp.pool_from(Alone(images), size=6).digest() == mp.pool_from(Vision(images), size=6).digest()


ONE = np.ones((2, 6, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("data", "words", "told"),
    [
        (3, {}, "data must be a data set object with a length and items, got int"),
        ("text", {}, "data must be a data set object with a length and items, got str"),
        ([], {}, "got an empty one"),
        ({}, {}, "data must hold a data set object for each split, got none"),
        ({"trian": Vision(ONE)}, {}, "the split of data must be a known one, got 'trian'; did you mean train?"),
        ({"val": Vision(ONE), "validation": Vision(ONE)}, {}, "the split val (once) must be"),
        ({"val": Vision(ONE)}, {"labels": [1, 2]}, "labels must be in the items"),
        (ONE, {}, "item 0 must be (image, label) or a dict with these, got ndarray"),
        (ONE, {"labels": [1]}, "labels must be 2, one an image, got 1"),
        (ONE, {"labels": 1}, "labels must be 2, one an image, got int"),
        (ONE, {"labels": [1, 1.5]}, "item 1 must be labelled by a whole number or a name, got float"),
        (ONE, {"labels": [1, None]}, "item 1 must be labelled by a whole number or a name, got NoneType"),
        (ONE * 1.0, {"labels": [1, 1], "size": 0}, "size must lie in 1..4096, got 0"),
        (ONE - 2.0, {"labels": [1, 1]}, "item 0 must be of numbers in 0..1, got -1 to -1; leave normalisation out"),
        (ONE * np.nan, {"labels": [1, 1]}, "got nan to nan"),
        (ONE.astype(np.int64), {"labels": [1, 1]}, "got int64"),
        (ONE[..., :2], {"labels": [1, 1]}, "got [6, 6, 2]"),
        (ONE[:, 0, 0], {"labels": [1, 1]}, "got one of shape [3]"),
        ([None, None], {"labels": [1, 1]}, "got None"),
        ([{"picture": 1, "label": 1}], {}, "item 0 must be a dict with 'image', got picture, label"),
        ([{"image": ONE[0]}], {}, "item 0 must be a dict with 'label', got image"),
        (Vision(ONE, [0, 4], NAMES), {}, "item 1 must be labelled by a number in 0..3, one of its classes, got 4"),
        (Vision(ONE, transform=lambda _: Image.new("RGBA", (6, 6))), {}, "got mode RGBA; convert it to L or RGB"),
        (Vision(ONE), {"splits": {"tset": [0]}}, "the split must be a known one, got 'tset'"),
        (Vision(ONE), {"splits": {"test": "class000"}}, "splits['test'] must list classes, got str; give a list"),
        (Vision(ONE), {"splits": {"test": [7]}}, "the class of split test must be a known one, got 'class007'"),
        (Vision(ONE), {"splits": {"test": [1.5]}}, "a class of split test must be labelled by a whole number"),
        (Vision(ONE), {"splits": {"test": [2], "val": [2]}}, "class 'class002' must lie in one split, got two"),
        (Vision(ONE), {"splits": {}}, "splits must list classes, got none"),
        (Vision(ONE), {"splits": [1]}, "splits must be"),
        (Vision(ONE), {"normalise": "x"}, "the normalisation must be a known one"),
    ],
)
def test_mistakes_are_one_line(data, words, told):
    with pytest.raises(UserError) as caught:
        mp.pool_from(data, **words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [torch.tensor(1.0), torch.tensor(1 + 0j), np.array(3.0), np.float64(2)])
def test_what_has_no_length_is_no_data_set(data):
    with pytest.raises(UserError, match="pool_from: data must be a data set object with a length and items, got"):
        mp.pool_from(data, labels=[0], name="x")


@pytest.mark.parametrize("labels", [{"a": 0, "b": 1}, torch.tensor(1.0), 5, object(), [0]])
def test_labels_are_a_list_of_as_many(labels):
    with pytest.raises(UserError, match="pool_from: labels must be 2, one an image, got"):
        mp.pool_from([np.zeros((5, 5))] * 2, labels=labels, name="x")
