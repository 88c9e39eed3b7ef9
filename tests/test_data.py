import io
import json
import multiprocessing
import ntpath
import os
import struct
import threading
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from vaegan import align, data, files, sources
from vaegan.images import RESAMPLE
from vaegan.sources import DataError

PACK = Path(__file__).parents[2] / "shared" / "faces"
COLOURS = ("red", "lime", "blue", "white")


def portrait(side=200):
    """A face of about 88/200 of the side."""
    return Image.fromarray(astronaut()).crop((123, 23, 323, 223)).resize((side, side), RESAMPLE)


def two_faces(large_at, small_at):
    """The small one as it is; the large one with red and blue exchanged, to tell them apart."""
    photo = Image.new("RGB", (800, 500), "gray")
    photo.paste(portrait(240), small_at)
    photo.paste(Image.merge("RGB", portrait(400).split()[::-1]), large_at)
    return photo


def redness(face):
    """face: (3, R, R) uint8; above 0 for skin as it is."""
    red, _, blue = face[:, 8:-8, 8:-8].float().mean((1, 2)).tolist()
    return red - blue


def celeba_photo(colour, scale=1):
    """A photograph in CelebA's frame, black outside the square that is cut from it."""
    photo = Image.new("RGB", align.FRAME, "black")
    photo.paste(colour, align.CROP)
    return photo.resize((round(178 * scale), round(218 * scale)), Image.Resampling.BOX)


def write_celeba(folder, scale=1):
    pictures = folder / "img_align_celeba"
    pictures.mkdir(parents=True)
    for number, colour in enumerate(COLOURS, 1):
        celeba_photo(colour, scale).save(pictures / f"{number:06}.jpg", quality=100, subsampling=0)
    (folder / "list_attr_celeba.txt").write_text(
        "5\nSmiling Male\n000001.jpg  1 -1\n000002.jpg -1 -1\n000003.jpg -1  1\n"
        "000004.jpg  1  1\n000099.jpg  1  1\n"  # a row without a photograph
    )
    (folder / "identity_CelebA.txt").write_text(
        "000001.jpg 7\n000002.jpg 5\n000003.jpg 7\n000004.jpg 5\n"
    )
    (folder / "list_eval_partition.txt").write_text(
        "000001.jpg 0\n000002.jpg 1\n000003.jpg 0\n000004.jpg 2\n"
    )
    return folder


def write_kaggle(folder):
    """The same without identities: pictures in a folder of their own, lists with commas."""
    (write_celeba(folder) / "identity_CelebA.txt").unlink()
    pictures = folder / "img_align_celeba"
    (pictures / pictures.name).mkdir()
    for picture in pictures.glob("*.jpg"):
        picture.rename(pictures / pictures.name / picture.name)
    heads = {
        "list_attr_celeba": "image_id,Smiling,Male",
        "list_eval_partition": "image_id,partition",
    }
    for stem, head in heads.items():
        file = folder / f"{stem}.txt"
        rows = [line.split() for line in file.read_text().splitlines() if ".jpg" in line]
        lines = [head, *(",".join(row) for row in rows)]
        file.with_suffix(".csv").write_text("\n".join(lines) + "\n")
        file.unlink()
    return folder


def write_zip(folder, path, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def write_folder(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        portrait().save(folder / name)
    return folder


def prepared(sources, path, resolution=32, **options):
    data.prepare(sources, path, resolution, workers=1, **options)
    return data.load(path)


def same(one, other):
    pairs = [(one.images, other.images), (one.attributes, other.attributes)]
    pairs += [(one.identity, other.identity), (one.split, other.split)]
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def celeba(tmp_path):
    return write_celeba(tmp_path / "celeba")


@pytest.fixture
def faces(celeba, tmp_path):
    return prepared([celeba], tmp_path / "set")


def test_celeba_layout(faces):
    assert faces.images.shape == (4, 3, 32, 32) and faces.images.dtype == torch.uint8
    assert faces.resolution == 32 and len(faces) == 4
    # The names come in CelebA's order, whatever that of the list.
    assert faces.attribute_names == ("Male", "Smiling")
    assert faces.attributes.tolist() == [[-1, 1], [-1, -1], [1, -1], [1, 1]]
    assert faces.identity.tolist() == [0, 1, 0, 1]
    assert faces.split.tolist() == [0, 1, 0, 2]
    dtypes = (faces.attributes.dtype, faces.identity.dtype, faces.split.dtype)
    assert dtypes == (torch.int8, torch.int32, torch.uint8)


@pytest.mark.parametrize("scale", [1, 0.5, 2])
def test_celeba_crop_scales_with_the_photograph(tmp_path, scale):
    faces = prepared([write_celeba(tmp_path / "celeba", scale)], tmp_path / "set")
    expected = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]])
    inside = faces.images[:, :, 2:-2, 2:-2].int()
    assert (inside - expected[:, :, None, None]).abs().max() <= 6
    # Half a pixel of black at most comes in at the edges.
    assert faces.images[3].float().mean() > 250


def test_celeba_in_every_wrapping_is_the_same(celeba, faces, tmp_path):
    flat = write_zip(celeba, tmp_path / "flat.zip")
    top = write_zip(celeba, tmp_path / "top.zip", "some/folder/")
    official = tmp_path / "official"
    official.mkdir()
    for file in celeba.glob("*.txt"):
        (official / file.name).write_bytes(file.read_bytes())
    inner = official / "img_align_celeba.zip"
    write_zip(celeba / "img_align_celeba", inner, "img_align_celeba/")
    for number, source in enumerate((flat, top, official)):
        assert same(prepared([source], tmp_path / str(number)), faces)


def test_celeba_without_lists(celeba, tmp_path):
    for file in celeba.glob("*.txt"):
        file.unlink()
    faces = prepared([celeba], tmp_path / "set")
    assert faces.attribute_names == () and faces.attributes.shape == (4, 0)
    assert faces.identity.tolist() == [0, 1, 2, 3]
    assert len(faces.labelled()) == 0


def test_celeba_as_kaggle_has_it(faces, tmp_path):
    kaggle = write_kaggle(tmp_path / "kaggle")
    found = prepared([kaggle], tmp_path / "of-kaggle")
    assert found.attribute_names == ("Male", "Smiling")
    assert found.attributes.tolist() == [[-1, 1], [-1, -1], [1, -1], [1, 1]]
    assert found.split.tolist() == [0, 1, 0, 2]
    assert found.identity.tolist() == [0, 1, 2, 3]
    assert torch.equal(found.images, faces.images)
    zipped = write_zip(kaggle, tmp_path / "kaggle.zip", "archive/")
    assert same(prepared([zipped], tmp_path / "zipped"), found)


LISTED = {
    "list_attr_celeba.txt": "1\nSmiling\n{} 1\n",
    "identity_CelebA.txt": "{} 7\n",
    "list_eval_partition.txt": "{} 0\n",
}


@pytest.mark.parametrize("file", LISTED)
def test_lists_of_other_photographs_are_refused(celeba, file):
    (celeba / file).write_text(LISTED[file].format("9.jpg"))
    with pytest.raises(DataError, match=f"{Path(file).stem} names no photograph there"):
        sources.read_source(celeba)
    (celeba / file).write_text(LISTED[file].format("000001.jpg"))
    assert len(sources.read_source(celeba).photos) == 4
    (celeba / file).write_text("")
    assert len(sources.read_source(celeba).photos) == 4


def test_the_lists_of_celeba_go_before_those_of_kaggle(tmp_path):
    kaggle = write_kaggle(tmp_path / "kaggle")
    (kaggle / "list_attr_celeba.txt").write_text("1\nBald\n000001.jpg 1\n")
    source = sources.read_source(kaggle)
    assert source.attribute_names == ("Bald",)
    assert [photo.attributes.tolist() for photo in source.photos] == [[1], [0], [0], [0]]
    assert [photo.split for photo in source.photos] == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("list_attr_celeba.csv", "image_id,Smiling\n000001.jpg,no\n", "csv holds 'no' for 000001"),
        ("list_attr_celeba.csv", "000001.jpg,1\n", "list_attr_celeba.csv has no column image_id"),
        ("list_eval_partition.csv", "image_id,partition\n1.jpg,3\n", "csv holds '3', not 0, 1"),
        ("list_eval_partition.csv", "image_id,a,b\n1.jpg,0,0\n", "line 2 holds 2 values, not 1"),
    ],
)
def test_lists_of_kaggle_that_cannot_be_understood(tmp_path, file, text, said):
    kaggle = write_kaggle(tmp_path / "kaggle")
    (kaggle / file).write_text(text)
    with pytest.raises(DataError, match=said):
        sources.read_source(kaggle)


def test_celeba_without_lists_may_have_a_table(celeba, faces, tmp_path):
    for file in celeba.glob("*.txt"):
        file.unlink()
    (celeba / "metadata.csv").write_text(
        "file_name,Freckles,identity,split\n"
        "img_align_celeba/000002.jpg,1,Ann,test\n"
        "img_align_celeba/000004.jpg,-1,Ann,test\n"
    )
    found = prepared([celeba], tmp_path / "described")
    assert found.attribute_names == ("Freckles",)
    assert found.attributes.flatten().tolist() == [0, 1, 0, -1]
    assert found.identity.tolist() == [0, 1, 2, 1]
    assert found.split[[1, 3]].tolist() == [2, 2]
    assert torch.equal(found.images, faces.images)  # as they are, since they are aligned
    official = tmp_path / "official"
    official.mkdir()
    (official / "metadata.csv").write_bytes((celeba / "metadata.csv").read_bytes())
    inner = official / "img_align_celeba.zip"
    write_zip(celeba / "img_align_celeba", inner, "img_align_celeba/")
    assert same(prepared([official], tmp_path / "zipped"), found)
    (celeba / "metadata.csv").write_text("file_name,Freckles\n000002.jpg,1\n")
    with pytest.raises(DataError, match="is that of a photograph"):
        sources.read_source(celeba)


def test_celeba_photos_of_another_shape_are_left_out(celeba, tmp_path):
    Image.new("RGB", (178, 178)).save(celeba / "img_align_celeba" / "000002.jpg")
    (report,) = data.prepare([celeba], tmp_path / "set", 32, workers=1)
    assert report.used == {"train": 2, "test": 1}
    assert report.left_out == {"not in CelebA's frame": 1}


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("list_attr_celeba.txt", "1\nSmiling Male\n000001.jpg 1\n", "line 3 holds 1 values, not 2"),
        ("list_attr_celeba.txt", "1\nSmiling\n000001.jpg yes\n", "'yes' for 000001.jpg"),
        ("list_attr_celeba.txt", "1\nBald Bald\n000001.jpg 1 1\n", "txt has two columns Bald"),
        ("list_eval_partition.txt", "000001.jpg 3\n", "'3', not 0, 1 or 2"),
        ("identity_CelebA.txt", "000001.jpg 3\n\xff", "cannot be read as text"),
    ],
)
def test_celeba_lists_that_cannot_be_understood(celeba, file, text, said):
    (celeba / file).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=said):
        sources.read_source(celeba)


def test_lfw_layout_takes_the_face_in_the_middle(tmp_path):
    folder = tmp_path / "lfw" / "Eileen_Collins"
    folder.mkdir(parents=True)
    # The small portrait covers the centre, (400, 250), and the larger one the left.
    two_faces(large_at=(-60, 20), small_at=(345, 130)).save(folder / "Eileen_Collins_0001.png")
    portrait().save(folder / "Eileen_Collins_0002.png")
    source = sources.read_source(tmp_path / "lfw")
    assert source.frame == "central"
    assert [photo.identity for photo in source.photos] == ["Eileen_Collins"] * 2
    faces = prepared([tmp_path / "lfw"], tmp_path / "set")
    assert faces.identity.tolist() == [0, 0]
    assert redness(faces.images[0]) > 10
    zipped = write_zip(tmp_path / "lfw", tmp_path / "lfw.zip", "lfw/")
    assert same(prepared([zipped], tmp_path / "zipped"), faces)


def write_people(folder, people, others=()):
    """The layout of LFW, two photographs of each person, which nothing opens."""
    names = [f"P{n}/P{n}_{photo:04}.jpg" for n in range(people) for photo in (1, 2)]
    for name in (*names, *others):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_few_other_pictures_leave_it_lfw(tmp_path):
    source = sources.read_source(write_people(tmp_path / "lfw", 19, ["P0/cover.png", "thumb.jpg"]))
    assert source.frame == "central" and len(source.photos) == 38  # 95 in 100
    assert {photo.identity for photo in source.photos} == {f"P{n}" for n in range(19)}
    assert source.left_out == {"not in LFW's layout": 2}
    mixed = sources.read_source(write_people(tmp_path / "mixed", 18, ["P0/cover.png", "thumb.jpg"]))
    assert mixed.frame == "largest" and len(mixed.photos) == 38 and not mixed.left_out


def test_pictures_beside_lfw_are_counted(tmp_path):
    folder = write_people(tmp_path / "lfw", 10, ["thumb.jpg"])
    portrait().save(folder / "P0" / "P0_0001.jpg")
    for _ in range(2):  # no count is left over from the first time
        (report,) = data.prepare([folder], tmp_path / "set", 32, workers=1)
        assert report.left_out == {"unreadable": 19, "not in LFW's layout": 1}
        assert report.used.total() == 1


def test_lfw_may_have_a_table(tmp_path):
    folder = write_people(tmp_path / "lfw", 2)
    (folder / "metadata.csv").write_text("file_name,Smiling\nP0/P0_0002.jpg,1\nP1/P1_0001.jpg,-1\n")
    source = sources.read_source(folder)
    assert source.frame == "central" and source.attribute_names == ("Smiling",)
    assert [photo.attributes.tolist() for photo in source.photos] == [[0], [1], [-1], [0]]
    assert [photo.identity for photo in source.photos] == ["P0", "P0", "P1", "P1"]


def test_folders_take_the_largest_face(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    two_faces(large_at=(0, 0), small_at=(500, 70)).save(photos / "a.png")
    two_faces(large_at=(350, 0), small_at=(20, 70)).save(photos / "b.png")
    assert sources.read_source(photos).frame == "largest"
    assert all(len(align.detect(Image.open(file))) == 2 for file in photos.iterdir())
    assert all(redness(face) < -10 for face in prepared([photos], tmp_path / "set").images)


def test_faces_are_aligned_to_the_frame(tmp_path):
    faces = prepared([write_folder(tmp_path / "a", ["a.png"])], tmp_path / "set", resolution=128)
    face = Image.fromarray(faces.images[0].permute(1, 2, 0).numpy())
    (found,) = align.detect(face)
    assert np.abs(found.landmarks / 128 - align.CANONICAL).max() < 0.04


def test_split_by_identity():
    # The last decimal digits of their SHA-1 are 2, 8 and 9.
    names = {"a": 0, "d": 1, "f": 2}
    assert {name: sources._hashed_split(name) for name in names} == names
    parts = np.bincount([sources._hashed_split(str(number)) for number in range(5000)]) / 5000
    assert parts == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_folders_say_the_split_where_no_table_does(tmp_path):
    names = ["train/a.png", "train/b.png", "Val/a.png", "test/x/a.png"]
    set_ = write_folder(tmp_path / "set", names)
    found = {photo.name: photo.split for photo in sources.read_source(set_).photos}
    assert found == {"train/a.png": 0, "train/b.png": 0, "Val/a.png": 1, "test/x/a.png": 2}
    (set_ / "train" / "metadata.csv").write_text("file_name,split\nb.png,test\n")
    found = {photo.name: photo.split for photo in sources.read_source(set_).photos}
    assert found == {"train/a.png": 0, "train/b.png": 2, "Val/a.png": 1, "test/x/a.png": 2}


def test_pictures_beside_the_folders_leave_the_split_to_them(tmp_path):
    write_folder(tmp_path, ["cover.png", "train/a.png", "train/b.png", "test/a.png"])
    found = {photo.name: photo.split for photo in sources.read_source(tmp_path).photos}
    hashed = sources._hashed_split("cover")
    assert found == {"cover.png": hashed, "train/a.png": 0, "train/b.png": 0, "test/a.png": 2}


def test_a_training_part_alone_is_no_split(tmp_path):
    """With a picture beside it or without: somebody must be left to measure on."""
    folder = write_folder(tmp_path, ["train/a.png", "train/d.png", "train/f.png"])
    for more in ([], ["cover.png"]):
        photos = sources.read_source(write_folder(folder, more)).photos
        assert len(photos) == 3 + len(more)
        assert all(photo.split == sources._hashed_split(photo.identity) for photo in photos)


def test_folders_say_the_split_of_people_in_lfw_s_layout_too(tmp_path):
    names = ["train/Ann/Ann_0001.png", "train/Bob/Bob_0001.png", "test/Eve/Eve_0001.png"]
    source = sources.read_source(write_folder(tmp_path, names))
    assert source.frame == "central"
    found = {photo.identity: photo.split for photo in source.photos}
    assert found == {"Ann": 0, "Bob": 0, "Eve": 2}


def test_folders_of_other_names_say_no_split(tmp_path):
    write_folder(tmp_path, ["train/a.png", "test/a.png", "me/a.png"])
    for photo in sources.read_source(tmp_path).photos:
        assert photo.split == sources._hashed_split(photo.identity)
    alone = sources.read_source(tmp_path / "test").photos
    assert [photo.split for photo in alone] == [sources._hashed_split("a")]


def test_folders_in_a_source_are_parted_alike_on_every_system(monkeypatch):
    with monkeypatch.context() as windows:
        windows.setattr(os, "path", ntpath)
        root = sources._common_folder(["a/b/1.png", "a/b/c/2.png"])
    assert root.as_posix() == "a/b"


def test_plain_identities_are_paths(tmp_path):
    folder = write_folder(tmp_path / "photos", ["x/1.png", "y/1.png"])
    expected = ["x/1", "y/1"]
    zipped = write_zip(folder, tmp_path / "photos.zip", "top/")
    for source in (folder, zipped):
        assert [photo.identity for photo in sources.read_source(source).photos] == expected
    (flat,) = sources.read_source(write_folder(tmp_path / "flat", ["one.png"])).photos
    assert flat.identity == "one"


def test_metadata(tmp_path):
    folder = write_folder(tmp_path / "photos", ["a.png", "sub/b.png", "c.png"])
    (folder / "metadata.csv").write_text(
        "\ufefffile_name,Freckles,Smiling,identity,split\n"
        "sub/b.png,true,-1,Ann,test\n"
        "a.png,FALSE,0,Ann,validation\n"
        "missing.png,1,1,Bob,train\n",
        encoding="utf-8",
    )
    faces = prepared([folder], tmp_path / "set")
    assert faces.attribute_names == ("Smiling", "Freckles")  # CelebA's first
    assert faces.attributes.tolist() == [[0, -1], [0, 0], [-1, 1]]  # a, c, sub/b
    assert faces.identity.tolist() == [0, 1, 0]
    assert faces.split.tolist()[::2] == [1, 2]
    assert len(faces.labelled()) == 2
    zipped = write_zip(folder, tmp_path / "photos.zip", "top/")
    assert same(prepared([zipped], tmp_path / "zipped"), faces)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,Smiling\na.png,1\n", "no column file_name"),
        ("file_name,Smiling\na.png,maybe\n", "line 2: Smiling is 'maybe'"),
        ("file_name,split\na.png,dev\n", "line 2: the split is 'dev'"),
        ("file_name,Smiling\na.png,1\nb.png,0\n", "write -1 for no"),
        ("file_name,Smiling\na.png,\x00\n", "metadata.csv"),
        ("file_name,Smiling\na.png,1\n./a.png,-1\n", "metadata.csv has two rows for a.png"),
        ("file_name,Smiling, Smiling\na.png,1,-1\n", "metadata.csv has two columns Smiling"),
        ("file_name,file_name\na.png,a.png\n", "metadata.csv has two columns file_name"),
        ("file_name,Smiling\n,1\n", "line 2: there is no file_name"),
        ("", "no column file_name"),
    ],
)
def test_metadata_that_cannot_be_understood(tmp_path, text, said):
    folder = write_folder(tmp_path / "photos", ["a.png"])
    (folder / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        sources.read_source(folder)


def test_spaces_around_cells_and_empty_lines_mean_nothing(tmp_path):
    folder = write_folder(tmp_path / "photos", ["a.png"])
    (folder / "metadata.csv").write_text(
        'file_name, Smiling , "identity", split,,\n a.png , 1, "Ann", test,,\n,,,,,\n\n,,,,,\n'
    )
    source = sources.read_source(folder)
    assert source.attribute_names == ("Smiling",) and source.unmatched == 0
    (photo,) = source.photos
    assert (photo.attributes.tolist(), photo.identity, photo.split) == ([1], "Ann", 2)


def test_each_table_names_photographs_as_seen_from_its_folder(tmp_path):
    """As image folders on the Hub have them."""
    names = ["test/1.png", "train/1.png", "train/more/2.png", "validation/1.png"]
    folder = write_folder(tmp_path / "photos", names)
    (folder / "test" / "metadata.csv").write_text(
        "file_name,Freckles,Smiling,split,identity\n1.png,1,-1,test,Ann\n"
    )
    (folder / "train" / "metadata.csv").write_text(
        "file_name,Smiling,Bald\nmore/2.png,1,-1\n1.png,-1,1\nmissing.png,1,1\n"
    )
    zipped = write_zip(folder, tmp_path / "photos.zip", "top/")
    for path in (folder, zipped):
        source = sources.read_source(path)
        assert source.attribute_names == ("Freckles", "Smiling", "Bald") and source.unmatched == 1
        values = [photo.attributes.tolist() for photo in source.photos]
        assert values == [[1, -1, 0], [0, -1, 1], [0, 1, -1], [0, 0, 0]]
        identities = [photo.identity for photo in source.photos]
        assert identities[0] == "Ann" and identities[1:3] == ["train/1", "train/more/2"]
        assert [photo.split for photo in source.photos] == [2, 0, 0, 1]


def test_two_tables_that_describe_one_photograph_are_refused(tmp_path):
    folder = write_folder(tmp_path / "photos", ["train/1.png"])
    (folder / "metadata.csv").write_text("file_name,Smiling\ntrain/1.png,1\n")
    (folder / "train" / "metadata.csv").write_text("file_name,Smiling\n1.png,1\n")
    with pytest.raises(DataError, match=r"two rows for train/1\.png"):
        sources.read_source(folder)


@pytest.mark.parametrize("of_file, of_table", [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_are_the_same_however_they_are_composed(tmp_path, of_file, of_table):
    name = "Zoë/é.png"
    folder = write_folder(tmp_path / "photos", [unicodedata.normalize(of_file, name)])
    row = unicodedata.normalize(of_table, name)
    (folder / "metadata.csv").write_text(f"file_name,Smiling\n{row},1\n", encoding="utf-8")
    source = sources.read_source(folder)
    assert source.attribute_names == ("Smiling",) and source.unmatched == 0
    (photo,) = source.photos
    assert photo.attributes.tolist() == [1]
    # So that the split is the same on every system.
    assert photo.identity == unicodedata.normalize("NFC", "Zoë/é")
    assert len(prepared([folder], tmp_path / "set")) == 1  # it opens under its own name


def test_accents_of_celeba_and_of_folders_of_tables(celeba, tmp_path):
    apart = unicodedata.normalize("NFD", "é.jpg")
    (celeba / "img_align_celeba" / "000001.jpg").rename(celeba / "img_align_celeba" / apart)
    with (celeba / "list_attr_celeba.txt").open("a", encoding="utf-8") as file:
        file.write(unicodedata.normalize("NFC", "é.jpg") + " 1 -1\n")
    assert sources.read_source(celeba).photos[-1].attributes.tolist() == [1, -1]
    folder = unicodedata.normalize("NFD", "Zoë")
    photos = write_folder(tmp_path / "photos", [f"{folder}/a.png"])
    (photos / folder / "metadata.csv").write_text("file_name,Smiling\na.png,1\n")
    (photo,) = sources.read_source(photos).photos
    assert photo.attributes.tolist() == [1] and photo.identity == "a"


def test_rows_that_name_no_photograph_are_counted(tmp_path, capsys):
    folder = write_folder(tmp_path / "photos", ["a.png"])
    (folder / "metadata.csv").write_text("file_name,Smiling\na.png,1\nb.png,1\nc.png,-1\n")
    prepared([folder], tmp_path / "set")
    said = "photos: 2 rows of metadata.csv name no photograph.\n"
    assert said in capsys.readouterr().err
    (folder / "metadata.csv").write_text("file_name,Smiling\na.png,1\n")
    prepared([folder], tmp_path / "set")
    assert "metadata" not in capsys.readouterr().err


def test_a_table_of_other_photographs_is_refused(tmp_path):
    folder = write_folder(tmp_path / "photos", ["sub/a.png"])
    (folder / "metadata.csv").write_text("file_name,Smiling\na.png,1\nb.png,-1\n")
    with pytest.raises(DataError, match="is that of a photograph"):
        sources.read_source(folder)
    (folder / "metadata.csv").write_text("file_name,Smiling\n")
    assert len(sources.read_source(folder).photos) == 1


def test_a_column_without_a_name_is_no_attribute(tmp_path):
    """As pandas writes one: the number of the row."""
    folder = write_folder(tmp_path / "photos", ["a.png"])
    (folder / "metadata.csv").write_text(",file_name,Smiling\n7,a.png,1\n")
    source = sources.read_source(folder)
    assert source.attribute_names == ("Smiling",)
    assert source.photos[0].attributes.tolist() == [1]


def test_sources_are_joined(celeba, tmp_path):
    folder = write_folder(tmp_path / "photos", ["7.png", "5.png"])
    (folder / "metadata.csv").write_text(
        "file_name,Freckles,Smiling\n7.png,1,-1\n5.png,-1,\n", encoding="utf-8"
    )
    faces = prepared([celeba, folder, celeba], tmp_path / "set")
    assert faces.attribute_names == ("Male", "Smiling", "Freckles")
    assert faces.attributes[:4, 2].tolist() == [0] * 4
    assert faces.attributes[4:6].tolist() == [[0, 0, -1], [0, -1, 1]]  # 5.png, 7.png
    # "7" and "5" are other people in each source.
    assert faces.identity.tolist() == [0, 1, 0, 1, 2, 3, 4, 5, 4, 5]


def test_what_cannot_be_used_is_counted(tmp_path):
    folder = write_folder(tmp_path / "photos", ["good.png"])
    Image.new("RGB", (100, 100)).save(folder / "empty.png")
    Image.new("RGB", (10, 10)).save(folder / "small.png")
    portrait(100).save(folder / "distant.png")  # a crop of about 80 pixels
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    reports = data.prepare([folder], tmp_path / "set", 256, workers=1)
    assert reports[0].left_out == {
        "no face": 1,
        "too small": 1,
        "unreadable": 1,
        "face too small": 1,
    }
    assert reports[0].used.total() == 1
    header, row, together = (line.split() for line in data.summary(reports).splitlines())
    assert header[:5] == ["source", "used", "train", "validation", "test"]
    assert row[0] == "photos" and row[1] == "1" and row[5:] == ["4", "1", "1", "1", "1"]
    assert together[1:] == row[1:]


def test_the_number_of_workers_changes_nothing(celeba, tmp_path):
    folder = write_folder(tmp_path / "photos", [f"{number}.png" for number in range(20)])
    for workers in (1, 2):
        data.prepare([celeba, folder], tmp_path / str(workers), 32, workers=workers)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_description(celeba, tmp_path):
    data.prepare([celeba], tmp_path / "set", 32, quality=80, workers=1)
    tensors, metadata = files.load_tensors(tmp_path / "set")
    about = json.loads(metadata["faces"])
    used = {"train": 2, "validation": 1, "test": 1}
    assert about == {
        "format": 1,
        "resolution": 32,
        "quality": 80,
        "attributes": ["Male", "Smiling"],
        "sources": [{"label": "celeba", "used": used, "left_out": {}}],
    }
    first = tensors["bytes"][: tensors["offsets"][1]].numpy().tobytes()
    jpeg = Image.open(io.BytesIO(first))
    assert jpeg.format == "JPEG" and jpeg.size == (32, 32)
    assert {sampling[1:3] for sampling in jpeg.layer} == {(1, 1)}  # 4:4:4


def test_subsets(faces):
    assert [len(faces.subset(name)) for name in data.SPLITS] == [2, 1, 1]
    test = faces.subset("test")
    assert torch.equal(test.images, faces.images[3:])
    assert test.attributes.tolist() == [[1, 1]] and test.identity.tolist() == [1]
    assert test.attribute_names == faces.attribute_names
    assert test.fingerprint == faces.fingerprint
    with pytest.raises(DataError, match="'dev'"):
        faces.subset("dev")


def test_fingerprint_names_the_file(faces, tmp_path):
    assert faces.fingerprint == files.sha256(tmp_path / "set")


def test_load_prepares_folders_and_zips(celeba, faces, tmp_path):
    assert same(data.load(celeba, resolution=32), faces)
    assert same(data.load(write_zip(celeba, tmp_path / "a.zip"), resolution=32), faces)
    with pytest.raises(DataError, match="at which resolution"):
        data.load(celeba)


def test_load_checks_the_resolution(faces, tmp_path):
    assert same(data.load(tmp_path / "set", resolution=32), faces)
    with pytest.raises(DataError, match="32×32 pixels, not 64×64"):
        data.load(tmp_path / "set", resolution=64)


def broken(tensors, about, what):
    if what == "format":
        about["format"] = 2
    elif what == "offsets":
        tensors["offsets"][-1] += 1
    elif what == "order":
        tensors["offsets"] = tensors["offsets"][[0, 2, 1, 3, 4]]
    elif what == "rows":
        tensors["identity"] = tensors["identity"][:-1]
    elif what == "type":
        tensors["attributes"] = tensors["attributes"].float()
    elif what == "split":
        tensors["split"][0] = 3
    elif what == "names":
        about["attributes"] = ["Smiling"]
    elif what == "size":
        about["resolution"] = 64
    elif what == "pixels":
        tensors["bytes"][:100] = 0
    elif what == "missing":
        del tensors["split"]
    elif what == "empty":
        tensors["offsets"] = torch.zeros(0, dtype=torch.int64)
    elif what == "fraction":
        about["resolution"] = 32.0
    elif what == "no names":
        about["attributes"] = [{}, {}]
    elif what == "labels":
        tensors["attributes"][0, 0] = -128
    elif what == "one pixel":
        of_one_face(tensors, jpeg((1, 1)))
    elif what == "bomb":
        bomb = bytearray(jpeg((32, 32)))
        at = bomb.index(b"\xff\xc0") + 5
        bomb[at : at + 4] = struct.pack(">HH", 65000, 65000)
        of_one_face(tensors, bytes(bomb))


def jpeg(size):
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "JPEG")
    return file.getvalue()


def of_one_face(tensors, content):
    tensors |= {name: rows[:1].clone() for name, rows in tensors.items()}
    tensors["bytes"] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    tensors["offsets"] = torch.tensor([0, len(content)])


@pytest.mark.parametrize(
    "what",
    [
        *("format", "offsets", "order", "rows", "type", "split"),
        *("names", "size", "pixels", "missing", "empty"),
        *("fraction", "no names", "labels", "one pixel", "bomb"),
    ],
)
def test_a_set_that_does_not_fit_together(faces, tmp_path, what):
    tensors, metadata = files.load_tensors(tmp_path / "set")
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    about = json.loads(metadata["faces"])
    broken(tensors, about, what)
    files.save_tensors(tmp_path / "other", tensors, {"faces": json.dumps(about)})
    with pytest.raises(DataError, match=r"damaged|reads format 1"):
        data.load(tmp_path / "other")


def test_a_set_that_no_memory_takes(tmp_path):
    count = 10_000_000  # 30 TB of pixels
    tensors = {
        "bytes": torch.zeros(count, dtype=torch.uint8),
        "offsets": torch.arange(count + 1),
        "attributes": torch.zeros(count, 0, dtype=torch.int8),
        "identity": torch.zeros(count, dtype=torch.int32),
        "split": torch.zeros(count, dtype=torch.uint8),
    }
    about = {"format": 1, "resolution": 1024, "attributes": []}
    files.save_tensors(tmp_path / "set", tensors, {"faces": json.dumps(about)})
    with pytest.raises(DataError, match=r"which the memory cannot take|cannot be decoded"):
        data.load(tmp_path / "set")


def test_other_files_are_no_face_set(tmp_path):
    files.save_tensors(tmp_path / "weights", {"a": torch.zeros(1)})
    files.save_tensors(tmp_path / "nested", {"a": torch.zeros(1)}, {"faces": "[" * 100_000})
    for name in ("weights", "nested"):
        with pytest.raises(DataError, match="not a prepared face set"):
            data.load(tmp_path / name)
    (tmp_path / "text").write_text("hello")
    for name in ("text", "missing"):
        with pytest.raises(files.FileError, match=name):
            data.load(tmp_path / name)


def test_command_line(celeba, tmp_path, capsys):
    out = tmp_path / "deep" / "set"
    options = ["--out", str(out), "--resolution", "32", "--workers", "1"]
    assert data.main(["prepare", str(celeba), *options]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["celeba", *"42110"]
    assert len(data.load(out)) == 4


@pytest.mark.parametrize("what", ["missing", "file", "nothing", "unusable", "resolution"])
def test_command_line_says_what_is_wrong(tmp_path, capsys, what):
    source, resolution = tmp_path / what, "32"
    if what == "file":
        source.write_text("hello")
    elif what == "nothing":
        source.mkdir()
    elif what == "unusable":
        source.mkdir()
        Image.new("RGB", (64, 64)).save(source / "a.png")
    elif what == "resolution":
        write_folder(source, ["a.png"])
        resolution = "0"
    options = ["--out", str(tmp_path / "set"), "--resolution", resolution, "--workers", "1"]
    assert data.main(["prepare", str(source), *options]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].endswith(".")
    assert not (tmp_path / "set").exists()


def test_a_damaged_member_costs_only_itself(celeba, tmp_path):
    path = write_zip(celeba, tmp_path / "a.zip")  # stored, not compressed
    content = bytearray(path.read_bytes())
    start = content.index((celeba / "img_align_celeba" / "000002.jpg").read_bytes())
    content[start + 50] ^= 255  # its checksum no longer holds
    path.write_bytes(content)
    (report,) = data.prepare([path], tmp_path / "set", 32, workers=1)
    assert report.left_out == {"unreadable": 1} and report.used.total() == 3


def zip_of_one_more(celeba, path):
    """CelebA with é.jpg, compressed by LZMA and with its name in UTF-8; its bytes, and that."""
    content = (celeba / "img_align_celeba" / "000001.jpg").read_bytes()
    with zipfile.ZipFile(write_zip(celeba, path), "a") as archive:
        archive.writestr("img_align_celeba/é.jpg", content, zipfile.ZIP_LZMA)
    return bytearray(path.read_bytes()), "é.jpg".encode()


@pytest.mark.parametrize("what", ["LZMA", "name"])
def test_a_member_that_cannot_even_be_opened_costs_only_itself(celeba, tmp_path, what):
    path = tmp_path / "a.zip"
    content, name = zip_of_one_more(celeba, path)
    start = content.index(name)
    if what == "LZMA":
        start += len(name) + 9  # behind the properties of the compression
        content[start : start + 100] = bytes(range(155, 255))
    else:
        content[start] = 255
    path.write_bytes(content)
    (report,) = data.prepare([path], tmp_path / "set", 32, workers=1)
    assert report.left_out == {"unreadable": 1} and report.used.total() == 4


@pytest.mark.parametrize("what", ["name", "version"])
def test_a_zip_whose_list_is_damaged(celeba, tmp_path, what):
    path = tmp_path / "a.zip"
    content, name = zip_of_one_more(celeba, path)
    if what == "name":
        content[content.rindex(name)] = 255
    else:
        content[content.index(b"PK\1\2") + 6] = 200  # takes version 20.0 to extract
    path.write_bytes(content)
    with pytest.raises(DataError, match="neither a folder nor a readable zip"):
        sources.read_source(path)


def test_a_killed_worker_is_one_sentence(tmp_path):
    folder = write_folder(tmp_path / "photos", ["0.png"])
    for number in range(1, 200):
        os.link(folder / "0.png", folder / f"{number}.png")

    def kill():
        while not (workers := multiprocessing.active_children()):
            pass
        workers[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(DataError, match="A worker was killed"):
        data.prepare([folder], tmp_path / "set", 32, workers=2)
    killer.join()
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("out, said", [("file/set", "cannot be written"), ("", "is a folder")])
def test_where_nothing_can_be_written_is_noticed_first(tmp_path, out, said):
    """Before it is noticed that no photograph can be used."""
    (tmp_path / "file").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    with pytest.raises(DataError, match=said):
        data.prepare([tmp_path / "photos"], tmp_path / out, 32, workers=1)


def test_names_that_lead_out_of_a_zip_are_passed_over(tmp_path):
    path = tmp_path / "a.zip"
    file = io.BytesIO()
    portrait().save(file, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.png", "/b.png", "../c.png", "d/../../e.png"):
            archive.writestr(name, file.getvalue())
        archive.writestr("__MACOSX/._a.png", b"")
    assert len(prepared([path], tmp_path / "set")) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip", "set"]


@pytest.mark.skipif(not (PACK / "celeba.zip").exists(), reason="no face pack")
def test_the_pack_as_described():
    source = sources.read_source(PACK / "celeba.zip")
    assert source.attribute_names == sources.CELEBA_ATTRIBUTES
    assert np.bincount([photo.split for photo in source.photos]).tolist() == [7163, 873, 916]
    people = [{p.identity for p in source.photos if p.split == part} for part in range(3)]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    lfw = sources.read_source(PACK / "lfw.zip")
    assert lfw.frame == "central" and len(lfw.photos) == 12452
