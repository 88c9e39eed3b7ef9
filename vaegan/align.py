"""From a photograph to an aligned face, and back.

A face is found by dlib's HOG detector and five landmarks; a similarity transform carries those
onto fixed places of a square crop (the frame of CelebA, so that every source looks alike).

Coordinates are continuous: the pixel in column i covers [i, i + 1), so a photograph of width W
spans [0, W]. A *matrix* is (2, 3) and maps photo coordinates to crop coordinates, where the crop
is the square [0, 1]², whatever its size in pixels.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vaegan.images import RESAMPLE

if TYPE_CHECKING:
    import dlib  # loaded where it is first needed, since prepared faces need no detector

# CelebA's aligned photographs, and the customary square crop of them, in pixels.
FRAME = (178, 218)
CROP = (15, 35, 163, 183)  # left, top, right, bottom
# Medians over CelebA, in dlib's order: the outer and inner corner of the eye on the picture's
# right, the same of the one on its left, the base of the nose. They are pixels' indices, and half
# a pixel further in continuous coordinates.
_LANDMARKS = ((115, 113), (100, 113), (62, 112), (77, 113), (88, 142.5))
CANONICAL = (np.array(_LANDMARKS) + 0.5 - CROP[:2]) / (CROP[2] - CROP[0])  # (5, 2) in [0, 1]

DETECTION_SIDE = 800  # pixels; dlib's detector sees faces from about 80 of these on
CERTAIN = 0.2  # score; folds and shadows reach 0.1, and count only where nothing else is found
TURNS = (90, -90, 180, 45, -45)  # degrees; tried where no face stands upright
CLEAR = 0.5  # score of a face in a turned picture: five looks more find five times as many shadows
LANDMARK_SIDE = 200  # pixels of the face's box; dlib rounds landmarks to whole ones
SOFTNESS = 0.3  # of a pasted edit's edge

Matrix = NDArray[np.float64]

_lock = threading.Lock()  # dlib's detector keeps state between the steps of one call


@dataclass(frozen=True, eq=False)
class Detection:
    """A face found in a photograph.

    box: (left, top, right, bottom) in photo pixels; it may reach outside the photograph
    landmarks: (5, 2), x and y in photo pixels, in the order of CANONICAL
    score: the detector's confidence; above 0, and about 1 to 3 for a plain view of a face
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]
    score: float

    @property
    def area(self) -> float:
        """Square pixels of the photograph."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


def detect(image: Image.Image) -> list[Detection]:
    """The faces in a photograph, largest first; an empty list where none was found.

    Several threads may call it; they take turns.
    """
    image = image.convert("RGB")
    doubtful: list[Detection] = []
    with _lock:
        detector, predictor = _dlib()
        for picture, scale in _attempts(image):
            boxes, scores, _ = detector.run(np.asarray(picture), 0, 0.0)
            found = [
                _detection(image, predictor, box, scale, score)
                for box, score in zip(boxes, scores, strict=True)
            ]
            if certain := [detection for detection in found if detection.score >= CERTAIN]:
                return sorted(certain, key=lambda detection: -detection.area)
            doubtful = doubtful or found
        found = _turned(image, detector, predictor) or doubtful
    return sorted(found, key=lambda detection: -detection.area)


def similarity(landmarks: NDArray[np.float64], target: NDArray[np.float64] = CANONICAL) -> Matrix:
    """The rotation, scale and shift that carry `landmarks` onto `target`: (N, 2) each.

    Least squares over the N points, without mirroring (Umeyama, 1991).

    Raises:
        ValueError: all landmarks in one place.
    """
    source_mean, target_mean = landmarks.mean(0), target.mean(0)
    source, goal = landmarks - source_mean, target - target_mean
    spread = (source**2).sum()
    if not spread > 0:
        raise ValueError("landmarks in a single place say nothing about scale")
    # In the plane the solution is one complex number: scale · e^(i · angle).
    cosine = (source * goal).sum() / spread
    sine = (source[:, 0] * goal[:, 1] - source[:, 1] * goal[:, 0]).sum() / spread
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def from_box(left: float, top: float, right: float, bottom: float) -> Matrix:
    """The matrix of an upright square crop, framed by hand in photo pixels.

    Raises:
        ValueError: the box is empty.
    """
    side = max(right - left, bottom - top)
    if not (right > left and bottom > top):
        raise ValueError(f"the box ({left}, {top}, {right}, {bottom}) is empty")
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return np.array([[1, 0, -x], [0, 1, -y]]) / side


def crop_size(matrix: Matrix) -> int:
    """The side of the crop in photo pixels: the size at which it loses and invents nothing."""
    return max(1, round(1 / np.hypot(matrix[0, 0], matrix[1, 0])))


def outside(matrix: Matrix, image_size: tuple[int, int]) -> float:
    """The share of the crop, 0 to 1, that lies outside a photograph of (width, height)."""
    ticks = (np.arange(64) + 0.5) / 64
    points = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    photo = _apply(_inverse(matrix), points)
    return 1 - float(((photo >= 0) & (photo < image_size)).all(1).mean())


def align(image: Image.Image, matrix: Matrix, size: int) -> Image.Image:
    """The crop, as size×size pixels; what lies outside the photograph is mirrored into it.

    It is cut at the photograph's own scale or finer, and only then shrunk, since a warp that
    shrinks would skip pixels.
    """
    side = max(crop_size(matrix), size)
    inverse = _inverse(matrix)
    corners = _apply(inverse, np.array([[0, 0], [1, 0], [0, 1], [1, 1]]))
    margin = 3  # pixels: the reach of the bicubic filter
    left, top = np.floor(corners.min(0)).astype(int) - margin
    right, bottom = np.ceil(corners.max(0)).astype(int) + margin
    patch = _mirrored(image, left, top, right, bottom)
    to_patch = inverse - [[0, 0, left], [0, 0, top]]
    crop = _warp(patch, to_patch * [1 / side, 1 / side, 1], (side, side))
    return crop if side == size else crop.resize((size, size), RESAMPLE)


def paste(
    photo: Image.Image,
    change: NDArray[np.float32],
    matrix: Matrix,
    softness: float = SOFTNESS,
) -> Image.Image:
    """A copy of `photo` with what an edit changed added where `align` took the crop from.

    Since only a difference is resampled, the photograph keeps its own sharpness, and its own
    pixels wherever the edit changed none.

    Args:
        change: (S, S, 3), edited minus original crop in grey levels, for a crop of any size S.
        softness: of the edge, see `mask`. Pixels outside the crop stay exactly as they are.
    """
    result = photo.copy()
    result.format = photo.format
    box = _touched(matrix, photo.size)
    if box[0] >= box[2] or box[1] >= box[3]:
        return result
    layer = change * mask(len(change), softness)[..., None]
    planes = [_unwarp(Image.fromarray(plane), matrix, box) for plane in layer.transpose(2, 0, 1)]
    pixels = np.asarray(photo.crop(box)) + np.stack(planes, axis=-1)
    result.paste(Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)), box)
    return result


def places(
    matrix: Matrix, image_size: tuple[int, int]
) -> tuple[tuple[int, int, int, int], NDArray[np.float32]]:
    """The part of a photograph that the crop touches, and where in the crop its pixels lie.

    Returns:
        left, top, right, bottom in pixels (left ≥ right or top ≥ bottom where there is none), and
        (1, height, width, 2): x and y from -1 to 1, as `torch.nn.functional.grid_sample` counts.
    """
    left, top, right, bottom = box = _touched(matrix, image_size)
    columns, rows = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    inside = _apply(matrix, np.stack([columns, rows], axis=-1))
    return box, (2 * inside - 1)[None].astype(np.float32)


def mask(size: int, softness: float = SOFTNESS) -> NDArray[np.float32]:
    """How much of an edit is pasted: (size, size), 1 inside, falling smoothly to 0 at the edges.

    softness: 0, a hard edge that shows, to 1, soft from the middle on.
    """
    ticks = (np.arange(size) + 0.5) / size
    feather = max(softness / 2, 1 / size)
    edge = np.clip(np.minimum(ticks, 1 - ticks) / feather, 0, 1)
    ramp = edge * edge * (3 - 2 * edge)
    return np.outer(ramp, ramp).astype(np.float32)


@cache
def _dlib() -> tuple[dlib.fhog_object_detector, dlib.shape_predictor]:
    """The detector and the five-point predictor; called under the lock."""
    import dlib

    # Importing the package would import pkg_resources, which is gone; its folder will do.
    folder = Path(find_spec("face_recognition_models").submodule_search_locations[0])
    model = folder / "models" / "shape_predictor_5_face_landmarks.dat"
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))


def _attempts(image: Image.Image) -> Iterator[tuple[Image.Image, float]]:
    """What to look at, each with its scale: the photograph; finer; finer and with contrast."""
    scale = min(1.0, DETECTION_SIDE / max(image.size))
    yield _scaled(image, scale), scale
    finer = _scaled(image, 2 * scale)
    yield finer, 2 * scale
    yield ImageOps.autocontrast(finer, cutoff=1), 2 * scale


def _turned(
    image: Image.Image, detector: dlib.fhog_object_detector, predictor: dlib.shape_predictor
) -> list[Detection]:
    """The faces in a photograph that was taken or scanned on its side, or of a head tilted far."""
    small = _scaled(image, min(1.0, DETECTION_SIDE / max(image.size)))
    to_photo = np.divide(image.size, small.size)
    for degrees in TURNS:
        cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        linear = np.array([[cosine, -sine], [sine, cosine]])
        size = np.ceil(np.abs(linear) @ small.size).astype(int)
        to_small = np.column_stack([linear, np.divide(small.size, 2) - linear @ (size / 2)])
        picture = _warp(small, to_small, tuple(size.tolist()))
        boxes, scores, _ = detector.run(np.asarray(picture), 0, 0.0)
        found = []
        for box, score in zip(boxes, scores, strict=True):
            if score >= CLEAR:
                turned = _detection(picture, predictor, box, 1.0, score)
                corners = np.array(turned.box).reshape(2, 2)
                corners = np.array([(x, y) for x in corners[:, 0] for y in corners[:, 1]])
                corners = _apply(to_small, corners) * to_photo
                around = (*corners.min(0).tolist(), *corners.max(0).tolist())
                landmarks = _apply(to_small, turned.landmarks) * to_photo
                found.append(Detection(around, landmarks, turned.score))
        if found:
            return found
    return []


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image if size == image.size else image.resize(size, RESAMPLE)


def _detection(
    image: Image.Image,
    predictor: dlib.shape_predictor,
    box: dlib.rectangle,
    scale: float,
    score: float,
) -> Detection:
    """`box` found at `scale`, with the landmarks read off the photograph itself."""
    edges = np.array([box.left(), box.top(), box.right() + 1, box.bottom() + 1]) / scale
    low, side = edges[:2], edges[2:] - edges[:2]
    zoom = LANDMARK_SIDE / side.max()
    start = np.floor(np.maximum(low - side / 2, 0)).astype(int)
    end = np.ceil(np.minimum(low + 1.5 * side, image.size)).astype(int)
    patch = _scaled(image.crop((*start.tolist(), *end.tolist())), zoom)
    zoom = np.array(patch.size) / (end - start)  # as rounded
    corners = np.concatenate([(low - start) * zoom, (low + side - start) * zoom - 1])
    shape = predictor(np.asarray(patch), type(box)(*corners.round().astype(int).tolist()))
    points = np.array([[point.x, point.y] for point in shape.parts()])
    landmarks = (points + 0.5) / zoom + start
    return Detection(tuple(edges.tolist()), landmarks, float(score))


def _inverse(matrix: Matrix) -> Matrix:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _apply(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ matrix[:, :2].T + matrix[:, 2]


def _warp(image: Image.Image, to_source: Matrix, size: tuple[int, int]) -> Image.Image:
    """`size` pixels of what `to_source` finds in `image`, black where that is outside of it.

    PIL's coordinates are continuous as well: it samples output pixels at their centres.
    """
    if image.mode == "F":
        coefficients = to_source.ravel().tolist()
        return image.transform(
            size, Image.Transform.AFFINE, coefficients, resample=Image.Resampling.BICUBIC
        )
    # In floats, since PIL's warp of 8-bit pixels cuts off fractions: half a level too dark.
    floats = [np.asarray(_warp(band.convert("F"), to_source, size)) for band in image.split()]
    levels = [band.round().clip(0, 255).astype(np.uint8) for band in floats]
    return Image.merge(image.mode, [Image.fromarray(band) for band in levels])


def _touched(matrix: Matrix, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The pixels that the crop covers at least in part: left, top, right, bottom."""
    corners = _apply(_inverse(matrix), np.array([[0, 0], [1, 0], [0, 1], [1, 1]]))
    left, top = np.maximum(np.floor(corners.min(0)), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(corners.max(0)), image_size).astype(int).tolist()
    return left, top, right, bottom


def _mirrored(image: Image.Image, left: int, top: int, right: int, bottom: int) -> Image.Image:
    """That part of the photograph, with the photograph mirrored at its edges, again and again."""
    columns = _reflect(np.arange(left, right), image.width)
    rows = _reflect(np.arange(top, bottom), image.height)
    x, y = int(columns.min()), int(rows.min())
    pixels = np.asarray(image.crop((x, y, int(columns.max()) + 1, int(rows.max()) + 1)))
    return Image.fromarray(pixels[rows - y][:, columns - x])


def _reflect(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def _unwarp(layer: Image.Image, matrix: Matrix, box: tuple[int, int, int, int]) -> Image.Image:
    """`layer`, spread over the crop, as seen in `box` of the photograph; black around it."""
    if layer.width > (side := crop_size(matrix)):
        layer = layer.resize((side, side), RESAMPLE)
    left, top, right, bottom = box
    to_crop = matrix.copy()
    to_crop[:, 2] = _apply(matrix, np.array([left, top]))
    return _warp(layer, to_crop * layer.width, (right - left, bottom - top))
