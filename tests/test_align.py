import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from vaegan import align
from vaegan.images import RESAMPLE, open_image

PACK = Path(__file__).parents[2] / "shared" / "faces"


def rotation(degrees, scale, shift):
    """Photo coordinates → crop coordinates."""
    angle = np.deg2rad(degrees)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def apply(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def noise(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def ramp(width=200, height=160):
    """Value x in red and y in green at the pixel centre (x + ½, y + ½)."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))


def difference(one, other):
    return np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int))


@pytest.fixture(scope="module")
def portrait():
    return Image.fromarray(astronaut())


@pytest.fixture(scope="module")
def face(portrait):
    (found,) = align.detect(portrait)
    return found


def test_canonical_frame_is_celebas():
    # The medians of the full 178×218 frame, at the centres of their pixels, need no transform.
    medians = np.array([[115, 113], [100, 113], [62, 112], [77, 113], [88, 142.5]]) + 0.5
    matrix = align.similarity(medians)
    assert matrix == pytest.approx(np.array([[1, 0, -15], [0, 1, -35]]) / 148)
    assert align.crop_size(matrix) == 148


def test_similarity_recovers_what_was_planted():
    planted = rotation(25, 0.01, (0.3, -0.2))
    points = np.random.default_rng(0).uniform(0, 100, (5, 2))
    assert align.similarity(points, apply(planted, points)) == pytest.approx(planted)


def test_similarity_is_least_squares_and_never_mirrors():
    points = np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]])
    mirrored = points * [-1, 1]
    matrix = align.similarity(points, mirrored + 5)
    assert np.linalg.det(matrix[:, :2]) >= 0
    # One corner pulled out by 4·(1, 1): the best scale is ⟨p, q⟩ / ⟨p, p⟩ = (8 + 8) / 8 about
    # the centres.
    pulled = points.copy()
    pulled[2] += 4
    assert align.similarity(points, pulled)[:, :2] == pytest.approx(np.eye(2) * 2)
    with pytest.raises(ValueError):
        align.similarity(np.ones((5, 2)))


def test_from_box():
    matrix = align.from_box(10, 20, 60, 70)
    assert apply(matrix, np.array([[10, 20], [60, 70], [35, 45]])).tolist() == [
        [0, 0],
        [1, 1],
        [0.5, 0.5],
    ]
    assert align.crop_size(matrix) == 50
    wide = align.from_box(0, 0, 100, 50)  # squared about its centre
    assert apply(wide, np.array([[0, -25], [100, 75]])).tolist() == [[0, 0], [1, 1]]
    with pytest.raises(ValueError):
        align.from_box(10, 10, 10, 20)


def test_crop_size_of_a_rotation():
    assert align.crop_size(rotation(33, 1 / 123, (0, 0))) == 123


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0, 0, 100, 100), 0),
        ((-50, 0, 50, 100), 0.5),
        ((50, 50, 150, 150), 0.75),
        ((200, 200, 300, 300), 1),
    ],
)
def test_outside(box, share):
    assert align.outside(align.from_box(*box), (100, 100)) == pytest.approx(share)


def test_an_upright_crop_is_the_photographs_own_pixels():
    photo = noise(90, 80)
    crop = align.align(photo, align.from_box(10, 20, 58, 68), 48)
    assert crop.tobytes() == photo.crop((10, 20, 58, 68)).tobytes()


def test_outside_is_mirrored_again_and_again():
    photo = noise(20, 24)
    crop = align.align(photo, align.from_box(-50, -50, 50, 50), 100)
    padded = np.pad(np.asarray(photo), ((50, 26), (50, 30), (0, 0)), "symmetric")
    assert np.array_equal(np.asarray(crop), padded)


def test_a_turned_crop_of_a_ramp():
    matrix = rotation(20, 1 / 60, (-1.0, -1.2))
    crop = np.asarray(align.align(ramp(), matrix, 60)).astype(float)
    centres = (np.arange(60) + 0.5) / 60
    u, v = np.meshgrid(centres, centres)
    linear = np.linalg.inv(matrix[:, :2])
    x, y = np.moveaxis((np.stack([u, v], -1) - matrix[:, 2]) @ linear.T, -1, 0)
    # Bicubic interpolation keeps a ramp; half a pixel of shift would be half a level.
    assert np.abs(crop[..., 0] - (x - 0.5)).mean() < 0.3
    assert np.abs(crop[..., 1] - (y - 0.5)).mean() < 0.3
    assert abs((crop[..., 0] - (x - 0.5)).mean()) < 0.1


def checks(side):
    """Single black and white pixels in turn: gray, unless a warp picks some of them."""
    return Image.fromarray((np.indices((side, side)).sum(0) % 2 * 255).astype(np.uint8))


def test_shrinking_does_not_alias():
    crop = align.align(checks(160).convert("RGB"), align.from_box(16, 16, 136, 136), 16)
    assert np.abs(np.asarray(crop).astype(int) - 127).max() < 6
    layer = np.asarray(checks(240).convert("RGB")).astype(np.float32)
    pasted = align.paste(Image.new("RGB", (100, 100)), layer, align.from_box(0, 0, 80, 80), 0)
    assert np.abs(np.asarray(pasted)[2:78, 2:78].astype(int) - 127).max() < 6


def test_enlarging():
    crop = np.asarray(align.align(ramp(), align.from_box(40, 40, 60, 60), 200))
    assert crop.shape == (200, 200, 3)
    assert crop[100, 100].tolist()[:2] == pytest.approx([49.5, 49.5], abs=1)


def flat(size, level=20.0):
    return np.full((size, size, 3), level, np.float32)


@pytest.mark.parametrize("size", [50, 100, 300])
def test_paste_adds_where_the_crop_was_taken(size):
    photo, matrix = noise(100, 90).point(lambda level: level // 2), align.from_box(30, 20, 70, 60)
    pasted = np.asarray(align.paste(photo, flat(size), matrix, 0.2)).astype(int)
    change = pasted - np.asarray(photo)
    assert (change[26:54, 36:64] == 20).all()
    outside = np.ones((90, 100), bool)
    outside[20:60, 30:70] = False
    assert (change[outside] == 0).all()


def test_paste_turns_back(portrait):
    """What `align` cut out of a turned photograph comes back to its place."""
    matrix = rotation(-15, 1 / 80, (-0.6, -0.2))
    bright = portrait.point(lambda level: min(level + 40, 255))
    change = align.align(bright, matrix, 80), align.align(portrait, matrix, 80)
    layer = np.subtract(*(np.asarray(crop).astype(np.float32) for crop in change))
    pasted = np.asarray(align.paste(portrait, layer, matrix, 0.2)).astype(int)
    ticks = np.stack(np.meshgrid(np.arange(512), np.arange(512)), -1) + 0.5
    inside = (np.abs(apply(matrix, ticks) - 0.5) < 0.38).all(-1)
    assert inside.sum() > 2000
    assert np.abs(pasted - np.asarray(bright))[inside].mean() < 1


def test_paste_returns_a_copy_that_keeps_profile_and_format():
    photo = noise(100, 90)
    photo.info["icc_profile"], photo.format = b"profile", "TIFF"
    pasted = align.paste(photo, flat(40), align.from_box(30, 20, 70, 60))
    assert (pasted.info["icc_profile"], pasted.format) == (b"profile", "TIFF")
    assert photo.tobytes() == noise(100, 90).tobytes()
    same = align.paste(photo, flat(40, 0), align.from_box(30.3, 20.7, 71, 61))
    assert same.tobytes() == photo.tobytes()


@pytest.mark.parametrize("softness", [0.1, 0.3, 1.0])
def test_the_mask_is_soft_and_local(softness):
    mask = align.mask(200, softness)
    row = mask[100]
    assert row[100] == pytest.approx(1, abs=0.01) and mask[0].max() < 0.01
    assert (np.diff(row[:100]) >= 0).all() and np.array_equal(row, row[::-1])
    soft = int(100 * softness)  # pixels of the ramp, whose middle is at one half
    assert row[soft // 2] == pytest.approx(0.5, abs=0.12)
    assert np.abs(np.diff(row)).max() < 2 / soft  # no seam


def test_paste_reaches_only_what_is_there():
    photo = Image.new("RGB", (50, 50), "gray")
    corner = np.asarray(align.paste(photo, flat(40), align.from_box(-20, -20, 20, 20), 0))
    assert (corner[:18, :18] == 148).all()
    assert np.array_equal(corner[20:], np.asarray(photo)[20:])
    away = align.paste(photo, flat(40), align.from_box(60, 60, 100, 100))
    assert away.tobytes() == photo.tobytes()


def test_places_are_where_align_looks():
    matrix = rotation(20, 1 / 60, (-1.0, -1.2))
    (left, top, right, bottom), grid = align.places(matrix, (200, 160))
    assert grid.shape == (1, bottom - top, right - left, 2)
    expected = apply(matrix, np.array([left + 7.5, top + 11.5])) * 2 - 1
    assert grid[0, 11, 7] == pytest.approx(expected, abs=1e-6)
    assert 0 <= left < right <= 200 and 0 <= top < bottom <= 160


def test_detect(face):
    # Read off the photograph by eye: the corners of the eyes, the base of the nose.
    expected = [[256, 104], [238, 105], [195, 101], [212, 104], [225, 135]]
    assert np.abs(face.landmarks - expected).max() < 5
    left, top, right, bottom = face.box
    assert left < 195 < 256 < right and top < 101 < 135 < bottom
    assert face.score > 0.5


def test_detected_landmarks_land_in_the_frame(portrait, face):
    crop = align.align(portrait, align.similarity(face.landmarks), 256)
    (again,) = align.detect(crop)
    assert np.abs(again.landmarks / 256 - align.CANONICAL).max() < 0.04
    assert align.crop_size(align.similarity(again.landmarks)) == pytest.approx(256, rel=0.05)


@pytest.mark.parametrize("scale", [0.5, 3])  # at 3, folds of the suit get a little score
def test_detect_gives_photo_pixels(portrait, face, scale):
    size = tuple(round(side * scale) for side in portrait.size)
    (found,) = align.detect(portrait.resize(size, RESAMPLE))
    side = (face.box[2] - face.box[0]) * scale
    assert np.abs(found.landmarks - face.landmarks * scale).max() < 0.05 * side
    assert np.abs(np.subtract(found.box, np.multiply(face.box, scale))).max() < 0.2 * side


def test_largest_first(portrait, face):
    small = portrait.crop((130, 30, 330, 230))
    photo = Image.new("RGB", (900, 500), "gray")
    photo.paste(small, (20, 100))
    photo.paste(small.resize((400, 400), RESAMPLE), (450, 50))
    large, little = align.detect(photo)
    assert large.area > 2 * little.area
    assert large.centre[0] > 450 > little.centre[0]


def test_small_dark_and_absent_faces(portrait):
    side = 240  # the face's box measures 88 of 512
    assert align.detect(portrait.resize((side, side), RESAMPLE))
    assert align.detect(portrait.point(lambda value: value // 12))
    assert align.detect(ramp()) == []
    assert align.detect(Image.new("RGB", (5000, 16))) == []


@pytest.mark.parametrize("degrees", [90, 180, 270, 50])
def test_turned_faces_are_found_and_stand_upright_in_the_crop(portrait, face, degrees):
    turned = portrait.rotate(degrees, expand=True, fillcolor="gray")
    (found,) = align.detect(turned)
    angle = np.deg2rad(degrees)  # counterclockwise, with y pointing down
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = (face.landmarks - 256) @ matrix.T + np.divide(turned.size, 2)
    assert np.abs(found.landmarks - expected).max() < 8
    left, top, right, bottom = found.box
    assert (expected >= [left, top]).all() and (expected <= [right, bottom]).all()
    crop = align.align(turned, align.similarity(found.landmarks), 256)
    (again,) = align.detect(crop)
    assert np.abs(again.landmarks / 256 - align.CANONICAL).max() < 0.06


def test_threads_agree(portrait, face):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(align.detect(portrait))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(np.array_equal(found[0].landmarks, face.landmarks) for found in results)


@pytest.mark.skipif(not (PACK / "celeba.zip").exists(), reason="no face pack")
def test_celebas_own_faces_are_in_the_frame():
    landmarks = []
    with zipfile.ZipFile(PACK / "celeba.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        for name in names[:: len(names) // 60]:
            photo = open_image(archive.read(name))
            landmarks += [found.landmarks * 178 / photo.width for found in align.detect(photo)[:1]]
    medians = (np.median(landmarks, 0) - [15, 35]) / 148
    assert len(landmarks) > 50
    assert np.abs(medians - align.CANONICAL).max() < 0.015  # 1 pixel of 64
