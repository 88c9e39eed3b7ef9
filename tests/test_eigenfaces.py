"""Training begins at principal components."""

import math
from dataclasses import replace

import torch

from vaegan.config import ModelConfig
from vaegan.eigenfaces import initialise, principal_components
from vaegan.models import build

LATENT = 6
CONFIG = ModelConfig(
    resolution=32,
    latent_dim=LATENT,
    eigenface_side=8,
    encoder_widths=(4, 4),
    encoder_kernels=(3, 3),
    encoder_hidden=8,
    decoder_widths=(8, 4),
    discriminator_widths=(4, 4),
    feature_layers=(0, 1),
)


def faces(n: int, dimensions: int = LATENT) -> torch.Tensor:
    """Pictures (n, 3, 32, 32) that differ in so many ways, all of them smooth and pale."""
    generator = torch.Generator().manual_seed(0)
    ways = torch.randn(dimensions, 3 * 4 * 4, generator=generator)
    codes = torch.randn(n, dimensions, generator=generator)
    small = (codes @ ways).view(n, 3, 4, 4)
    x = torch.nn.functional.interpolate(small, (32, 32), mode="bilinear")
    return 0.3 * x / x.abs().max()


def test_components_of_a_planted_cloud():
    angle = math.radians(30)
    axes = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners = torch.tensor([[3.0, 2.0], [3.0, -2.0], [-3.0, 2.0], [-3.0, -2.0]])
    mean, variances, components = principal_components(corners @ axes + 5, 2)
    assert torch.allclose(mean, torch.tensor([5.0, 5.0]))
    assert torch.allclose(variances, torch.tensor([9.0, 4.0]), atol=1e-4)
    assert torch.allclose((components.T @ axes.T).abs(), torch.eye(2), atol=1e-4)


def test_faces_of_as_many_dimensions_come_back_at_once():
    model, x = build(CONFIG), faces(200)
    initialise(model.networks, x)
    model.eval()
    with torch.no_grad():
        mu, _ = model.encoder(x)
        x, x_tilde = (torch.nn.functional.avg_pool2d(part, 4) for part in (x, model.decoder(mu)))
    lost = (x_tilde - x).square().sum() / (x - x.mean(dim=0)).square().sum()
    assert lost < 0.05  # enlarging and shrinking again blurs a little


def test_the_codes_of_the_faces_are_white():
    model, x = build(CONFIG), faces(200)
    initialise(model.networks, x)
    model.eval()
    with torch.no_grad():
        mu, logvar = model.encoder(x)
    assert torch.allclose(mu.mean(dim=0), torch.zeros(LATENT), atol=1e-3)
    assert torch.allclose(mu.T @ mu / len(mu), torch.eye(LATENT), atol=1e-2)
    # The noise is the same for every face and, where a component shows, smaller than it.
    assert torch.allclose(logvar, logvar[:1].expand_as(logvar))
    assert (logvar <= 0).all() and logvar[0, 0] < logvar[0, -1]


def test_more_components_than_the_faces_have_stay_unused():
    model, x = build(CONFIG), faces(50, dimensions=2)
    initialise(model.networks, x)
    weight = model.encoder.eigenfaces.weight
    assert weight[:2].abs().sum(dim=1).gt(0).all()
    assert not weight[2:].any()
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_model_without_linear_paths_is_left_alone():
    model = build(replace(CONFIG, eigenface_side=0))
    before = [p.clone() for p in model.parameters()]
    initialise(model.networks, faces(20))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
