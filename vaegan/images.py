"""Pictures and tensors: the only place that knows pixel ranges.

Networks see float32 in [-1, 1]; files and prepared sets hold uint8 in 0…255. Whatever a person
hands in goes through `open_image`, which returns plain 8-bit RGB or says what is wrong with it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, PngImagePlugin
from torch import Tensor
from torchvision.utils import make_grid

from vaegan.errors import UserError

RESAMPLE = Image.Resampling.LANCZOS  # for every resize; PIL widens the filter when it shrinks
MAX_PIXELS = 50_000_000
MIN_SIDE = 16  # pixels
STRIP = 2**16  # pixels that are scaled at a time
# What photographs come in. EPS and the like, which start other programs, stay out.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")

# What photographs go out in, by the format they came in; any other becomes a PNG.
ENDINGS = {
    "JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "TIFF": "tiff", "BMP": "bmp",
    "GIF": "gif",
}  # fmt: skip
MARK = "Edited: this is not an unaltered photograph."
SOFTWARE = "Face editor"


class BadImage(UserError):
    """A picture that cannot be used, said in one sentence.

    `kind` is the same in two words, for counting: "unreadable", "too small" or "too large".
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind


def to_float(images: Tensor) -> Tensor:
    """uint8 of any shape → float32 in [-1, 1]; `to_uint8` takes it back exactly."""
    if images.dtype != torch.uint8:
        raise TypeError(f"to_float takes uint8, not {images.dtype}")
    return images.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Floats in [-1, 1] of any shape → uint8, rounded; what lies outside is clamped."""
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_levels(difference: Tensor) -> NDArray[np.float32]:
    """A difference of two pictures (1, 3, H, W) in [-1, 1] → (H, W, 3) in grey levels."""
    return (difference[0] * 127.5).permute(1, 2, 0).numpy()


def add(pixels: NDArray[np.uint8], difference: Tensor) -> NDArray[np.uint8]:
    """(H, W, 3) with a difference (1, 3, H, W) in [-1, 1] added, rounded and clamped."""
    levels = (difference[0] * 127.5).permute(1, 2, 0)
    levels = levels.add_(torch.from_numpy(pixels)).round_().clamp_(0, 255)
    return levels.to(torch.uint8).contiguous().numpy()


def from_pil(image: Image.Image, resolution: int | None = None) -> Tensor:
    """→ (3, H, W) in [-1, 1]; with `resolution`, H = W = resolution (give it squares)."""
    image = image.convert("RGB")
    if resolution is not None and image.size != (resolution, resolution):
        image = image.resize((resolution, resolution), RESAMPLE)
    return to_float(torch.from_numpy(np.array(image)).permute(2, 0, 1)).contiguous()


def to_pil(x: Tensor) -> Image.Image:
    """x: (3, H, W) in [-1, 1] → RGB."""
    return Image.fromarray(to_uint8(x.detach()).permute(1, 2, 0).cpu().numpy())


def grid(x: Tensor, columns: int) -> Image.Image:
    """x: (N, 3, H, W) in [-1, 1] → one RGB picture, row by row, on white."""
    return to_pil(make_grid(x.detach().float(), nrow=columns, padding=2, pad_value=1.0))


def open_image(source: str | Path | bytes | Image.Image) -> Image.Image:
    """Opens what a person handed in: a path, a file's bytes, or a picture already open.

    Returns:
        An 8-bit RGB picture, upright (EXIF), the first frame of an animation, transparency laid
        on white. It keeps the ICC profile that describes its RGB in `info["icc_profile"]`, and
        `format`.

    Raises:
        BadImage: not a picture, damaged, or of a size that is no use; never anything else.
    """
    try:
        if isinstance(source, Image.Image):
            return _usable(source)
        if isinstance(source, bytes):
            return _decode(io.BytesIO(source))
        with open(source, "rb") as file:
            return _decode(file)
    except BadImage:
        raise
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadImage(f"There is no file {Path(source).name}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # PIL refuses these before it tells their width and height.
        pixels = int(re.search(r"\d+", str(error))[0])
        raise _too_large(f"has {pixels / 1e6:.0f} million pixels") from error
    except Exception as error:  # decoders meet damaged files with exceptions of every kind
        raise BadImage("The picture is damaged and cannot be read.") from error


def ending(image: Image.Image) -> str:
    """The ending of the format that a picture came in: "jpg", "png" and so on."""
    return ENDINGS.get(image.format or "", "png")


def writable(path: str | Path) -> bool:
    """Whether the path ends like a picture that `save` can write."""
    return _kind(path) in ENDINGS.values()


def save(image: Image.Image, path: str | Path) -> None:
    """Writes an edited picture in the format that the path's ending says.

    It carries its colour profile (but for GIF), and a mark that it was edited; BMP has no place for
    either. It carries nothing else: neither place nor camera nor time.

    Raises:
        UserError: an ending that no format in ENDINGS has.
    """
    if not writable(path):
        raise UserError(f"{Path(path).name} does not end in one of {', '.join(ENDINGS.values())}.")
    kind = _kind(path)
    formats = {known: name for name, known in ENDINGS.items()}
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription], exif[ExifTags.Base.Software] = MARK, SOFTWARE
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", MARK)
    text.add_text("Software", SOFTWARE)
    options = {
        "jpg": {"quality": 95, "subsampling": 0, "exif": exif},
        "png": {"pnginfo": text},
        "webp": {"quality": 95, "exif": exif},
        "avif": {"quality": 90, "exif": exif},
        "tiff": {"compression": "tiff_lzw", "exif": exif},
        "gif": {"comment": f"{MARK} {SOFTWARE}"},
    }.get(kind, {})
    if profile := image.info.get("icc_profile"):
        options["icc_profile"] = profile
    bare = Image.fromarray(np.asarray(image.convert("RGB")))  # `info` could carry more into a file
    bare.save(path, formats[kind], **options)


def _kind(path: str | Path) -> str:
    """The ending of a path as ENDINGS writes it."""
    kind = Path(path).suffix.lower().removeprefix(".")
    return {"jpeg": "jpg", "tif": "tiff"}.get(kind, kind)


def _decode(file: BinaryIO) -> Image.Image:
    if not file.read(1):
        raise BadImage("The file is empty.")
    file.seek(0)
    Image.init()
    try:
        image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.UnidentifiedImageError as error:
        raise BadImage("The file is not a picture in a format that can be read.") from error
    return _usable(image)


def _usable(image: Image.Image) -> Image.Image:
    _check_size(image.size)
    image.load()
    return _plain(_upright(image))


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_large(f"is {width}×{height} pixels")
    if min(size) < MIN_SIDE:
        raise BadImage(
            f"The picture is too small: {width}×{height} pixels, and each side needs {MIN_SIDE}.",
            "too small",
        )


def _too_large(what: str) -> BadImage:
    limit = MAX_PIXELS // 1_000_000
    return BadImage(
        f"The picture is too large: it {what}, and {limit} million are the limit.", "too large"
    )


def _upright(image: Image.Image) -> Image.Image:
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data say nothing about the pixels
        return image
    upright.format = image.format
    return upright


def _plain(image: Image.Image) -> Image.Image:
    """→ 8-bit RGB without transparency, with nothing in `info` but a profile that still holds."""
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        rgb = _eight_bit(image).convert("RGB")
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, "white")
        rgb.paste(rgba, mask=rgba.getchannel("A"))
    else:
        rgb = image.convert("RGB")
    # A profile names its colour space at byte 16; one of CMYK or gray no longer fits the pixels.
    rgb.info = {"icc_profile": profile} if profile and profile[16:20] == b"RGB " else {}
    rgb.format = "JPEG" if image.format == "MPO" else image.format
    return rgb


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit or float gray, scaled (PIL's own conversion would clip it), on white."""
    values = np.asarray(image)
    peak = max(strip.max() for strip in _strips(values))
    if image.mode == "F":
        white = next((level for level in (1.0, 255.0, 65535.0) if peak <= level), peak)
    else:
        white = max(65535.0, peak)
    strips = [
        (strip / white * 255).round().clip(0, 255).astype(np.uint8) for strip in _strips(values)
    ]
    levels = np.concatenate(strips).reshape(values.shape)
    if (clear := image.info.get("transparency")) is not None:
        levels[values == clear] = 255
    return Image.fromarray(levels)


def _strips(values: NDArray) -> Iterator[NDArray[np.float64]]:
    """All values in order, some at a time: of a large picture they would take gigabytes."""
    flat = values.reshape(-1)
    for start in range(0, len(flat), STRIP):
        yield np.nan_to_num(flat[start : start + STRIP].astype(np.float64))
