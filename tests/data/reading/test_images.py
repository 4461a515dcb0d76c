import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.data.by_name import load_pool
from mamlprobe.data.reading.image_folder import read_folder

NOISE = np.random.default_rng(0)
INK = NOISE.random((4, 6, 9, 9)) > 0.6
"""Where there is ink, of 4 classes of 6 images."""


def encoded(image, kind="PNG", **words):
    into = io.BytesIO()
    image.save(into, kind, **words)
    return into.getvalue()


def png(bands, *, bits, colour, clear=()):
    """A PNG of these bits and this colour type, as Pillow does not write it. bands: [H, W] or [H, W, C]."""
    height, width = bands.shape[:2]
    flat = bands.reshape(height, -1)
    if bits < 8:
        rows = np.packbits(((flat[..., None] >> np.arange(bits)[::-1]) & 1).reshape(height, -1), axis=1)
    else:
        rows = flat.astype(">u2" if bits == 16 else np.uint8).view(np.uint8).reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))]
    parts += [(b"tRNS", struct.pack(f">{len(clear)}H", *clear))] if clear else []
    chunks = [(*part, zlib.crc32(b"".join(part))) for part in [*parts, (b"IDAT", data), (b"IEND", b"")]]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", c) for n, d, c in chunks
    )


@pytest.fixture
def pool_of(tmp_path, write_tree):
    """The pool of images [class][item] of encoded bytes, 9 x 9."""

    def make(classes, end="png"):
        files = {f"{c}/{i}.{end}": data for c, items in enumerate(classes) for i, data in enumerate(items)}
        return read_folder(write_tree(tmp_path / "set", files), size=9)

    return make


def inked(make, ink=INK):
    return [[make(mask) for mask in items] for items in ink]


def drawn(mode, level):
    """A maker of images whose ink of this level is where a mask is true, the rest transparent, of the same colour."""

    def make(mask):
        opacity, colour = (255 * mask).astype(np.uint8), np.full((9, 9), level, dtype=np.uint8)
        clear = 255 - level
        if mode == "RGBA":
            return encoded(Image.fromarray(np.dstack([colour] * 3 + [opacity])))
        if mode == "LA":
            return encoded(Image.fromarray(np.dstack([colour, opacity])))
        if mode == "WebP":
            return encoded(Image.fromarray(np.dstack([colour] * 3 + [opacity])), "WEBP", lossless=True, exact=True)
        if mode in ("P", "P bytes", "GIF"):
            image = Image.fromarray(mask.astype(np.uint8))
            image = image.convert("P")
            image.putpalette([level] * 6)
            if mode == "GIF":
                return encoded(image, "GIF", transparency=0)
            return encoded(image, transparency=0 if mode == "P" else b"\x00\xff")
        if mode == "L tRNS":
            return encoded(Image.fromarray(np.where(mask, colour, clear).astype(np.uint8)), transparency=clear)
        if mode == "1 tRNS":
            return png(np.where(mask, level, clear) // 255, bits=1, colour=0, clear=(clear // 255,))
        if mode == "4 bits tRNS":
            return png(np.where(mask, level, clear) // 17, bits=4, colour=0, clear=(clear // 17,))
        if mode == "16 bits tRNS":
            return png(np.where(mask, level, clear) * 257, bits=16, colour=0, clear=(clear * 257,))
        if mode == "RGB tRNS":
            image = Image.fromarray(np.dstack([np.where(mask, colour, clear).astype(np.uint8)] * 3))
            return encoded(image, transparency=(clear,) * 3)
        if mode == "RGB tRNS of 16 bits":
            return png(np.dstack([np.where(mask, level, clear) * 257] * 3), bits=16, colour=2, clear=(clear * 257,) * 3)
        bands = [colour.astype(int) * 257] * (3 if mode == "RGBA of 16 bits" else 1) + [opacity.astype(int) * 257]
        return png(np.dstack(bands), bits=16, colour=6 if mode == "RGBA of 16 bits" else 4)

    return make


CLEAR = ["RGBA", "LA", "WebP", "P", "P bytes", "GIF", "L tRNS", "1 tRNS", "4 bits tRNS", "16 bits tRNS", "RGB tRNS"]
CLEAR += ["RGB tRNS of 16 bits", "RGBA of 16 bits", "LA of 16 bits"]
GREY = ["LA", "L tRNS", "1 tRNS", "4 bits tRNS", "16 bits tRNS", "LA of 16 bits"]


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("mode", CLEAR)
def test_ink_on_a_transparent_ground(pool_of, mode, level):
    """Black ink comes to lie on white, white ink on black, however the file says what is transparent."""
    end = {"WebP": "webp", "GIF": "gif"}.get(mode, "png")
    pool = pool_of(inked(drawn(mode, level)), end)
    expected = np.where(INK, level, 255 - level)[:, :, None]
    np.testing.assert_array_equal(pool.images.numpy(), np.broadcast_to(expected, pool.images.shape))
    assert pool.images.shape[2] == (1 if mode in GREY or (mode == "GIF" and pool.images.shape[2] == 1) else 3)
    assert f"; transparent parts {'black' if level else 'white'}" in pool.source
    assert "alike" not in pool.source


def test_half_opaque_ink_shows_the_ground(pool_of):
    picture = np.zeros((9, 9, 4), dtype=np.uint8)
    picture[..., 3] = np.arange(81).reshape(9, 9) * 3
    pool = pool_of([[encoded(Image.fromarray(picture))]])
    assert np.abs(pool.images[0, 0, 0].numpy() - (255.0 - picture[..., 3])).max() <= 1


def test_one_ground_for_all_that_hides_none(pool_of):
    """Black ink in one class and white in another: on mid grey both are seen; the ground is not a mark of the class."""
    black, white = drawn("RGBA", 0), drawn("RGBA", 255)
    pool = pool_of([[black(mask) for mask in INK[0]], [white(mask) for mask in INK[1]]])
    assert "; transparent parts grey" in pool.source
    for of, ink, level in zip(pool.images.numpy(), INK, (0, 255)):
        np.testing.assert_array_equal(of[:, 0], np.where(ink, level, 128))


def test_an_image_without_ink_chooses_no_ground(pool_of):
    empty = drawn("RGBA", 255)(np.zeros((9, 9), dtype=bool))
    pool = pool_of([[drawn("RGBA", 0)(mask) for mask in INK[0]], [empty]])
    assert "; transparent parts white" in pool.source
    assert pool.images[1, 0].min() == 255


def test_images_opaque_throughout_are_as_they_were(pool_of):
    """Opacity that is full everywhere changes nothing, and nothing is said of it."""
    colour = NOISE.integers(0, 256, (9, 9, 3)).astype(np.uint8)
    opaque = np.dstack([colour, np.full((9, 9), 255, dtype=np.uint8)])
    pool = pool_of([[encoded(Image.fromarray(opaque)), encoded(Image.fromarray(colour))]])
    assert (pool.images[0, 0] == pool.images[0, 1]).all()
    np.testing.assert_array_equal(pool.images[0, 0].numpy().transpose(1, 2, 0), colour)
    assert "transparent" not in pool.source


BYTES = NOISE.integers(0, 256, (2, 3, 9, 9))
BYTES[0, 0, 0, :2] = 0, 255


def tiff(numbers):
    return encoded(Image.fromarray(numbers), "TIFF")


DEPTHS = {
    "16 bit PNG of bytes": (lambda x: png(x, bits=16, colour=0), "png", "whole numbers in 0..255"),
    "16 bit PNG": (lambda x: png(x * 257, bits=16, colour=0), "png", "whole numbers in 0..65535"),
    "16 bit PNG of 12 bits": (lambda x: png(x * 16 + 5, bits=16, colour=0), "png", "whole numbers in 0..4095"),
    "16 bit TIFF of bytes": (lambda x: tiff(x.astype(np.uint16)), "tif", "whole numbers in 0..255"),
    "16 bit TIFF": (lambda x: tiff((x * 257).astype(np.uint16)), "tif", "whole numbers in 0..65535"),
    "16 bit TIFF, big end first": (lambda x: tiff((x * 257).astype(">u2")), "tif", "whole numbers in 0..65535"),
    "32 bit TIFF of bytes": (lambda x: tiff(x.astype(np.int32)), "tif", "whole numbers in 0..255"),
    "32 bit TIFF of 16 bits": (lambda x: tiff((x * 256).astype(np.int32)), "tif", "whole numbers in 0..65535"),
    "reals to 1": (lambda x: tiff((x / 255).astype(np.float32)), "tiff", "real numbers in 0..1"),
    "reals to 255": (lambda x: tiff((x + 0.3 * (x < 255)).astype(np.float32)), "tiff", "real numbers in 0..255"),
    "whole reals": (lambda x: tiff(x.astype(np.float32)), "tiff", "real numbers in 0..255"),
    "whole reals of 16 bits": (lambda x: tiff((x * 256).astype(np.float32)), "tiff", "real numbers in 0..65535"),
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_depths(pool_of, depth):
    """Bytes are what comes out, whatever holds them."""
    write, end, said = DEPTHS[depth]
    pool = pool_of([[write(each) for each in of] for of in BYTES], end)
    np.testing.assert_array_equal(pool.images[:, :, 0].numpy(), BYTES)
    assert f"; {said}" in pool.source


@pytest.mark.parametrize("times", [1, 257])
@pytest.mark.parametrize(("colour", "bands"), [(2, 3), (6, 4), (4, 2)])
def test_colours_of_16_bits(pool_of, colour, bands, times):
    """Also where they hold bytes, which Pillow by itself makes black."""
    values = NOISE.integers(0, 256, (2, 3, 9, 9, bands))
    values[..., bands - 1 if bands != 3 else 0] = 255
    pool = pool_of([[png(each * times, bits=16, colour=colour) for each in of] for of in values])
    expected = values[..., : 1 if bands == 2 else 3].transpose(0, 1, 4, 2, 3)
    np.testing.assert_array_equal(pool.images.numpy(), expected)


def test_one_scale_for_the_whole_data_set(pool_of):
    """A dark image among bright ones stays dark: 0..255 is a scale only where nothing is above it."""
    pool = pool_of([[png(BYTES[0, 0], bits=16, colour=0)], [png(BYTES[0, 0] * 257, bits=16, colour=0)]])
    assert pool.images[0].max() == 0
    np.testing.assert_array_equal(pool.images[1, 0, 0].numpy(), BYTES[0, 0])
    assert pool.source.endswith("; note: 1 images come out as good as even beside brighter ones, the first 0/0.png")


def test_reals_of_two_scales_are_refused(pool_of):
    few, many = ((BYTES[0, 0] / by).astype(np.float32) for by in (255, 1.1))
    with pytest.raises(UserError, match=r"numbers in 1/0\.tiff of .*, got numbers up to 1, and up to 231\.818 in 0/0"):
        pool_of([[tiff(many)], [tiff(few)]], "tiff")


@pytest.mark.parametrize(
    ("numbers", "got"),
    [
        (np.full((9, 9), 0.5) - np.eye(9), "-0.5 to 0.5"),
        (np.full((9, 9), np.nan), "nan to nan"),
        (np.full((9, 9), np.inf), "inf to inf"),
        (np.full((9, 9), 1.7), "numbers up to 1.7"),
        (np.full((9, 9), 700.5), "numbers up to 700.5"),
        (np.full((9, 9), 70000), "70000 to 70000"),
        (np.full((9, 9), -3), "-3 to -3"),
    ],
)
def test_numbers_that_no_scale_fits(pool_of, tmp_path, numbers, got):
    numbers = numbers.astype(np.int32 if numbers.dtype == np.int64 else np.float32)
    with pytest.raises(UserError) as caught:
        pool_of([[tiff(numbers)]], "tiff")
    must = f"numbers in 0/0.tiff of {tmp_path / 'set'} must lie in 0..1, in 0..255, or be whole and lie in 0..65535"
    assert str(caught.value) == f"load_pool: {must}, got {got}; scale it and save it anew"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_turned_as_the_camera_says(pool_of, kind, turn):
    """A bright corner is put where the turn says it is seen."""
    upright = np.zeros((16, 16), dtype=np.uint8)
    upright[:8, :8], upright[:8, 8:] = 240, 120
    undo = {2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: np.transpose, 6: np.rot90}
    undo |= {7: lambda x: np.rot90(x, 2).T, 8: lambda x: np.rot90(x, -1)}
    stored = undo.get(turn, lambda x: x)(upright)
    exif = Image.Exif()
    exif[0x0112] = turn
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    data = encoded(image, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    pool = pool_of([[data]], kind.lower())
    small = np.asarray(Image.fromarray(upright).resize((9, 9), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(pool.images[0, 0, 0].numpy() - small).max() < 12


def test_a_turn_that_cannot_be_read_is_no_turn(pool_of):
    colour = NOISE.integers(0, 256, (9, 9)).astype(np.uint8)
    pool = pool_of([[encoded(Image.fromarray(colour), exif=b"Exif\0\0nonsense")]])
    np.testing.assert_array_equal(pool.images[0, 0, 0].numpy(), colour)


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "YCbCr", "LA"])
def test_other_modes_keep_their_colours(pool_of, mode):
    flat = np.zeros((9, 9, 3), dtype=np.uint8)
    flat[:, :4] = (255, 255, 255)
    kind = {"CMYK": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
    pool = pool_of([[encoded(Image.fromarray(flat).convert(mode), kind)]], kind.lower())
    assert np.abs(pool.images[0, 0].numpy().astype(int) - flat.transpose(2, 0, 1)[: pool.images.shape[2]]).max() < 4


def test_pillow_does_not_warn(pool_of):
    """Opacity by palette entry, and an image so large that Pillow fears a bomb."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        pool_of([[drawn("P bytes", 0)(mask) for mask in INK[0]]])
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 60
        try:
            pool_of([[encoded(Image.fromarray(BYTES[0, 0].astype(np.uint8)))]])
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    assert not heard


def test_images_that_all_come_out_alike_are_told(tmp_path, write_tree, capsys):
    black = encoded(Image.new("L", (9, 9)))
    path = write_tree(tmp_path / "set", {f"{c}/{i}.png": black for c in "ab" for i in range(3)})
    told = [load_pool(path).source.split("; note: ")[1:] for _ in range(2)]
    assert told == [["all 6 images come out alike; levels none"]] * 2
    assert capsys.readouterr().err == f"load_pool: of {path} all 6 images come out alike\n", "once"
    (path / "b" / "2.png").write_bytes(encoded(Image.new("L", (9, 9), 1)))
    load_pool(path)
    assert capsys.readouterr().err == ""


def test_one_image_a_class_is_nothing_to_tell(tmp_path, write_tree, capsys):
    data = {f"{c}/0.png": encoded(Image.fromarray(BYTES[0, c].astype(np.uint8))) for c in range(3)}
    assert load_pool(write_tree(tmp_path / "set", data)).counts.tolist() == [1, 1, 1]
    assert load_pool(write_tree(tmp_path / "one", {"a/0.png": data["0/0.png"]})).counts.tolist() == [1]
    assert capsys.readouterr().err == ""


def test_the_pngs_made_here_are_those_that_pillow_reads():
    values = NOISE.integers(0, 256, (9, 9))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(values, bits=8, colour=0)))), values)
    image = Image.open(io.BytesIO(png(values * 3, bits=16, colour=0, clear=(7,))))
    assert (image.mode, image.info["transparency"]) == ("I;16", 7)
    np.testing.assert_array_equal(np.asarray(image), values * 3)
