"""Pictures that move: GIF and MP4 from a list of frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from PIL import Image

from vaegan import files
from vaegan.errors import UserError

MARK = "Made with a face editor. Not a photograph."  # stands in the file's metadata
RATES = {".mp4": 24, ".gif": 20}  # by ending, pictures a second where nobody says other
QUALITY = 18  # x264's constant rate factor: 0 is lossless, 23 its default
SHEET = 5  # frames whose colours make a GIF's palette


def write(frames: Sequence[Image.Image], path: str | Path, fps: int) -> None:
    """Writes frames of one size to .mp4 or .gif, by the path's ending.

    Raises:
        UserError: another ending, or no frame.
    """
    path = Path(path)
    writers = {".mp4": write_mp4, ".gif": write_gif}
    if path.suffix.lower() not in writers:
        raise UserError(f"{path.name} does not end in {' or '.join(writers)}.")
    if not frames:
        raise UserError("There is no picture to write.")
    with files.atomic(path) as temporary:
        writers[path.suffix.lower()](frames, temporary, fps)


def write_gif(frames: Sequence[Image.Image], path: Path, fps: int) -> None:
    """An endless GIF with one palette for all frames, so that what stands still does not shimmer.

    A GIF counts in hundredths of a second, so its speed is the nearest one that it can have.
    """
    width, height = frames[0].size
    chosen = [frames[n * (len(frames) - 1) // (SHEET - 1)] for n in range(SHEET)]
    sheet = Image.new("RGB", (width, height * SHEET))
    for row, frame in enumerate(chosen):
        sheet.paste(frame, (0, row * height))
    palette = sheet.quantize(256, Image.Quantize.MEDIANCUT)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    small[0].save(
        path,
        "GIF",
        save_all=True,
        append_images=small[1:],
        duration=max(2, round(100 / fps)) * 10,
        loop=0,
        comment=MARK.encode(),
    )


def write_mp4(frames: Sequence[Image.Image], path: Path, fps: int) -> None:
    """H.264 in yuv420p, which every browser plays; an odd side loses its last row of pixels.

    A side of one pixel gets a second one, black.
    """
    import av  # loaded where it is needed: only films need an encoder

    width, height = (max(2, side // 2 * 2) for side in frames[0].size)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata["comment"] = MARK
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(QUALITY), "preset": "medium"}
        stream.codec_context.thread_count = 1  # many visitors share the cores
        for frame in frames:
            picture = av.VideoFrame.from_image(frame.crop((0, 0, width, height)))
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
