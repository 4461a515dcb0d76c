"""How figures become files: the same bytes from the same table, small, and whole or not there."""

import errno
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.draw import files
from mamlprobe.draw import style as st
from mamlprobe.draw.charts.curves import curves
from mamlprobe.draw.files import PRINT, SCREEN, encode, save
from mamlprobe.draw.layout import contact_sheet


def test_style_is_put_back_and_overrules_the_users_settings(learning):
    plain = encode(curves(learning, x="update", hue="arm", panel="setting"))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        before = dict(matplotlib.rcParams)
        bold = encode(curves(learning, x="update", hue="arm", panel="setting"))
        assert dict(matplotlib.rcParams) == before
    assert bold == plain


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_same_table_same_bytes(learning, tmp_path, suffix):
    for name in ("a", "b"):
        save(curves(learning, x="update", hue="arm", panel="setting"), tmp_path / f"{name}{suffix}")
    written = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "b")]
    assert written[0] == written[1]
    assert not any(word in written[0] for word in (b"CreationDate", b"dc:date", b"Software", b"Matplotlib v"))
    other = learning.assign(value=learning["value"] + 1)
    assert encode(curves(other, x="update", hue="arm", panel="setting"), suffix) != written[0]


def test_png_is_small_and_bears_no_date(learning):
    rng = np.random.default_rng(0)
    long = pd.concat([learning.assign(update=learning["update"] + 10 * k) for k in range(75)]).drop_duplicates(
        ["update", "arm", "setting"]
    )
    long["value"] += rng.normal(size=len(long))
    drawn = curves(long, x="update", hue="arm", panel="setting")
    for dpi, size, most in ((SCREEN, 1020, 100_000), (PRINT, 2040, 200_000)):
        data = encode(drawn, dpi=dpi)
        assert len(data) < most
        picture = Image.open(BytesIO(data))
        assert picture.size[0] == size
        assert set(picture.info) <= {"dpi", "transparency"}
        np.testing.assert_allclose(picture.info["dpi"], dpi, atol=0.1)
    assert encode(drawn) == data


def test_a_grey_figure_is_packed_without_loss():
    images = np.random.default_rng(0).integers(0, 256, size=(2, 3, 8, 8), dtype=np.uint8)
    figure = contact_sheet(images, width="column")
    raw = BytesIO()
    with st.style():
        figure.savefig(raw, format="png")
    packed = Image.open(BytesIO(encode(figure, dpi=SCREEN)))
    assert packed.mode == "L"
    np.testing.assert_array_equal(np.asarray(packed.convert("RGB")), np.asarray(Image.open(raw).convert("RGB")))


def test_save_makes_folders_replaces_and_leaves_nothing_beside(learning, tmp_path):
    target = tmp_path / "deep" / "er" / "figure.png"
    for shift in (0, 1):
        save(curves(learning.assign(value=learning["value"] + shift), x="update", hue="arm", panel="setting"), target)
    assert [path.name for path in target.parent.iterdir()] == ["figure.png"]
    shifted = curves(learning.assign(value=learning["value"] + 1), x="update", hue="arm", panel="setting")
    assert target.read_bytes() == encode(shifted)


def test_save_refuses_what_cannot_be_written(tmp_path):
    figure, _ = st.canvas(1, 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as error:
        save(figure, tmp_path / "file" / "figure.png")
    assert str(error.value) == (
        f"draw.save: {tmp_path / 'file' / 'figure.png'} must be writable, got File exists; "
        "choose another folder or free some space"
    )
    with pytest.raises(UserError) as error:
        save(figure, tmp_path / "figure.jpeg")
    assert str(error.value) == "draw.save: the suffix must be a known one, got '.jpeg'; did you mean .png?"


def test_save_on_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    figure, _ = st.canvas(1, 1)
    target = tmp_path / "figure.png"
    target.write_bytes(b"old")
    write = Path.write_bytes

    def full(path, data):
        write(path, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError) as error:
        save(figure, target)
    assert str(error.value) == (
        f"draw.save: {target} must be writable, got No space left on device; choose another folder or free some space"
    )
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_save_keeps_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    def interrupted(*words):
        raise KeyboardInterrupt

    figure, _ = st.canvas(1, 1)
    target = tmp_path / "figure.png"
    target.write_bytes(b"old")
    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(figure, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_heavy_picture_has_256_colours_near_its_own(monkeypatch):
    """Of smooth colours, which compress badly: smaller, and at most one dot in a hundred moved by more than 12."""
    figure, axes = st.canvas(1, 1)
    ramp = np.linspace(0, 1, 400)
    axes[0, 0].imshow(np.hypot(ramp[:, None], ramp), cmap="viridis")
    light = encode(figure)
    monkeypatch.setattr(files, "HEAVY", 1_000)
    heavy = encode(figure)
    assert len(heavy) < len(light)
    dots = [np.asarray(Image.open(BytesIO(each)).convert("RGB")).astype(int) for each in (light, heavy)]
    assert Image.open(BytesIO(heavy)).mode == "P"
    moved = np.abs(dots[0] - dots[1]).max(axis=-1)
    assert moved.any()
    assert (moved > 12).mean() < 0.01
