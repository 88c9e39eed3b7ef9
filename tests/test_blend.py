"""The formula of `detail`, on pictures made by hand."""

from itertools import pairwise

import pytest
import torch

from vaegan import blend
from vaegan.blend import Base, change, keep


def picture(size: int, seed: int = 0) -> torch.Tensor:
    """(1, 3, size, size) in [-0.5, 0.5], so that sums stay in range."""
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed)) - 0.5


def up(x: torch.Tensor, size: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(x, (size, size), mode="bicubic")


@pytest.fixture
def edit() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x at 48 px; R and E at 16, alike on the left half, far apart on the right."""
    r = picture(16, 1)
    e = r.clone()
    e[..., 8:] += 0.4
    return picture(48), r, e


def test_detail_zero_is_the_decoder(edit):
    x, r, e = edit
    result = x + change(Base(x, r), e, 0.0)
    torch.testing.assert_close(result, up(e, 48), rtol=0, atol=1e-5)


def test_detail_one_keeps_all_texture(edit):
    x, r, e = edit
    result = x + change(Base(x, r), e, 1.0)
    torch.testing.assert_close(result, up(e, 48) + x - up(r, 48), rtol=0, atol=1e-5)


@pytest.mark.parametrize("detail", [0.5, 0.7, 0.95])
def test_between_the_edit_alone_loses_texture(edit, detail):
    x, r, e = edit
    result = x + change(Base(x, r), e, detail)
    assert torch.equal(result[..., :6], x[..., :6])  # untouched and beyond the blur
    ghost = (result - up(e, 48))[..., 36:] / (x - up(r, 48))[..., 36:]
    assert ghost.median() == pytest.approx({0.5: 0, 0.7: 0, 0.95: 1}[detail], abs=0.05)


@pytest.mark.parametrize("detail", [0.5, 0.7, 1.0])
def test_without_an_edit_nothing_changes(edit, detail):
    x, r, _ = edit
    for match in (0, 0.5, 1):
        assert not change(Base(x, r), r.clone(), detail, match).any()


def test_keep_rises_with_detail_and_falls_with_the_difference():
    steps = torch.linspace(0, 1, 16).view(1, 1, 1, 16).expand(1, 3, 16, 16)
    rows = [keep(steps, detail)[0, 0, 8] for detail in torch.linspace(0, 1, 21).tolist()]
    for lower, higher in pairwise(rows):
        assert (higher >= lower - 1e-6).all()
    for row in rows:
        assert (row.diff() <= 1e-6).all() and row.min() >= 0 and row.max() <= 1
    assert not rows[0].any() and (rows[-1] == 1).all()


def test_a_small_difference_at_the_default_costs_no_texture():
    assert keep(torch.full((1, 3, 16, 16), 0.05), blend.DETAIL).min() > 0.97
    assert keep(torch.full((1, 3, 16, 16), 0.5), blend.DETAIL).max() < 0.01


def test_matched_colours_are_the_photographs():
    """A decoder that draws all 0.2 too dark is put right, and an edit's own colour is kept."""
    x = torch.full((1, 3, 48, 48), 0.3)
    r = torch.full((1, 3, 16, 16), 0.1)
    base = Base(x, r)
    assert (x + change(base, r + 0.4, 0.0)).mean() == pytest.approx(0.5, abs=1e-5)
    assert (x + change(base, r + 0.4, 0.0, match=1)).mean() == pytest.approx(0.7, abs=1e-5)


def test_detail_has_limits(edit):
    x, r, e = edit
    for detail in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            change(Base(x, r), e, detail)
