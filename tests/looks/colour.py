"""Colours as numbers: contrast (WCAG 2), lightness and distance (CIELAB), and how the colour-blind see them."""

from collections.abc import Sequence

import numpy as np

Rgb = Sequence[float]

BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira and Fernandes 2009, severity 1: what each of the three kinds sees, over linear red, green, blue."""

_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _XYZ.sum(1)


def linear(rgb: Rgb) -> np.ndarray:
    """Light of the three channels ``[3]``, of sRGB in 0..1."""
    channel = np.asarray(rgb, float)[:3]
    return np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    """sRGB ``[3]`` of light; what no screen shows is cut off."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def contrast(a: Rgb, b: Rgb) -> float:
    """Contrast ratio of WCAG 2, 1 to 21."""
    low, high = sorted(float(_XYZ[1] @ linear(each)) for each in (a, b))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: Rgb) -> np.ndarray:
    """Lightness 0..100 and the two axes of colour, CIELAB at the white of sRGB, ``[3]``."""
    ratio = _XYZ @ linear(rgb) / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen_by(kind: str, rgb: Rgb) -> np.ndarray:
    """What someone of this kind of colour blindness sees; "grey" for a print without colour, else as it is."""
    if kind == "grey":
        return encoded(np.full(3, _XYZ[1] @ linear(rgb)))
    return encoded(np.array(BLINDNESS[kind]) @ linear(rgb)) if kind in BLINDNESS else np.asarray(rgb, float)[:3]


def distance(a: Rgb, b: Rgb) -> float:
    """The smallest distance (CIELAB) of two colours over normal sight, the three kinds of blindness and grey print."""
    kinds = ("all colours", *BLINDNESS, "grey")
    return min(float(np.linalg.norm(lab(seen_by(k, a)) - lab(seen_by(k, b)))) for k in kinds)


def over(rgb: Rgb, alpha: float, ground: Rgb) -> np.ndarray:
    """The colour ``[3]`` that shows where a translucent one lies over a ground."""
    return alpha * np.asarray(rgb, float)[:3] + (1 - alpha) * np.asarray(ground, float)[:3]
