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


def test_naming_weighs_both_sides_of_an_attribute_alike():
    logits = torch.zeros(4, 1)
    labels = torch.tensor([[1], [-1], [-1], [-1]])
    # One in four has it: 2 · log 2 for it, 3 · 2/3 · log 2 for the others, over four labels.
    loss = losses.naming_loss(logits, labels, torch.tensor([0.25]))
    assert loss.item() == pytest.approx(math.log(2))


def test_naming_ignores_what_is_unknown():
    logits = torch.tensor([[50.0, 3.0], [-50.0, -3.0]])
    labels = torch.tensor([[1, 0], [-1, 0]], dtype=torch.int8)
    shares = torch.tensor([0.5, 0.5])
    assert losses.naming_loss(logits, labels, shares).item() == pytest.approx(0, abs=1e-6)
    assert losses.naming_loss(logits, 0 * labels, shares).item() == 0


def test_likeness_is_the_cross_entropy_under_the_photograph():
    logits = torch.tensor([[0.0, 100.0]])
    loss = losses.likeness_loss(torch.tensor([[0.0, 0.0]]), logits)
    assert loss.item() == pytest.approx(math.log(2))
    assert losses.likeness_loss(logits, logits).item() == pytest.approx(0.5 * math.log(2))


def certain(*signs: int) -> torch.Tensor:
    """Logits that leave no doubt."""
    return 100.0 * torch.tensor([signs])


def test_a_whole_edit_turns_its_attribute_and_leaves_the_others():
    before, related = certain(-1, 1, -1), torch.eye(3, dtype=torch.bool)
    index, strength = torch.tensor([0]), torch.tensor([losses.SURE])
    done = losses.edit_loss(certain(1, 1, -1), before, index, strength, related)
    assert done.item() == pytest.approx(0)
    assert losses.edit_loss(before, before, index, strength, related).item() == pytest.approx(100)
    # One of the two others turned: half of a hundred, `OTHERS` times.
    leaked = losses.edit_loss(certain(1, -1, -1), before, index, strength, related)
    assert leaked.item() == pytest.approx(losses.OTHERS * 50)
    related[0, 1] = True
    excused = losses.edit_loss(certain(1, -1, -1), before, index, strength, related)
    assert excused.item() == pytest.approx(0)


def test_half_an_edit_stands_on_the_border():
    before, index, half = certain(-1), torch.tensor([0]), torch.tensor([losses.SURE / 2])
    related = torch.ones(1, 1, dtype=torch.bool)
    below, on, above = (
        losses.edit_loss(torch.tensor([[logit]]), before, index, half, related).item()
        for logit in (-1.0, 0.0, 1.0)
    )
    assert on == pytest.approx(math.log(2))
    assert below == pytest.approx(above)
    assert below > on
