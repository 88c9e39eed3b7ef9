"""What pasting an edit back does to real photographs.

    python benchmarks/photographs.py lfw.zip --judge judge64.safetensors
    python benchmarks/photographs.py PHOTOS --judge judge64.safetensors --count 300

On photographs of a zip or folder whose face is found, it counts those that come back to the last
bit with all sliders at 0, and those that an edit leaves alone everywhere outside the face's crop.
It compares the mean gradient where the mask is soft (0.1 to 0.9) before and after: a seam would
raise it. And the judge says how many of the faces that lack an attribute have it in the edited
photograph, cut out of it anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from tqdm import tqdm  # noqa: E402

from vaegan import BadImage, Editor, FaceNotFound, Settings, align, images, sources  # noqa: E402
from vaegan.face import Face  # noqa: E402
from vaegan.judge import Judge  # noqa: E402

JUDGED_SIDE = 64  # pixels: what the judge learned from
BAND = (0.1, 0.9)  # of the mask: where the photograph and the edit blend


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measures pasting on real photographs.")
    parser.add_argument("photographs", type=Path, help="a zip or folder of photographs")
    parser.add_argument("--judge", type=Path, required=True, help="a judge's .safetensors")
    parser.add_argument("--count", type=int, default=100, help="photographs")
    parser.add_argument("--model", help="as app.py's")
    parser.add_argument("--attributes", nargs="+",
                        default=["Smiling", "Eyeglasses", "Bangs", "Blond_Hair"])  # fmt: skip
    parser.add_argument("--strengths", nargs="+", type=float, default=[2.0, 3.0])
    flags = parser.parse_args(arguments)
    torch.set_num_threads(1)
    editor, judge = Editor.from_pretrained(flags.model), Judge.load(flags.judge)
    faces = opened(editor, flags.photographs, flags.count)
    print(f"{len(faces)} photographs; detail {Settings.detail}, softness {Settings.softness}")

    for detail in sorted({1.0, Settings.detail}):
        same = sum(identical(editor, face, Settings(detail=detail)) for face in faces)
        print(f"all sliders at 0, detail {detail}: {same} of {len(faces)} come back identical")
    print(f"\n{'attribute':<14}{'slider':>7}{'flips':>12}{'untouched outside':>20}{'gradient':>10}")
    for name in flags.attributes:
        before = [judged(judge, name, crop_of(face.photo, face)) for face in faces]
        for strength in flags.strengths:
            lines = [
                edited_photograph(editor, judge, face, name, strength, score < 0)
                for face, score in zip(tqdm(faces, leave=False, disable=None), before, strict=True)
            ]
            flips = [flipped for flipped, _, _ in lines if flipped is not None]
            share = f"{sum(flips)}/{len(flips)} = {100 * np.mean(flips):.0f} %" if flips else "–"
            alone = sum(untouched for _, untouched, _ in lines)
            gradient = np.mean([ratio for _, _, ratio in lines])
            print(
                f"{name:<14}{strength:>+7.1f}{share:>16}{alone:>12}/{len(lines)}{gradient:>10.3f}"
            )
    return 0


def opened(editor: Editor, path: Path, count: int) -> list[Face]:
    """The largest faces of `count` photographs, evenly out of the whole."""
    photos = sources.read_source(path).photos
    faces: list[Face] = []
    for photo in photos[:: max(1, len(photos) // (count + count // 4))]:
        try:
            faces.append(editor.open(sources.read(photo.container, photo.name)))
        except (BadImage, FaceNotFound):
            continue
        if len(faces) == count:
            break
    return faces


def identical(editor: Editor, face: Face, settings: Settings) -> bool:
    return editor.compose([(face, settings)]).tobytes() == face.photo.tobytes()


def edited_photograph(
    editor: Editor, judge: Judge, face: Face, name: str, strength: float, lacks: bool
) -> tuple[bool | None, bool, float]:
    """Whether the attribute came (None where it was there), whether nothing outside the crop
    changed, and the gradient in the soft band as a multiple of the original's."""
    settings = Settings({name: strength})
    photo = editor.compose([(face, settings)])
    flipped = judged(judge, name, crop_of(photo, face)) > 0 if lacks else None

    before, after = np.asarray(face.photo).astype(int), np.asarray(photo).astype(int)
    mask, inside = masked(face, settings.softness)
    untouched = not (before != after).any(axis=2)[~inside].any()
    band = (mask > BAND[0]) & (mask < BAND[1])
    return flipped, untouched, slope(after)[band].mean() / slope(before)[band].mean()


def masked(face: Face, softness: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The mask, and what lies inside the crop or within a pixel of it, for the photograph."""
    width, height = face.photo.size
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = np.stack([columns, rows], -1) @ face.matrix[:, :2].T + face.matrix[:, 2]
    side = align.crop_size(face.matrix)
    index = np.floor(places * side).astype(int)
    within = ((index >= 0) & (index < side)).all(-1)
    u, v = np.moveaxis(index.clip(0, side - 1), -1, 0)
    near = ((places > -1 / side) & (places < 1 + 1 / side)).all(-1)
    return np.where(within, align.mask(side, softness)[v, u], 0), near


def slope(pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The length of the gradient at each pixel, mean over the colours: (H, W)."""
    down, right = np.gradient(pixels.astype(float), axis=(0, 1))
    return np.hypot(down, right).mean(axis=2)


def crop_of(photo: Image.Image, face: Face) -> Image.Image:
    return align.align(photo, face.matrix, len(face.crop))


def judged(judge: Judge, name: str, crop: Image.Image) -> float:
    """The judge's logit: positive where the face has the attribute."""
    scores, _ = judge.see(images.from_pil(crop, JUDGED_SIDE)[None])
    return float(scores[0, judge.names.index(name)])


if __name__ == "__main__":
    sys.exit(main())
