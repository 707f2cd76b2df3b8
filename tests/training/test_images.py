"""Facts about decoding, resizing and the cache of decoded images."""

import io

import numpy as np
import pytest
from PIL import Image

from nasdepth.training.images import cached, conform, decode, peek


def gradient(dtype: type = np.uint8, top: int = 255) -> np.ndarray:
    return np.linspace(0, top, 64).reshape(8, 8).astype(dtype)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_png_decodes(tmp_path, save_image, mode, channels):
    path = save_image(tmp_path / "x.png", mode)

    pixels = decode(path, "x", size=5, channels=channels)

    assert pixels.shape == (channels, 5, 5)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "gif", "webp", "tif", "ppm"])
def test_every_suffix_decodes(tmp_path, save_image, suffix):
    path = save_image(tmp_path / f"d.{suffix}")

    pixels = decode(path, "d", size=0, channels=3)

    assert abs(int(pixels.mean()) - (ord("d") * 7) % 256) <= 3


def test_cmyk_jpeg_decodes(tmp_path):
    Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(tmp_path / "x.jpg")

    pixels = decode(tmp_path / "x.jpg", "x", size=0, channels=3)

    assert pixels[0].mean() > 200 > 60 > pixels[1].mean()


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path):
    Image.fromarray(gradient(np.uint16, 65535)).save(tmp_path / "x.png")

    pixels = decode(tmp_path / "x.png", "x", size=0, channels=1)

    assert np.abs(pixels[0].astype(int) - gradient()).max() <= 1


def test_dark_sixteen_bit_grey_stays_dark(tmp_path):
    Image.fromarray(gradient(np.uint16, 200)).save(tmp_path / "x.png")

    assert decode(tmp_path / "x.png", "x", size=0, channels=1).max() <= 1


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_float_images_are_scaled_by_their_range(tmp_path, top):
    Image.fromarray(gradient(np.float32, 1) * top).save(tmp_path / "x.tif")

    assert decode(tmp_path / "x.tif", "x", size=0, channels=1).max() == 255


def test_transparency_is_laid_on_black(tmp_path):
    Image.new("RGBA", (4, 4), (255, 255, 255, 0)).save(tmp_path / "x.png")

    assert decode(tmp_path / "x.png", "x", size=0, channels=3).max() == 0


def test_transparent_palette_gives_no_warning_and_black(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "x.png", transparency=b"\x00\xff")

    assert decode(tmp_path / "x.png", "x", size=0, channels=3).max() == 0


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.repeat([[0], [255]], 8, axis=1).astype("u1"))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "x.png", exif=exif)

    pixels = decode(tmp_path / "x.png", "x", size=0, channels=1)

    assert pixels[0, :, 0].tolist() == [255, 0]


def test_exif_rotation_swaps_the_sides(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 4)).save(tmp_path / "x.jpg", exif=exif)

    pixels = decode(tmp_path / "x.jpg", "x", size=0, channels=3)

    assert pixels.shape == (3, 10, 4)


def test_bytes_decode_as_the_file_does(tmp_path, save_image):
    path = save_image(tmp_path / "x.jpg")

    from_file = decode(path, "x", size=6, channels=3)
    from_bytes = decode(path.read_bytes(), "x", size=6, channels=3)

    assert np.array_equal(from_file, from_bytes)


def test_large_jpeg_scales_like_a_large_png(tmp_path):
    rows = np.linspace(0, 255, 300).astype("u1")[:, None]
    image = Image.fromarray(np.repeat(np.repeat(rows, 300, 1)[..., None], 3, 2))
    image.save(tmp_path / "x.jpg", quality=95)
    image.save(tmp_path / "x.png")

    jpeg, png = (
        decode(tmp_path / name, name, size=32, channels=3)
        for name in ("x.jpg", "x.png")
    )

    assert np.abs(jpeg.astype(int) - png).max() <= 4


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_error_names_the_file_that_does_not_decode(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)

    with pytest.raises(
        ValueError, match=r"must be decodable, but .*broken\.png is not"
    ):
        decode(path, str(path), size=8, channels=3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif", "bmp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused_in_one_line(tmp_path, suffix, share):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype("u1")
    format = {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    Image.fromarray(noise).save(buffer, format)
    content = buffer.getvalue()[: int(len(buffer.getvalue()) * share)]

    with pytest.raises(ValueError, match=r"must be decodable, but cut\.\w+ is not"):
        decode(content, f"cut.{suffix}", size=8, channels=3)


def test_peek_reads_size_and_greyness(tmp_path, save_image):
    Image.new("L", (7, 5)).save(tmp_path / "grey.png")
    colour = save_image(tmp_path / "colour.png", side=9)

    assert peek(tmp_path / "grey.png") == (5, 7, True)
    assert peek(colour) == (9, 9, False)


def test_peek_names_the_file_that_is_no_image(tmp_path):
    (tmp_path / "x.png").write_text("no image")

    with pytest.raises(ValueError, match=r"x\.png is not"):
        peek(tmp_path / "x.png")


def test_conform_repeats_grey_and_weighs_colours():
    grey = np.full((2, 1, 4, 4), 9, np.uint8)
    red = np.zeros((1, 3, 2, 2), np.uint8)
    red[:, 0] = 255

    assert conform(grey, size=0, channels=3).shape == (2, 3, 4, 4)
    assert (conform(red, size=0, channels=1) == 76).all()


def test_conform_resizes_all_images_and_keeps_their_order():
    levels = np.arange(2500, dtype=np.int64) % 256
    pixels = np.ones((2500, 1, 4, 4), np.uint8) * levels[:, None, None, None].astype(
        "u1"
    )

    result = conform(pixels, size=7, channels=0)

    assert result.shape == (2500, 1, 7, 7)
    assert np.array_equal(result[:, 0, 3, 3], levels)


def test_conform_without_wishes_returns_what_it_got():
    pixels = np.zeros((1, 1, 2, 3), np.uint8)

    assert conform(pixels, size=0, channels=0) is pixels


def test_cache_makes_once():
    calls = []

    def make() -> np.ndarray:
        calls.append(1)
        return gradient()

    results = [cached(("key", 1), make) for _ in range(3)]

    assert len(calls) == 1
    assert all(np.array_equal(result, gradient()) for result in results)


def test_another_key_is_made_anew():
    cached(("a",), gradient)

    assert cached(("b",), lambda: 255 - gradient())[0, 0] == 255


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY\x01\x00v\x00{'"])
def test_corrupt_cache_is_rebuilt(own_cache, content):
    cached(("key",), gradient)
    (file,) = own_cache.glob("*.npy")
    file.write_bytes(content)

    again = cached(("key",), gradient)

    assert np.array_equal(again, gradient())
    assert np.array_equal(np.load(file), gradient())


def test_truncated_cache_is_rebuilt(own_cache):
    cached(("key",), gradient)
    (file,) = own_cache.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-9])

    assert np.array_equal(cached(("key",), gradient), gradient())


def test_pickled_cache_is_not_unpickled(own_cache):
    cached(("key",), gradient)
    (file,) = own_cache.glob("*.npy")
    np.save(file, np.array([object()]), allow_pickle=True)

    assert np.array_equal(cached(("key",), gradient), gradient())


def test_cache_leaves_no_temporary_files(own_cache):
    cached(("key",), gradient)

    assert [path.suffix for path in own_cache.iterdir()] == [".npy"]


def test_cache_that_cannot_be_written_is_done_without(own_cache, caplog):
    own_cache.write_text("a file where the folder should be")

    assert np.array_equal(cached(("key",), gradient), gradient())
    assert "cannot be written" in caplog.text
