"""Closed forms, worked out by hand."""

import math

import pytest
import torch

from vaegan import losses


def test_kl_of_the_prior_is_zero_and_known_elsewhere():
    zero = torch.zeros(3, 5)
    assert losses.kl_divergence(zero, zero) == 0
    # N(2, 1) against N(0, 1): 2² / 2 a dimension. N(0, e²): (e² - 1 - 2) / 2.
    assert losses.kl_divergence(zero + 2, zero).item() == pytest.approx(5 * 2)
    expected = 5 * (math.exp(2) - 3) / 2
    assert losses.kl_divergence(zero, zero + 2).item() == pytest.approx(expected)


def test_kl_agrees_with_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 7, 4, generator=generator)
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(mu, (logvar / 2).exp()), normal(0, 1))
    assert losses.kl_divergence(mu, logvar).item() == pytest.approx(kl.sum(1).mean().item())


def test_pixel_loss_is_a_mean():
    x = torch.zeros(2, 3, 4, 4)
    x_tilde = x.clone()
    x_tilde[0] = 1
    assert losses.pixel_loss(x_tilde, x) == 0.5


def test_gaussian_feature_loss_sums_dimensions_and_layers():
    real = [torch.zeros(2, 3, 2, 2), torch.zeros(2, 5, 1, 1)]
    tilde = [torch.ones(2, 3, 2, 2), 2 * torch.ones(2, 5, 1, 1)]
    assert losses.feature_loss_gaussian(tilde, real) == 0.5 * 12 + 0.5 * 4 * 5


def test_relative_feature_loss_does_not_see_the_scale():
    generator = torch.Generator().manual_seed(0)
    real, tilde = torch.randn(2, 4, 8, 2, 2, generator=generator)
    loss = losses.feature_loss_relative([tilde], [real])
    scaled = losses.feature_loss_relative([100 * tilde], [100 * real])
    assert loss.item() == pytest.approx(scaled.item(), rel=1e-5)
    zero = losses.feature_loss_relative([torch.zeros_like(real)], [real])
    assert zero.item() == pytest.approx(1)


@pytest.mark.parametrize("name", losses.FEATURE_LOSSES)
def test_feature_losses_are_blind_to_the_photographs_gradient(name):
    real = torch.ones(2, 3, 2, 2, requires_grad=True)
    tilde = torch.zeros(2, 3, 2, 2, requires_grad=True)
    losses.FEATURE_LOSSES[name]([tilde], [real]).backward()
    assert real.grad is None
    assert tilde.grad.abs().sum() > 0


def test_hinge():
    real, fakes = torch.tensor([2.0, 0.0]), [torch.tensor([-2.0, 0.0]), torch.tensor([1.0])]
    # photographs: (0 + 1) / 2; reconstructions: (0 + 1) / 2; samples: 2; the kinds are averaged
    assert losses.discriminator_hinge(real, fakes) == 0.5 + (0.5 + 2) / 2
    assert losses.decoder_hinge(fakes) == -(-1 + 1) / 2


def test_binary_cross_entropy():
    zero = torch.zeros(4)
    assert losses.discriminator_bce(zero, [zero, zero]).item() == pytest.approx(3 * math.log(2))
    assert losses.decoder_bce([zero, zero]).item() == pytest.approx(2 * math.log(2))
    sure = torch.full((4,), 50.0)
    assert losses.discriminator_bce(sure, [-sure]).item() == pytest.approx(0, abs=1e-6)
    assert losses.decoder_bce([-sure]).item() == pytest.approx(50)
