"""Whatever torch's default type and device are, the doors give the same tasks and numbers, bit for bit."""

import hashlib
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace

import pandas as pd
import pytest
import torch

import mamlprobe as mp
from mamlprobe.data.sources import load_source
from mamlprobe.native import load as native
from tests.tiny import write_images

DEFAULTS = ["float64", "bfloat16", "float16", "meta"]


@contextmanager
def under(default):
    """Inside, torch has this default type or device."""
    try:
        if default == "meta":
            torch.set_default_device(default)
        else:
            torch.set_default_dtype(getattr(torch, default))
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def digest(value):
    """Hex digits that tell types, devices, shapes and bits of all tensors and tables in a value."""
    sha = hashlib.sha256()

    def add(each):
        if isinstance(each, torch.Tensor):
            sha.update(f"{each.dtype} {each.device} {list(each.shape)}".encode())
            sha.update(each.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(each, dict):
            for name, one in each.items():
                add(name)
                add(one)
        elif isinstance(each, (list, tuple)):
            for one in each:
                add(one)
        elif is_dataclass(each):
            add({part.name: getattr(each, part.name) for part in fields(each)})
        else:
            sha.update((each.to_csv() if isinstance(each, pd.DataFrame) else repr(each)).encode())

    add(value)
    return sha.hexdigest()


def tasks_of(folder):
    pool = mp.load_pool(folder, size=14)
    return pool, mp.sample(pool, split="test", way=3, shot=2, query=2, tasks=3, seed=0)


def drawn(folder):
    """What a data set gives, read anew and read again; and tasks made by a formula."""
    pool, episodes = tasks_of(folder / "rgb")
    path = mp.write_manifest(episodes, folder / "tasks.json", pool=pool, split="test")
    words = {"split": "train", "way": 2, "shot": 1, "query": 2, "tasks": 4, "seed": 1}
    curves = [load_source(name).sample(**{**words, "way": 1}) for name in ("sinusoids", "planted-0.3")]
    slots = [mp.sample(pool, slots=slots, **words) for slots in ("bins", "groups")]
    found = [mp.load_pool(folder / "grey", rotations="classes", normalise="half"), pool, mp.load_pool(folder / "rgb")]
    return [*found, episodes, mp.manifest(episodes), mp.manifest_table(episodes), path, slots, curves]


def learned(folder, make, methods):
    """Start, accuracies, gradients and adapted parameters."""
    pool, episodes = tasks_of(folder / "grey")
    net, found = make(pool), []
    for name in methods:
        method = mp.METHODS[name]
        theta = mp.init(net, seed=0, method=method)
        words = (net, theta, episodes, method)
        found += [theta, mp.evaluate(*words[:3], {"it": method}), mp.meta_gradient(*words), mp.adapt_tasks(*words)]
    starts = [mp.init(net, seed=seed) for seed in range(2)]
    return [*found, mp.meta_gradients(net, starts, [episodes] * 2, mp.METHODS["maml"])]


def probed(folder):
    """Tables of probes."""
    pool, episodes = tasks_of(folder / "rgb")
    net, method = mp.conv4(image=pool.image_shape, way=3, filters=4, blocks=2), mp.METHODS["maml"]
    words = (net, mp.init(net, seed=0), episodes, replace(method, inner=replace(method.inner, order=1, steps=2)))
    probes = [mp.similarity, mp.embed, mp.class_geometry, mp.cka_grid, mp.cosine_maps, mp.decompose, mp.memory_needed]
    return [probe(*words) for probe in probes]


def trained(folder, optimizer):
    """The end of a training, read from the disk."""
    pool, maml = mp.load_pool(folder / "grey", size=14), mp.METHODS["maml"]
    method = replace(
        maml, inner=replace(maml.inner, steps=1, test_steps=1), outer=replace(maml.outer, optimizer=optimizer)
    )
    words = {"way": 3, "shot": 1, "query": 2, "tasks": 2, "updates": 2, "validation_tasks": 2}
    experiment = mp.Experiment(net=mp.NetSpec(filters=4, blocks=2), method=method, **words)
    run = mp.train(experiment, folder / f"runs-{optimizer}", pool=pool, progress=False, device="cpu")
    return [run.checkpoint().theta, pd.read_csv(run.path / "log.csv")]


DOORS = {
    "draw": drawn,
    "conv4": lambda folder: learned(
        folder, lambda pool: mp.conv4(image=pool.image_shape, way=3, filters=4, blocks=2), ["maml", "mamlpp", "imaml"]
    ),
    "conv4, other order": lambda folder: learned(
        folder,
        lambda pool: mp.conv4(image=pool.image_shape, way=3, filters=4, blocks=2, order="conv-relu-bn", down="stride"),
        ["anil", "proto_maml"],
    ),
    "mlp": lambda folder: learned(
        folder, lambda pool: mp.mlp(inputs=196, way=3, hidden=(8,), norm="batch"), ["maml", "meta_sgd", "reptile"]
    ),
    "probe": probed,
    "adam": lambda folder: trained(folder, "adam"),
    "sgd": lambda folder: trained(folder, "sgd"),
}


def opened(door, root, monkeypatch):
    """What a door gives, with a cache of its own."""
    root.mkdir()
    for name, mode in (("grey", "L"), ("rgb", "RGB")):
        write_images(root / name, mode)
    with monkeypatch.context() as patch:
        kernels = native.kernels()
        patch.setenv("MAMLPROBE_CACHE", str(root / "cache"))
        found = DOORS[door](root)
        assert native.kernels() is kernels
    return digest(found)


@pytest.fixture(scope="module")
def plain():
    """Door -> what it gives under the usual defaults."""
    return {}


@pytest.mark.parametrize("default", DEFAULTS)
@pytest.mark.parametrize("door", DOORS)
def test_the_same_under_other_defaults(door, default, plain, tmp_path, monkeypatch):
    if door not in plain:
        plain[door] = opened(door, tmp_path / "plain", monkeypatch)
    with under(default):
        found = opened(door, tmp_path / "set", monkeypatch)
    assert found == plain[door]


def test_digests_differ_in_type_and_bits():
    one = torch.ones(3)
    assert len({digest(each) for each in (one, one.double(), one + 2**-23, one[:2])}) == 4
