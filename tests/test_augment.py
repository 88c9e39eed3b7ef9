import torch

from vaegan.augment import DRAWS, SHIFT, diff_augment, flip

NEUTRAL = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.5]])


def ramp(n: int = 1) -> torch.Tensor:
    return torch.linspace(-1, 1, n * 3 * 16 * 16).view(n, 3, 16, 16)


def test_flip_mirrors_those_that_are_drawn():
    x = ramp(2)
    flipped = flip(x, torch.tensor([[0.2], [0.8]]))
    assert torch.equal(flipped[0], x[0].flip(2))
    assert torch.equal(flipped[1], x[1])


def test_the_neutral_draw_changes_nothing():
    x = ramp()
    torch.testing.assert_close(diff_augment(x, NEUTRAL), x)


def test_brightness_adds_and_translation_moves_whole_pixels():
    x = ramp()
    bright = NEUTRAL.clone()
    bright[0, 0] = 0.75
    torch.testing.assert_close(diff_augment(x, bright), x + 0.25)
    moved = NEUTRAL.clone()
    moved[0, 3] = 1.0
    pixels = round(SHIFT * 16)
    result = diff_augment(x, moved)
    torch.testing.assert_close(result[..., :-pixels], x[..., pixels:])
    assert (result[..., -pixels:] == 0).all()


def test_no_saturation_is_grey_and_contrast_keeps_the_mean():
    x = torch.rand(1, 3, 16, 16)
    grey = NEUTRAL.clone()
    grey[0, 1] = 0
    result = diff_augment(x, grey)
    torch.testing.assert_close(result[:, 0], result[:, 2])
    flat = NEUTRAL.clone()
    flat[0, 2] = 0
    torch.testing.assert_close(diff_augment(x, flat).mean(), x.mean())
    torch.testing.assert_close(diff_augment(x, flat).std(), 0.5 * x.std())


def test_gradients_pass_through():
    x = ramp(4).requires_grad_()
    diff_augment(x, torch.rand(4, DRAWS)).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0
