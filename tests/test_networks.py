import pytest
import torch

from vaegan.config import LARSEN_2016_MODEL, PRESETS, ModelConfig, at_resolution
from vaegan.networks import Decoder, Discriminator, Encoder, MinibatchDeviation, fold


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_shapes_and_ranges(preset, resolution):
    config = at_resolution(PRESETS[preset][0], resolution)
    x = torch.rand(4, 3, resolution, resolution) * 2 - 1
    mu, logvar = Encoder(config)(x)
    assert mu.shape == logvar.shape == (4, config.latent_dim)
    drawn = Decoder(config)(mu)
    assert drawn.shape == x.shape
    assert drawn.abs().max() <= 1
    scores, features, _ = Discriminator(config)(drawn)
    assert scores.shape == (4,)
    assert [f.shape[1] for f in features] == [
        config.discriminator_widths[layer] for layer in config.feature_layers
    ]


def test_the_paper_s_layers():
    """Larsen et al. 2016, table 1 of the appendix."""
    encoder, decoder = Encoder(LARSEN_2016_MODEL), Decoder(LARSEN_2016_MODEL)
    discriminator = Discriminator(LARSEN_2016_MODEL)
    shapes = [tuple(p.shape) for p in encoder.parameters() if p.dim() > 1]
    assert shapes == [
        (64, 3, 5, 5), (128, 64, 5, 5), (256, 128, 5, 5),
        (2048, 8 * 8 * 256), (128, 2048), (128, 2048),
    ]  # fmt: skip
    shapes = [tuple(p.shape) for p in decoder.parameters() if p.dim() > 1]
    assert shapes == [
        (8 * 8 * 256, 128), (256, 256, 5, 5), (256, 128, 5, 5), (128, 32, 5, 5), (3, 32, 5, 5),
    ]  # fmt: skip
    shapes = [tuple(p.shape) for p in discriminator.parameters() if p.dim() > 1]
    assert shapes == [
        (32, 3, 5, 5), (128, 32, 5, 5), (256, 128, 5, 5), (256, 256, 5, 5),
        (512, 8 * 8 * 256), (1, 512),
    ]  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("network", [Encoder, Decoder])
def test_folding_changes_no_answer(preset, network):
    torch.manual_seed(0)
    config = at_resolution(PRESETS[preset][0], 32)
    net = network(config)
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    net.eval()
    shape = (4, 3, 32, 32) if network is Encoder else (4, config.latent_dim)
    given = torch.randn(shape)
    folded = fold(net)
    plain, quick = net(given), folded(given)
    if network is Encoder:
        plain, quick = plain[0], quick[0]
    torch.testing.assert_close(quick, plain, rtol=1e-4, atol=1e-5)
    assert not any("BatchNorm" in type(m).__name__ for m in folded.modules())
    assert any("BatchNorm" in type(m).__name__ for m in net.modules())


def test_an_encoder_that_is_not_variational_has_no_variance():
    encoder = Encoder(at_resolution(ModelConfig(), 32), variational=False)
    assert encoder(torch.zeros(2, 3, 32, 32))[1] is None
    assert not any("logvar" in name for name, _ in encoder.named_parameters())


def test_minibatch_deviation_shows_how_varied_a_group_is():
    layer = MinibatchDeviation()
    same = layer(torch.ones(8, 2, 3, 3))
    assert same.shape == (8, 3, 3, 3)
    assert same[:, 2].abs().max() < 1e-3
    # Half the group at 0, half at 2: a standard deviation of 1 everywhere.
    halves = torch.cat([torch.zeros(4, 2, 3, 3), 2 * torch.ones(4, 2, 3, 3)])
    torch.testing.assert_close(layer(halves)[:, 2], torch.ones(8, 3, 3))


def test_spectral_norm_bounds_every_layer():
    torch.manual_seed(0)
    discriminator = Discriminator(at_resolution(ModelConfig(), 32))
    x = torch.randn(2, 3, 32, 32)
    for _ in range(30):  # the power iteration converges while training
        discriminator(x)
    discriminator.eval()
    layers = [
        m for m in discriminator.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    weights = [layer.weight for layer in layers]
    norms = [torch.linalg.matrix_norm(w.flatten(1), 2).item() for w in weights]
    assert norms and norms == pytest.approx([1.0] * len(norms), rel=0.05)
