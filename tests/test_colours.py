"""Colours of edits: none burns, and what belongs together changes together."""

import pytest
import torch
from test_blend import picture

from vaegan import colours
from vaegan.colours import AROUND, ASKED, GLOW, REACH, SHADE, Guide, blur, toned


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
    found = Guide(x).near(explained)
    assert torch.cosine_similarity(found.flatten(), explained.flatten(), dim=0) > 0.98
    assert float(found.norm() / explained.norm()) == pytest.approx(1, abs=0.03)


def test_pixels_of_one_colour_change_alike():
    """Rows are dark and bright in turn; what darkens the dark ones leaves out one column."""
    dark = torch.arange(64) % 2 == 0
    x = torch.where(dark, -0.6, 0.4).view(1, 1, 64, 1).expand(1, 3, 64, 64)
    given = torch.where(dark, -0.5, 0.0).view(1, 1, 64, 1).repeat(1, 3, 1, 64)
    given[..., 30] = 0
    found = Guide(x).near(given)[..., 8:-8, 30]
    assert (found[..., dark[8:-8]] < -0.2).all()
    assert (found[..., ~dark[8:-8]].abs() < 0.02).all()


def test_what_is_lost_is_made_up_for_within_limits():
    """Stripes across a photograph of one colour are taken away, one colour is not."""
    x = torch.zeros(1, 3, 64, 64)
    stripes = 0.2 * (1 - 2 * (torch.arange(64) % 2)).view(1, 1, 64, 1).expand_as(x)
    bare = blur(blur(stripes + 0.1, AROUND), AROUND)
    assert (stripes + 0.1).norm() > 1.5 * bare.norm()
    torch.testing.assert_close(Guide(x).near(stripes + 0.1), 1.5 * bare)
    faint = 0.05 * stripes + 0.1
    torch.testing.assert_close(Guide(x).near(faint).norm(), faint.norm(), rtol=1e-4, atol=0)


def test_a_colour_changes_alike_where_the_edit_stopped():
    """Hair at the top of the picture and skin below, parted by an edge; what darkens hair stops in
    the middle of it."""
    hair = torch.arange(64) < 32
    x = torch.where(hair, -0.6, 0.4).view(1, 1, 64, 1).expand(1, 3, 64, 64)
    given = torch.where(torch.arange(64) < 16, -0.4, 0.0).view(1, 1, 64, 1).repeat(1, 3, 1, 64)
    near, far = Guide(x).near(given), Guide(x).far(given)
    fringe, skin = (..., slice(24, 30), slice(None)), (..., slice(36, 64), slice(None))
    assert near[fringe].abs().max() < 0.02
    assert (far[fringe] < -0.05).all()
    assert far[skin].abs().max() < 0.005


def test_the_farther_and_the_less_alike_the_less_it_counts():
    """A photograph of two colours; what one pixel counts for a far and another-coloured one,
    against what it counts for itself, all weights of a pixel adding up to 1."""
    x = torch.zeros(1, 3, 64, 64)
    x[..., 32:] = 0.1
    weights = Guide(x)._far.view(16, 16, 64, 64)
    torch.testing.assert_close(weights.sum(dim=(0, 1)), torch.ones(64, 64))
    # Of the pixels that are asked, that in row 30 and column 22, and the one 16 columns on.
    one, other = weights[7, 5], weights[7, 9]
    far, unlike = (16 / 64 / REACH) ** 2, 3 * (0.1 / SHADE) ** 2
    log_ratio = torch.log(other / one)
    assert float(log_ratio[30, 22]) == pytest.approx(-(far + unlike) / 2, abs=1e-4)
    assert float(log_ratio[30, 38]) == pytest.approx((far + unlike) / 2, abs=1e-4)
    apart = 64 // ASKED
    assert apart * 7 + apart // 2 == 30


@pytest.mark.parametrize("size", [32, 64, 128])
def test_no_size_asks_more_places(size):
    assert Guide(torch.zeros(1, 3, size, size))._far.shape == (1, ASKED**2, size**2)


def test_several_photographs_lead_as_each_alone(monkeypatch):
    monkeypatch.setattr(colours, "AROUND", 0.1)  # in 16 pixels its own width is nothing
    x, given = (torch.cat([picture(16, seed), picture(16, seed + 1)]) for seed in (3, 5))
    for way in (Guide.near, Guide.far):
        alone = [way(Guide(one[None]), each[None]) for one, each in zip(x, given, strict=True)]
        torch.testing.assert_close(way(Guide(x), given), torch.cat(alone))
