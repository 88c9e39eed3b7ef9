"""Faces that another model opened; z by optimisation where there is no encoder."""

import dataclasses

import pytest
import torch

from vaegan import Editor, ModelNotFound, checkpoint
from vaegan.models import build
from vaegan.prior import Prior
from vaegan.refine import refine


@pytest.fixture(scope="module")
def gan(tmp_path_factory) -> Editor:
    from tests.conftest import TINY_MODEL

    folder = tmp_path_factory.mktemp("gan")
    torch.manual_seed(0)
    config = dataclasses.replace(TINY_MODEL, model="gan")
    networks = {"decoder": build(config).eval().decoder}
    prior = Prior.standard(8)
    checkpoint.save_snapshot(folder, config, networks, prior, {"steps": 0})
    return Editor.from_pretrained(folder)


def test_a_linear_decoder_is_inverted():
    decoder = torch.nn.Sequential(torch.nn.Linear(3, 12), torch.nn.Unflatten(1, (3, 2, 2)))
    wanted = torch.tensor([[0.5, -1.0, 0.8]])
    x = decoder(wanted).detach()
    *_, found = refine(decoder, torch.zeros(1, 3), x, torch.eye(3), steps=400)
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=0)


def test_directions_in_which_no_face_differs_are_left_alone():
    decoder = torch.nn.Unflatten(1, (1, 2, 2))
    spread = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0]))
    x = decoder(torch.tensor([[1.0, 1.0, 1.0, 0.2]]))
    *_, found = refine(decoder, torch.zeros(1, 4), x, spread, steps=200)
    assert (found[0, :3] > 0.8).all() and found[0, 3] == 0


def test_a_gan_finds_a_face_that_it_drew_itself(gan):
    drawn = gan.face_of(gan.draw(1, truncation=1.0, seed=1))
    found = gan.adopt(drawn)
    start = gan.decode(gan.prior.mean[None])
    before = (start - drawn.reconstruction).abs().mean()
    after = (found.reconstruction - drawn.reconstruction).abs().mean()
    assert after < before / 3


def test_an_encoder_is_asked_first(tiny_snapshot, astronaut):
    editor = Editor.from_pretrained(tiny_snapshot)
    face = editor.open(astronaut)
    torch.testing.assert_close(editor.adopt(face).z, face.z)


def test_a_gan_still_takes_in_no_photograph(gan, astronaut):
    with pytest.raises(ModelNotFound, match="GAN"):
        gan.open(astronaut)
