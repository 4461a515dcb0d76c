"""Nets of TensorFlow with weights in their own layout, and what they compute, by torch's functions alone in float64."""

import io
import math

import h5py
import numpy as np
import torch
import torch.nn.functional as F

FILTERS, WAY = 4, 5
CHARACTERS, MINI = (1, 28, 28), (3, 84, 84)


def same(z, kernel, stride, value=0.0):
    """Pad z [N, C, H, W] as TensorFlow does for SAME: ceil(size / stride) windows, the odd place behind."""
    edges = []
    for size in (z.shape[3], z.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        edges += [total // 2, total - total // 2]
    return F.pad(z, edges, value=value)


def conv(z, kernel, bias, stride):
    """A SAME convolution with a kernel [H, W, in, out]."""
    return F.conv2d(same(z, 3, stride), kernel.permute(3, 2, 0, 1), bias, stride)


def norm(z, scale, shift, moments):
    """A batch norm with eps 1e-3: by the batch's own moments, or by these."""
    mean, var = moments or (z.mean((0, 2, 3)), z.var((0, 2, 3), correction=0))
    z = (z - mean[:, None, None]) / (var[:, None, None] + 1e-3).sqrt()
    return z * scale[:, None, None] + shift[:, None, None]


def flat(z):
    """Rows of H, W, C."""
    return z.permute(0, 2, 3, 1).flatten(1)


def draws(seed):
    random = np.random.default_rng(seed)
    return lambda *shape, scale=1.0, shift=0.0: (random.normal(size=shape) * scale + shift).astype(np.float32)


def moments(draw):
    return {"moving_mean": draw(FILTERS), "moving_variance": np.abs(draw(FILTERS)) + np.float32(0.5)}


def rows(image):
    return torch.randn(6, *image, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def doubled(arrays):
    return {name: torch.from_numpy(value).double() for name, value in arrays.items()}


def numbered(place):
    return f"_{place}" if place else ""


def finn_arrays(image, way=WAY):
    draw, wide = draws(0), image[0]
    arrays = {}
    for number in range(4):
        arrays[f"model/conv{number + 1}"] = draw(3, 3, wide, FILTERS, scale=0.5)
        arrays["model/Variable" + numbered(number)] = draw(FILTERS)
        arrays[f"model/{number}/beta"] = draw(FILTERS)
        wide = FILTERS
    arrays |= {"model/w5": draw(FILTERS * (25 if image == MINI else 1), way), "model/b5": draw(way)}
    return arrays


def finn_logits(arrays, x):
    arrays, z = doubled(arrays), x
    for number in range(4):
        kernel, bias = arrays[f"model/conv{number + 1}"], arrays["model/Variable" + numbered(number)]
        z = conv(z, kernel, bias, 1 if x.shape[1] == 3 else 2)
        z = F.relu(norm(z, torch.ones(FILTERS), arrays[f"model/{number}/beta"], None))
        z = F.max_pool2d(z, 2) if x.shape[1] == 3 else z  # VALID
    z = flat(z) if x.shape[1] == 3 else z.mean((2, 3))
    return z @ arrays["model/w5"] + arrays["model/b5"]


def reptile_arrays(image, *, way=WAY, slots=True):
    draw, wide = draws(1), image[0]
    arrays = {}
    for number in range(4):
        at = numbered(number)
        arrays |= {f"conv2d{at}/kernel": draw(3, 3, wide, FILTERS, scale=0.5), f"conv2d{at}/bias": draw(FILTERS)}
        parts = {"gamma": draw(FILTERS, scale=0.3, shift=1), "beta": draw(FILTERS), **moments(draw)}
        arrays |= {f"batch_normalization{at}/{part}": value for part, value in parts.items()}
        wide = FILTERS
    arrays |= {"dense/kernel": draw(FILTERS * (36 if image == MINI else 4), way), "dense/bias": draw(way)}
    if slots:
        trained = [name for name in arrays if "moving" not in name]
        arrays |= {f"{name}/{slot}": draw(*arrays[name].shape) for name in trained for slot in ("Adam", "Adam_1")}
        arrays |= {"beta1_power": np.float32(0), "beta2_power": np.float32(0.5)}
    return {name: np.asarray(value) for name, value in arrays.items()}


def reptile_logits(arrays, x, *, running):
    arrays, z = doubled(arrays), x
    for number in range(4):
        at = numbered(number)
        z = conv(z, arrays[f"conv2d{at}/kernel"], arrays[f"conv2d{at}/bias"], 1 if x.shape[1] == 3 else 2)
        part = {word: arrays[f"batch_normalization{at}/{word}"] for word in ("gamma", "beta")}
        kept = [arrays[f"batch_normalization{at}/moving_{word}"] for word in ("mean", "variance")]
        z = norm(z, part["gamma"], part["beta"], kept if running else None)
        z = F.relu(F.max_pool2d(same(z, 2, 2, -math.inf), 2) if x.shape[1] == 3 else z)
    return flat(z) @ arrays["dense/kernel"] + arrays["dense/bias"]


def keras_arrays(image, norm_name):
    """An encoder, its layers numbered from 5."""
    draw, wide = draws(2), image[0]
    arrays = {}
    for number in range(4):
        at = f"_{number + 5}"
        parts = {"gamma": draw(FILTERS, scale=0.3, shift=1), "beta": draw(FILTERS), **moments(draw)}
        arrays |= {f"conv2d{at}/kernel": draw(3, 3, wide, FILTERS, scale=0.5), f"conv2d{at}/bias": draw(FILTERS)}
        arrays |= {f"{norm_name}{at}/{part}": value for part, value in parts.items()}
        wide = FILTERS
    return arrays


def as_keras(arrays):
    """The bytes of the file that Keras saves of an encoder."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, value in arrays.items():
            layer, _, part = name.partition("/")
            file[f"model_weights/{layer}/prototypical/sequential/{layer}/{part}:0"] = value
        file["optimizer_weights/conv2d_5/kernel:0"] = np.zeros(3)
        file["model_weights"].create_group("flatten")
    return content.getvalue()


def keras_features(arrays, norm_name, x, *, running):
    """Features in the order H, W, C."""
    arrays, z = doubled(arrays), x
    for number in range(4):
        at = f"_{number + 5}"
        z = conv(z, arrays[f"conv2d{at}/kernel"], arrays[f"conv2d{at}/bias"], 1)
        scale, shift, mean, var = (
            arrays[f"{norm_name}{at}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        z = F.max_pool2d(F.relu(norm(z, scale, shift, (mean, var) if running else None)), 2)
    return flat(z)
