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
    photo, full = Image.new("RGB", (100, 100)), Image.new("L", (100, 100), 255)
    pasted = align.paste(photo, checks(240).convert("RGB"), align.from_box(0, 0, 80, 80), full)
    assert np.abs(np.asarray(pasted)[2:78, 2:78].astype(int) - 127).max() < 6


def test_enlarging():
    crop = np.asarray(align.align(ramp(), align.from_box(40, 40, 60, 60), 200))
    assert crop.shape == (200, 200, 3)
    assert crop[100, 100].tolist()[:2] == pytest.approx([49.5, 49.5], abs=1)


def test_paste_undoes_align():
    photo = ramp()
    for matrix in (align.from_box(20, 30, 120, 130), rotation(-15, 1 / 80, (-0.6, -0.2))):
        crop = align.align(photo, matrix, align.crop_size(matrix))
        assert difference(align.paste(photo, crop, matrix), photo).max() <= 2


def test_paste_of_other_sizes():
    photo, matrix = ramp(), align.from_box(20, 30, 120, 130)
    for size in (50, 300):
        crop = align.align(photo, matrix, size)
        assert difference(align.paste(photo, crop, matrix), photo).max() <= 2


def test_paste_shows_the_mask_and_leaves_the_rest():
    photo = noise(100, 90)
    photo.info["icc_profile"] = b"profile"
    mask = Image.new("L", (40, 40), 0)
    mask.paste(255, (0, 0, 20, 40))  # the left half
    matrix = align.from_box(30, 20, 70, 60)
    pasted = align.paste(photo, Image.new("RGB", (40, 40), "red"), matrix, mask)
    expected = photo.copy()
    expected.paste("red", (30, 20, 50, 60))
    assert pasted.tobytes() == expected.tobytes()
    assert pasted.info["icc_profile"] == b"profile"
    assert photo.tobytes() == noise(100, 90).tobytes()  # a copy


def test_default_mask_is_soft_and_local():
    photo = Image.new("RGB", (100, 100), "black")
    matrix = align.from_box(20, 20, 80, 80)
    pasted = np.asarray(align.paste(photo, Image.new("RGB", (60, 60), "white"), matrix))[..., 0]
    row = pasted[50].astype(int)
    assert row[50] == 255 and (row[:20] == 0).all() and (row[80:] == 0).all()
    assert (np.diff(row[20:50]) >= 0).all()
    assert 0 < row[23] < 255 and np.abs(np.diff(row)).max() < 60  # no seam


def test_paste_reaches_only_what_is_there():
    photo = noise(50, 50)
    red = Image.new("RGB", (40, 40), "red")
    full = Image.new("L", (40, 40), 255)
    corner = np.asarray(align.paste(photo, red, align.from_box(-20, -20, 20, 20), full))
    assert (corner[:20, :20] == [255, 0, 0]).all()
    assert np.array_equal(corner[20:], np.asarray(photo)[20:])
    away = align.paste(photo, red, align.from_box(60, 60, 100, 100), full)
    assert away.tobytes() == photo.tobytes()


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


def test_paste_with_a_base_adds_only_what_was_edited(portrait):
    """The photograph keeps its own pixels, though the crop went through two resamplings."""
    matrix = align.similarity(np.array(align.CANONICAL) * 90 + [31.3, 17.8])
    crop = align.align(portrait, matrix, 90)
    assert align.paste(portrait, crop, matrix, base=crop).tobytes() == portrait.tobytes()
    brighter = crop.point(lambda level: min(level + 20, 255))
    pasted = align.paste(portrait, brighter, matrix, base=crop)
    change = np.asarray(pasted).astype(int) - np.asarray(portrait)
    assert change.max() <= 21
    middle = change[55:75, 65:85]
    assert np.median(middle) == 20
    assert not change[:, 150:].any()
