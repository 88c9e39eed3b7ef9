"""Films: files of any frame's size."""

from __future__ import annotations

import av
import pytest
from PIL import Image

from vaegan import video


@pytest.mark.parametrize(
    "size, written", [((64, 48), (64, 48)), ((63, 49), (62, 48)), ((1, 512), (2, 512))]
)
def test_the_sides_of_an_mp4_are_even(tmp_path, size, written):
    video.write([Image.new("RGB", size, "red")] * 2, tmp_path / "a.mp4", 25)
    with av.open(str(tmp_path / "a.mp4")) as film:
        frames = [frame.to_image() for frame in film.decode(video=0)]
    assert [frame.size for frame in frames] == [written] * 2
    red, green, _ = frames[0].getpixel((0, 20))
    assert red > 100 > green
