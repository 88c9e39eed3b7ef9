"""Attributes of one's own: planted directions, closed forms, files that lie."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from vaegan import Editor, OwnAttribute, VectorError, checkpoint, custom, files, images


def gaussian(n: int, dimensions: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(seed))


def test_the_vector_is_the_difference_of_the_means():
    has, has_not = gaussian(3, 6, 0) + 1, gaussian(4, 6, 1)
    own = custom.Space(gaussian(6, 6, 2).tril()).learn(has, has_not, "One more", "a" * 64)
    torch.testing.assert_close(own.vector, has.mean(0) - has_not.mean(0))


def test_the_normal_is_the_ridged_discriminant():
    # C = diag(1, 4), so c = 2.5 and a ridge of RIDGE · 2.5.
    space = custom.Space(torch.diag(torch.tensor([1.0, 2.0])))
    normal = space.normal(torch.tensor([1.0, 1.0]))
    ridge = 2.5 * custom.RIDGE
    torch.testing.assert_close(normal, 1 / torch.tensor([1 + ridge, 4 + ridge]).double())


def test_known_attributes_add_to_the_normal():
    # C = I, so K = I / (1 + RIDGE) and the known normal, scaled to a variance of 1, is (1, 0).
    space = custom.Space(torch.eye(2), torch.tensor([[5.0, 0.0]]))
    plain, everywhere = 1 / (1 + custom.RIDGE), 2 / (1 + custom.RIDGE)
    expected = torch.tensor([plain + custom.KNOWN * everywhere, plain]).double()
    torch.testing.assert_close(space.normal(torch.ones(2)), expected)


def test_a_known_vector_of_zeros_says_nothing():
    space = custom.Space(torch.eye(2), torch.zeros(1, 2))
    torch.testing.assert_close(space.kernel, custom.Space(torch.eye(2)).kernel)


def test_a_set_that_differs_in_what_is_known_is_told_apart_better():
    known = torch.nn.functional.one_hot(torch.arange(2), 64).float()
    right = {}
    for name, vectors in (("known", known), ("unknown", None)):
        space = custom.Space(torch.eye(64), vectors)
        pairs = [
            (gaussian(6, 64, 2 * s) + 2 * known[0], gaussian(6, 64, 2 * s + 1)) for s in range(60)
        ]
        right[name] = sum(space.separation(*pair) for pair in pairs) / len(pairs)
    assert right["known"] > right["unknown"] + 0.1


def test_directions_of_large_variance_count_for_less():
    wide, trials = torch.ones(32), 20
    wide[0] = 12.0
    space = custom.Space(torch.diag(wide))
    planted = torch.ones(32)
    right = {"discriminant": 0.0, "difference": 0.0}
    for trial in range(trials):
        has, has_not = (wide * gaussian(40, 32, 2 * trial + side) for side in (0, 1))
        own = space.learn(has[:20] + planted, has_not[:20], "Planted", "a" * 64)
        normals = {"discriminant": space.normal(own.vector).float(), "difference": own.vector}
        for name, normal in normals.items():
            scores = (has[20:] + planted) @ normal, has_not[20:] @ normal
            right[name] += custom.auc(*scores) / trials
    assert right["discriminant"] > right["difference"] + 0.05


def test_separation_leaves_each_pair_out():
    space = custom.Space(gaussian(5, 5, 9).tril())
    has, has_not = gaussian(4, 5, 0) + 0.5, gaussian(3, 5, 1)
    wins = 0.0
    for i in range(4):
        for j in range(3):
            rest = torch.cat([has[:i], has[i + 1 :]]), torch.cat([has_not[:j], has_not[j + 1 :]])
            normal = space.normal(rest[0].mean(0) - rest[1].mean(0)).float()
            wins += float(normal @ has[i] > normal @ has_not[j])
    assert space.separation(has, has_not) == pytest.approx(wins / 12)


def test_separation_is_half_where_there_is_nothing_and_one_where_all_is_clear():
    space = custom.Space(torch.eye(8))
    nothing = [space.separation(gaussian(6, 8, s), gaussian(6, 8, 500 + s)) for s in range(100)]
    assert sum(nothing) / 100 == pytest.approx(0.5, abs=0.04)
    assert space.separation(gaussian(6, 8, 0) + 9, gaussian(6, 8, 1)) == 1.0
    assert space.separation(gaussian(1, 8, 0), gaussian(6, 8, 1)) is None


def test_auc_by_hand():
    assert custom.auc(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0, 0.0])) == pytest.approx(
        (3 + 1.5) / 6
    )


@pytest.fixture
def own() -> OwnAttribute:
    return OwnAttribute("Freckles", torch.arange(8.0), (3, 4), 0.75, "a" * 64)


def test_a_file_comes_back_as_it_was(own, tmp_path):
    custom.save(own, tmp_path / "freckles.safetensors")
    again = custom.load(tmp_path / "freckles.safetensors", "a" * 64, 8)
    assert torch.equal(again.vector, own.vector)
    assert (again.name, again.counts, again.separation) == ("Freckles", (3, 4), 0.75)


@pytest.mark.parametrize("about", ["[" * 100_000, '{"with": Infinity}', '{"separation": 1e999}'])
def test_a_description_that_numbers_cannot_hold_is_one_sentence(own, tmp_path, about):
    path = tmp_path / "freckles.safetensors"
    custom.save(own, path)
    tensors, described = files.load_tensors(path)
    if about.startswith("{"):
        about = json.dumps(json.loads(described["about"]) | json.loads(about))
    files.save_tensors(path, tensors, described | {"about": about})
    with pytest.raises(VectorError, match="description of its attribute is damaged"):
        custom.load(path, "a" * 64, 8)


def rewritten(path, **changes: object) -> None:
    tensors, described = files.load_tensors(path)
    about = json.loads(described["about"]) | changes
    files.save_tensors(path, tensors, described | {"about": json.dumps(about)})


LIES = {
    "another model": lambda path: rewritten(path, model="b" * 64),
    "between 1 and 40": lambda path: rewritten(path, name="x" * 41),
    "description of its attribute is damaged": lambda path: rewritten(path, separation=7.0),
    "description": lambda path: rewritten(path, **{"with": None}),
    "another length": lambda path: custom.save(
        OwnAttribute("Freckles", torch.ones(9), (3, 4), None, "a" * 64), path
    ),
    "not finite": lambda path: files.save_tensors(
        path, {"vector": torch.full((8,), torch.nan)}, files.load_tensors(path)[1]
    ),
    "was made here": lambda path: files.save_tensors(path, {"vector": torch.ones(8)}),
    "no safetensors file": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "damaged": lambda path: torch.save({"vector": torch.ones(8)}, path),
}


@pytest.mark.parametrize("sentence", LIES)
def test_a_file_that_cannot_be_used_is_one_sentence(own, tmp_path, sentence):
    path = tmp_path / "freckles.safetensors"
    custom.save(own, path)
    LIES[sentence](path)
    with pytest.raises(VectorError, match=sentence) as error:
        custom.load(path, "a" * 64, 8)
    assert str(error.value).count("\n") == 0 and str(error.value).endswith(".")


# ---------------------------------------------------------------- through the editor


@pytest.fixture(scope="module")
def editor(tiny_snapshot) -> Editor:
    return Editor.from_pretrained(tiny_snapshot)


@pytest.fixture(scope="module")
def sets(editor, drawn_faces):
    """Bright faces and dark ones, four each, opened as faces."""
    pictures = [images.to_pil(images.to_float(one)) for one in drawn_faces.images[:8]]
    opened = [editor.open(picture, box=(0, 0, 32, 32)) for picture in pictures]
    return opened[1::2], opened[::2]


def test_the_editor_makes_a_slider_that_edits(editor, sets):
    own = editor.attribute_from(*sets, name="Bright")
    assert own.counts == (4, 4) and own.model == editor.model
    face = sets[1][0]
    torch.testing.assert_close(editor.direction(face.z, {own: 2.0})[0], 2.0 * own.vector)
    both = editor.direction(face.z, {own: 1.0, "Smiling": 1.0})
    torch.testing.assert_close(both, own.vector + editor.direction(face.z, {"Smiling": 1.0}))
    assert editor.edit(face, {own: 3.0}).tobytes() != editor.edit(face, {}).tobytes()
    mu = torch.cat([editor.mirrored_mean(one) for side in sets for one in side])
    scores = editor.score(own, mu)
    assert custom.auc(scores[:4], scores[4:]) > 0.5


def test_what_is_held_stays_under_a_slider_of_ones_own(editor, sets, tiny_snapshot):
    own = editor.attribute_from(*sets, name="Bright")
    smile = editor.vectors.above[0]
    z = torch.zeros(1, 8)
    held = editor.direction(z, {own: 2.0}, ["Smiling"])[0]
    along = (own.vector @ smile) / (smile @ smile)
    torch.testing.assert_close(held, 2.0 * (own.vector - along * smile))
    with pytest.raises(VectorError, match="no attribute 'Tall'"):
        editor.direction(z, {own: 2.0}, ["Tall"])
    bare = Editor(checkpoint.load_snapshot(tiny_snapshot), None, "bare")
    torch.testing.assert_close(bare.direction(z, {own: 2.0})[0], 2.0 * own.vector)
    with pytest.raises(VectorError, match="no attribute vectors"):
        bare.direction(z, {own: 2.0}, ["Smiling"])


def test_a_minus_b_is_what_a_has_that_b_has_not(editor, sets):
    a, b = sets[0][0], sets[1][0]
    own = editor.attribute_from([a], [b], name="A − B")
    wanted = editor.mirrored_mean(a) - editor.mirrored_mean(b)
    torch.testing.assert_close(own.vector, wanted[0])


def test_photographs_may_be_given_as_they_are(editor, astronaut):
    other = Image.merge("RGB", astronaut.split()[::-1])
    own = editor.attribute_from([astronaut], [other], name="Red")
    assert own.separation is None and own.vector.norm() > 0


def test_the_editor_refuses_what_is_no_slider(editor, sets, tmp_path):
    with pytest.raises(VectorError, match="at least one face"):
        editor.attribute_from([], sets[1], name="Nothing")
    with pytest.raises(VectorError, match="do not differ"):
        editor.attribute_from(sets[0][:1], sets[0][:1], name="Same")
    stranger = OwnAttribute("Freckles", torch.ones(8), (3, 4), None, "b" * 64)
    with pytest.raises(VectorError, match="another model"):
        editor.direction(torch.zeros(1, 8), {stranger: 1.0})
    custom.save(stranger, tmp_path / "x.safetensors")
    with pytest.raises(VectorError, match="another model"):
        editor.load_attribute(tmp_path / "x.safetensors")
