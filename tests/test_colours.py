"""Colours of edits: none burns, and what belongs together changes together."""

import pytest
import torch
from test_blend import picture

from vaegan import colours
from vaegan.colours import AROUND, GLOW, Guide, blur, toned


def plain(*colour: float) -> torch.Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1).repeat(1, 1, 4, 4)


def test_colours_that_grow_no_stronger_stay_as_they_are():
    red, dull, blue = plain(0.5, -0.1, -0.1), plain(0.3, 0.1, 0.1), plain(-0.4, -0.4, 0.2)
    assert torch.equal(toned(red, red), red)
    assert torch.equal(toned(red, dull), dull)
    assert torch.equal(toned(red, -dull), -dull)
    torch.testing.assert_close(toned(red, blue), blue)


def test_a_colour_that_burns_keeps_its_hue_and_brightness():
    gray, red = plain(0.1, 0.1, 0.1), plain(0.9, -0.3, -0.3)
    found = toned(gray, red)
    torch.testing.assert_close(found.mean(dim=1), red.mean(dim=1))
    colour = (found - found.mean(dim=1, keepdim=True))[0, :, 0, 0]
    torch.testing.assert_close(colour, colour.norm() * torch.tensor([2.0, -1, -1]) / 6**0.5)
    assert 0.95 * GLOW < colour.norm() <= GLOW
    # What is faint is hardly touched.
    faint = plain(0.13, 0.09, 0.09)
    torch.testing.assert_close(toned(gray, faint), faint, atol=0.002, rtol=0)


def test_what_the_photographs_colours_explain_stays_as_it_is():
    x = picture(64)
    mix = torch.tensor([[0.5, 0.2, 0.0], [-0.3, 0.4, 0.1], [0.0, 0.0, -0.6]])
    explained = torch.einsum("ij,njhw->nihw", mix, x) + 0.1
    found = Guide(x).together(explained)
    assert torch.cosine_similarity(found.flatten(), explained.flatten(), dim=0) > 0.98
    assert float(found.norm() / explained.norm()) == pytest.approx(1, abs=0.03)


def test_pixels_of_one_colour_change_alike():
    """Rows are dark and bright in turn; what darkens the dark ones leaves out one column."""
    dark = torch.arange(64) % 2 == 0
    x = torch.where(dark, -0.6, 0.4).view(1, 1, 64, 1).expand(1, 3, 64, 64)
    given = torch.where(dark, -0.5, 0.0).view(1, 1, 64, 1).repeat(1, 3, 1, 64)
    given[..., 30] = 0
    found = Guide(x).together(given)[..., 8:-8, 30]
    assert (found[..., dark[8:-8]] < -0.2).all()
    assert (found[..., ~dark[8:-8]].abs() < 0.02).all()


def test_what_is_lost_is_made_up_for_within_limits():
    """Stripes across a photograph of one colour are taken away, one colour is not."""
    x = torch.zeros(1, 3, 64, 64)
    stripes = 0.2 * (1 - 2 * (torch.arange(64) % 2)).view(1, 1, 64, 1).expand_as(x)
    bare = blur(blur(stripes + 0.1, AROUND), AROUND)
    assert (stripes + 0.1).norm() > 1.5 * bare.norm()
    torch.testing.assert_close(Guide(x).together(stripes + 0.1), 1.5 * bare)
    faint = 0.05 * stripes + 0.1
    torch.testing.assert_close(Guide(x).together(faint).norm(), faint.norm(), rtol=1e-4, atol=0)


def test_several_photographs_lead_as_each_alone(monkeypatch):
    monkeypatch.setattr(colours, "AROUND", 0.1)  # in 16 pixels its own width is nothing
    x, given = (torch.cat([picture(16, seed), picture(16, seed + 1)]) for seed in (3, 5))
    alone = [Guide(one[None]).together(each[None]) for one, each in zip(x, given, strict=True)]
    torch.testing.assert_close(Guide(x).together(given), torch.cat(alone))
