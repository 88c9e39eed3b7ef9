"""The formula of `detail`, on pictures made by hand."""

from itertools import pairwise

import pytest
import torch

from vaegan import blend, colours
from vaegan.blend import Base, change, keep, structure


def picture(size: int, seed: int = 0) -> torch.Tensor:
    """(1, 3, size, size) in [-0.5, 0.5], so that sums stay in range."""
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed)) - 0.5


def up(x: torch.Tensor, size: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(x, (size, size), mode="bicubic")


@pytest.fixture
def edit() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x at 48 px; R and E at 16, alike on the left half, drawn anew on the right."""
    r = picture(16, 1)
    e = r.clone()
    e[..., 8:] *= -1
    return picture(48), r, e


def stripes() -> torch.Tensor:
    """(1, 3, 16, 16), one row at 0.5, one at -0.5: a variance of 0.24 around each pixel."""
    return 0.5 * (1 - 2 * (torch.arange(16) % 2)).view(1, 1, 16, 1).expand(1, 3, 16, 16)


def test_one_colour_all_over_is_bolder_and_else_as_it_is():
    r = picture(64)
    gray = torch.full_like(r, 0.1)
    torch.testing.assert_close(Base(r, r).led(r + gray), r + blend.BOLD * gray)


def test_what_is_drawn_anew_is_bolder_and_else_as_it_is():
    torch.testing.assert_close(
        Base(stripes(), stripes()).led(-stripes()), stripes() - 2 * blend.BOLD * stripes()
    )


@pytest.fixture
def wide(monkeypatch) -> None:
    """In 16 pixels the filter's own width is nothing."""
    monkeypatch.setattr(colours, "AROUND", 0.1)


@pytest.mark.usefixtures("wide")
def test_what_is_colour_alone_is_led_wherever_it_is():
    """Beside the rest, which is led where nothing is drawn anew."""
    x, r = picture(16), stripes()
    change = 0.4 * picture(16, 7)
    base = Base(x, r)
    by_hand = blend.BOLDER * base.guide.far(change)
    assert (by_hand - change).abs().max() > 0.05
    torch.testing.assert_close(base.led(r + change, r + change), r + by_hand)
    both = base.led(change - r, r + change)  # upside down, and colours
    torch.testing.assert_close(both, r + by_hand - 2 * blend.BOLD * r)


@pytest.mark.usefixtures("wide")
def test_what_is_hardly_drawn_is_led_in_part():
    """Faint stripes upside down, on a photograph that has none: the filter would take them away."""
    faint = 0.08 * stripes()
    found = Base(torch.zeros_like(faint), faint).led(-faint) - faint
    variances = 2 * 0.24 * 0.08**2
    anew = 2 * variances / (variances + blend.DRAWN) / blend.TOLERANCE
    assert anew == pytest.approx(0.8, abs=0.01)
    inside = (..., slice(3, -3), slice(3, -3))
    wanted = blend.BOLD * anew * -2 * faint
    torch.testing.assert_close(found[inside], wanted[inside], rtol=0.02, atol=0)


def test_several_faces_lose_texture_as_each_alone():
    x, r, e = (torch.cat([picture(size, seed), picture(size, seed + 1)]) for size, seed in
               ((256, 1), (16, 3), (16, 5)))  # fmt: skip
    x[1] *= 0.1
    together = change(Base(x, r), e, blend.DETAIL, 1, e)
    for n in range(2):
        alone = change(Base(x[[n]], r[[n]]), e[[n]], blend.DETAIL, 1, e[[n]])
        torch.testing.assert_close(together[[n]], alone, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("wide")
def test_the_more_is_matched_the_more_is_led(edit):
    x, r, e = edit
    gray = r + 0.4 * picture(16, 7)[:, :1]  # so that none grows too strong
    base = Base(x, r)
    led = base.led(e, gray)
    assert (led - e).abs().max() > 0.05
    for match in (0, 0.5, 1):
        found = change(base, e, 1.0, match, gray)
        wanted = up(torch.lerp(e, led, match) - r, 48)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_detail_zero_is_the_decoder(edit):
    x, r, e = edit
    result = x + change(Base(x, r), e, 0.0)
    torch.testing.assert_close(result, up(e, 48), rtol=0, atol=1e-5)


def test_detail_one_keeps_all_texture(edit):
    x, r, e = edit
    result = x + change(Base(x, r), e, 1.0)
    torch.testing.assert_close(result, up(e, 48) + x - up(r, 48), rtol=0, atol=1e-5)


@pytest.mark.parametrize("detail", [0.5, 0.7])
def test_between_what_is_drawn_anew_alone_loses_texture(edit, detail):
    x, r, e = edit
    result = x + change(Base(x, r), e, detail)
    assert torch.equal(result[..., :6], x[..., :6])  # untouched and beyond the blur
    ghost = (result - up(e, 48))[..., 36:] / (x - up(r, 48))[..., 36:]
    assert ghost.abs().max() < 1e-3


@pytest.mark.parametrize("detail", [0.5, 0.7, 1.0])
def test_without_an_edit_nothing_changes(edit, detail):
    x, r, _ = edit
    for match in (0, 0.5, 1):
        assert not change(Base(x, r), r.clone(), detail, match).any()
        assert not change(Base(x, r), r.clone(), detail, match, r.clone()).any()


@pytest.mark.parametrize(
    ("y", "covariance", "variances"),
    [(1.0, 1, 2), (0.5, 0.5, 1.25), (0.0, 0, 1), (-1.0, -1, 2)],
    ids=["the same", "half the contrast", "flat", "upside down"],
)
def test_structure_of_stripes(y, covariance, variances):
    variance = 0.24
    expected = (2 * covariance * variance + blend.FLAT) / (variances * variance + blend.FLAT)
    inside = structure(stripes(), y * stripes() + 0.3)[..., 2:-2, 2:-2]
    torch.testing.assert_close(inside, torch.full_like(inside, expected), rtol=0, atol=1e-4)


def test_structure_has_gradients_even_after_it_was_used_without():
    blend._windows.cache_clear()
    with torch.inference_mode():
        keep(stripes(), stripes(), blend.DETAIL)
    x = picture(16).requires_grad_()
    structure(stripes(), x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_structure_asks_for_no_colour():
    r = picture(16)
    assert structure(r, r[:, [2, 0, 1]]).min() > 0.9999


def test_keep_rises_with_detail_and_falls_with_the_likeness():
    e = stripes() * torch.linspace(1, -1, 16)
    rows = [keep(stripes(), e, detail)[0, 0, 8] for detail in torch.linspace(0, 1, 21).tolist()]
    for lower, higher in pairwise(rows):
        assert (higher >= lower - 1e-6).all()
    for row in rows:
        assert (row.diff() <= 1e-6).all() and row.min() >= 0 and row.max() <= 1
    assert not rows[0].any() and (rows[-1] == 1).all()


def test_at_the_default_another_colour_costs_no_texture_and_another_drawing_all():
    r = picture(16)
    assert keep(r, r + 0.5, blend.DETAIL).min() > 0.999
    assert keep(r, -r, blend.DETAIL).max() < 0.01


def test_matched_colours_are_the_photographs():
    """A decoder that draws all 0.2 too dark is put right, and an edit's own colour is kept."""
    x = torch.full((1, 3, 48, 48), 0.3)
    r = torch.full((1, 3, 16, 16), 0.1)
    base = Base(x, r)
    assert (x + change(base, r + 0.4, 0.0)).mean() == pytest.approx(0.5, abs=1e-5)
    matched = (x + change(base, r + 0.4, 0.0, match=1)).mean()
    assert matched == pytest.approx(0.3 + 0.4 * blend.BOLD, abs=1e-5)


def test_what_is_fine_and_faint_is_on_what_is_drawn_anew_too():
    """Noise of 0.02, pixel by pixel, stays; a hair of 0.5, two pixels wide, goes."""
    size = 4 * blend.FINE
    noise = 0.02 * (1 - 2 * ((torch.arange(size) + torch.arange(size)[:, None]) % 2))
    hair = torch.zeros(size)
    hair[200:202] = 0.5
    x = (noise + hair).expand(1, 3, size, size)
    change_all = -2 * stripes()
    plain, grainy = (
        x + change(Base(x, stripes()), stripes() + change_all, detail, match=1)
        for detail in (1.0, blend.DETAIL)
    )
    assert float((grainy * noise).mean()) == pytest.approx(0.02**2, rel=0.05)
    height = [float(y[..., 200:202].mean() - y[..., 150:190].mean()) for y in (plain, grainy)]
    assert height[0] == pytest.approx(0.5, abs=0.02)
    assert abs(height[1]) < 1.2 * blend.FAINT * 0.02


def test_detail_has_limits(edit):
    x, r, e = edit
    for detail in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            change(Base(x, r), e, detail)
