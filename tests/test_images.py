import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, features

from vaegan import images
from vaegan.errors import UserError
from vaegan.images import BadImage, open_image


def encode(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def picture(width=40, height=30):
    """Smooth, so that lossy formats keep it."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x * 4, y * 5, 200 - x], -1).astype(np.uint8))


def huge_png(width, height):
    """A PNG of a few bytes that claims to be enormous."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def test_known_pixels():
    assert images.to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]
    assert images.to_float(torch.tensor([51], dtype=torch.uint8)).item() == pytest.approx(-0.6)
    x = torch.tensor([-1.0, 1.0, -7.0, 7.0, -0.6, 0.2])
    assert images.to_uint8(x).tolist() == [0, 255, 0, 255, 51, 153]


def test_round_trip_is_exact():
    every = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 64)
    x = images.to_float(every)
    assert x.dtype == torch.float32
    assert torch.equal(images.to_uint8(x), every)


def test_floats_are_not_taken_for_pixels():
    with pytest.raises(TypeError):
        images.to_float(torch.zeros(3))


def test_pil_round_trip():
    image = picture()
    x = images.from_pil(image)
    assert x.shape == (3, 30, 40) and x.is_contiguous()
    assert x[0, 0, 3] == pytest.approx(12 / 127.5 - 1)
    assert images.to_pil(x).tobytes() == image.tobytes()


def test_shrinking_averages():
    checks = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    x = images.from_pil(checks, 16)
    assert x.shape == (3, 16, 16)
    assert x.abs().max() < 0.05


def test_grid():
    x = torch.stack([torch.full((3, 4, 4), value) for value in (-1.0, 0.2, -0.6)])
    sheet = np.asarray(images.grid(x, 2))
    assert sheet.shape == (14, 14, 3)  # two rows and columns of 4 pixels, 2 between and around
    assert (sheet[2:6, 2:6] == 0).all()
    assert (sheet[2:6, 8:12] == 153).all()
    assert (sheet[8:12, 2:6] == 51).all()
    assert (sheet[8:12, 8:12] == 255).all()


def test_open_takes_paths_bytes_and_pictures(tmp_path):
    image = picture()
    image.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), data, image):
        opened = open_image(source)
        assert opened.mode == "RGB" and opened.tobytes() == image.tobytes()
        assert opened is not image
    assert open_image(data).format == "PNG"


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "GIF"])
def test_formats(format):
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    opened = open_image(encode(picture(), format))
    error = np.abs(np.asarray(opened).astype(int) - np.asarray(picture()))
    assert opened.format == format
    assert error.mean() < 8


def test_exif_orientation():
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise: left becomes top
    opened = open_image(encode(image, "PNG", exif=exif))
    assert opened.size == (20, 40)
    assert opened.getpixel((10, 5)) == (0, 0, 255)
    assert opened.getpixel((10, 35)) == (255, 0, 0)
    assert open_image(opened).size == (20, 40)  # not turned again


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_is_no_obstacle():
    assert open_image(encode(picture(), "JPEG", exif=b"Exif\0\0MM\0*garbage")).size == (40, 30)


def test_16_bit_gray_is_scaled():
    values = np.full((20, 20), 128 * 257, np.uint16)
    values[0] = 0
    values[1] = 65535
    for format in ("PNG", "TIFF"):
        opened = np.asarray(open_image(encode(Image.fromarray(values), format)))
        assert opened[2, 0].tolist() == [128, 128, 128]
        assert opened[0, 0, 0] == 0 and opened[1, 0, 0] == 255


def test_every_16_bit_level_is_rounded_to_the_nearest(monkeypatch):
    levels = np.arange(65536)
    nearest = (2 * levels + 257) // 514  # 65535 = 257 · 255, and there are no ties
    data = encode(Image.fromarray(levels.reshape(256, 256).astype(np.uint16)), "PNG")
    for strip in (images.STRIP, 1000):
        monkeypatch.setattr(images, "STRIP", strip)
        assert (np.asarray(open_image(data))[..., 1].reshape(-1) == nearest).all()


def test_32_bit_gray_is_scaled_to_the_brightest_of_all(monkeypatch):
    monkeypatch.setattr(images, "STRIP", 100)
    values = np.full((20, 20), 60_000, np.int32)
    values[0] = 100_000
    opened = open_image(encode(Image.fromarray(values), "TIFF"))
    assert opened.getpixel((0, 0))[0] == 255 and opened.getpixel((0, 19))[0] == 153


def test_a_large_16_bit_picture_takes_little_more_than_its_pixels():
    side = 3000
    gray = Image.fromarray(np.full((side, side), 1000, np.uint16))
    tracemalloc.start()
    try:
        open_image(gray)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * side * side  # bytes, which one copy as float64 would take


@pytest.mark.parametrize(("top", "value"), [(1.0, 0.4), (255.0, 102.0), (1000.0, 400.0)])
def test_float_gray_is_scaled(top, value):
    values = np.full((20, 20), value, np.float32)
    values[0] = top
    values[1] = np.nan
    peak = 65535 if top == 1000 else top
    opened = np.asarray(open_image(encode(Image.fromarray(values), "TIFF")))
    assert opened[2, 2, 0] == round(value / peak * 255)
    assert opened[1, 1, 0] == 0


def test_transparency_is_laid_on_white():
    rgba = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    rgba.paste((255, 0, 0, 255), (0, 0, 10, 20))
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([255, 0, 0, 0, 0, 0])
    palette.paste(0, (0, 0, 10, 20))
    gray = Image.new("LA", (20, 20), (0, 128))
    for data in (encode(rgba, "PNG"), encode(palette, "PNG", transparency=1)):
        opened = open_image(data)
        assert opened.getpixel((5, 5)) == (255, 0, 0)
        assert opened.getpixel((15, 5)) == (255, 255, 255)
    assert open_image(encode(gray, "PNG")).getpixel((5, 5)) == (127, 127, 127)


def test_the_clear_level_of_16_bit_gray_becomes_white():
    values = np.full((20, 20), 1000, np.uint16)
    values[5], values[6] = 300, 301  # which are both 1 with 8 bits
    opened = open_image(encode(Image.fromarray(values), "PNG", transparency=300))
    assert [opened.getpixel((3, y))[0] for y in (4, 5, 6)] == [4, 255, 1]


def test_cmyk_and_one_bit():
    cmyk = Image.new("CMYK", (20, 20), (0, 255, 255, 0))  # magenta and yellow make red
    red, green, blue = open_image(encode(cmyk, "JPEG", quality=100)).getpixel((5, 5))
    assert red > 250 and green < 5 and blue < 5
    assert open_image(encode(Image.new("1", (20, 20), 1), "PNG")).getpixel((5, 5)) == (255,) * 3


def test_first_frame():
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    for format in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert open_image(data).getpixel((5, 5)) == (255, 0, 0)


def test_profile_is_kept_where_it_holds():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    opened = open_image(encode(picture(), "JPEG", icc_profile=profile))
    assert opened.info == {"icc_profile": profile}
    cmyk = profile[:16] + b"CMYK" + profile[20:]
    assert open_image(encode(picture().convert("CMYK"), "JPEG", icc_profile=cmyk)).info == {}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("size", "said"),
    [((8000, 7000), "8000×7000"), ((10000, 10000), "10000×10000"), ((20000, 20000), "400 million")],
)
def test_too_large_is_told_from_the_header(size, said):
    with pytest.raises(BadImage, match=said) as caught:
        open_image(huge_png(*size))
    assert caught.value.kind == "too large"


def test_too_small():
    with pytest.raises(BadImage, match="15×100") as caught:
        open_image(encode(Image.new("RGB", (15, 100)), "PNG"))
    assert caught.value.kind == "too small"
    assert open_image(Image.new("RGB", (16, 16))).size == (16, 16)


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff\xe0"])
def test_not_a_picture(data):
    with pytest.raises(BadImage) as caught:
        open_image(data)
    assert caught.value.kind == "unreadable" and str(caught.value).endswith(".")


def test_no_file(tmp_path):
    for path in (tmp_path / "missing.png", tmp_path, "a\0b"):
        with pytest.raises(BadImage):
            open_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_damage_never_raises_anything_else(format):
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    data = encode(Image.fromarray(noise), format)
    with pytest.raises(BadImage):
        open_image(data[: len(data) // 2])
    rng = np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(data[: rng.integers(8, len(data) + 1)])
        for place in rng.integers(0, min(len(damaged), 400), 6):
            damaged[place] = rng.integers(256)
        try:
            assert open_image(bytes(damaged)).mode == "RGB"
        except BadImage as error:
            assert str(error).endswith(".")  # a sentence


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"])
def test_a_picture_goes_out_as_it_came_in(format, tmp_path):
    """Format, size and profile survive; place, camera and time do not; the mark is there."""
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    exif.get_ifd(0x8825)[29] = "2001:01:01"  # of a place
    extras = {"icc_profile": profile, "exif": exif} if format not in ("BMP", "GIF") else {}
    opened = open_image(encode(picture(), format, **extras))
    path = tmp_path / f"edited.{images.ending(opened)}"
    images.save(opened, path)
    saved = Image.open(path)
    assert saved.format == format
    assert saved.size == opened.size == ((30, 40) if extras else (40, 30))
    again = np.asarray(open_image(path)).astype(int)
    assert np.abs(again - np.asarray(opened)).mean() < 4
    assert saved.info.get("icc_profile") == extras.get("icc_profile")
    data = path.read_bytes()
    assert b"A camera" not in data and b"2001:01:01" not in data
    assert saved.getexif().get(0x0112) is None
    assert (images.MARK.encode() in data) is (format != "BMP")


def test_lossless_formats_keep_every_pixel(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
    for ending in ("png", "tif", "bmp"):
        images.save(noise, tmp_path / f"a.{ending}")
        assert open_image(tmp_path / f"a.{ending}").tobytes() == noise.tobytes()


def test_other_formats_go_out_as_png_and_other_endings_are_refused(tmp_path):
    assert images.ending(open_image(encode(picture(), "PPM"))) == "png"
    assert images.writable("a.JPEG") and not images.writable("a.jp2")
    with pytest.raises(UserError, match=r"a.doc does not end in one of jpg, png"):
        images.save(picture(), tmp_path / "a.doc")
