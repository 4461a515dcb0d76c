"""One encoded image: turned as its camera says, and refused by its size before a pixel is decoded."""

import numpy as np
import pytest
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.data.reading.archives import opened
from mamlprobe.data.reading.decoded import PIXELS, header, loaded, pillow


@pytest.fixture
def tree(tmp_path):
    with opened(tmp_path) as made:
        yield made


def test_an_image_is_turned_as_its_camera_says(tmp_path, tree):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "x.png", exif=exif)
    with pillow(tree, "x.png"):
        turned, layout = loaded(tree, "x.png")
    np.testing.assert_array_equal(np.asarray(turned), np.rot90(pixels, -1))
    assert layout == "L"


@pytest.mark.parametrize("sides", [(PIXELS, 1), (6000, 6000)])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, tree, sides, monkeypatch):
    Image.new("1", sides).save(tmp_path / "x.png")
    if sides[0] * sides[1] == PIXELS:
        with pillow(tree, "x.png"):
            assert header(tree, "x.png").size == sides
        return
    monkeypatch.setattr(Image.Image, "load", lambda *given: pytest.fail("it was decoded"))
    with pillow(tree, "x.png"), pytest.raises(UserError, match="at most 33,554,432 pixels, got 6000 x 6000; make it"):
        loaded(tree, "x.png")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(40)])
def test_damage_is_the_users_error_without_warnings(tmp_path, tree, content, recwarn):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match=r"x.png of .* must be a whole image"), pillow(tree, "x.png"):
        loaded(tree, "x.png")
    assert not recwarn.list
