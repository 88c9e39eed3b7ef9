"""Encoder, decoder and discriminator: plain stacks of convolutions, built from a `ModelConfig`.

Encoder and decoder may have a linear path beside the convolutions, between z and a small picture:
see `vaegan.eigenfaces`.

Pictures are (N, 3, R, R) in [-1, 1]; latents are (N, latent_dim). Which weights belong to which
loss is the business of `vaegan.models`; nothing here knows how it is trained.
"""

from __future__ import annotations

import copy
import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vaegan import images
from vaegan.config import ModelConfig

LOGVAR_RANGE = (-12.0, 6.0)  # keeps exp(logvar) finite in half precision


class Encoder(nn.Module):
    """q(z | x): strided convolutions, one hidden layer, then mu and (if variational) logvar."""

    def __init__(self, config: ModelConfig, variational: bool = True) -> None:
        super().__init__()
        self.variational = variational
        channels, layers = 3, []
        for width, kernel in zip(config.encoder_widths, config.encoder_kernels, strict=True):
            layers += [
                nn.Conv2d(
                    channels, width, kernel, 2, (kernel - 1) // 2, bias=not config.batch_norm
                ),
                *_norm(nn.BatchNorm2d, width, config),
                nn.LeakyReLU(config.slope),
            ]
            channels = width
        side = config.resolution >> len(config.encoder_widths)
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * side * side, config.encoder_hidden, bias=not config.batch_norm),
            *_norm(nn.BatchNorm1d, config.encoder_hidden, config),
            nn.LeakyReLU(config.slope),
        )
        self.mu = nn.Linear(config.encoder_hidden, config.latent_dim)
        self.logvar = nn.Linear(config.encoder_hidden, config.latent_dim) if variational else None
        self.eigenface_side = side = config.eigenface_side
        self.eigenfaces = nn.Linear(3 * side**2, config.latent_dim) if side else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """x: (N, 3, R, R) in [-1, 1] → mu and logvar (or None), each (N, latent_dim)."""
        h = self.hidden(self.convolutions(x))
        mu = self.mu(h)
        if self.eigenfaces is not None:
            small = F.avg_pool2d(x, x.shape[-1] // self.eigenface_side)
            mu = mu + self.eigenfaces(small.flatten(1))
        logvar = self.logvar(h).clamp(*LOGVAR_RANGE) if self.variational else None
        return mu, logvar


class Decoder(nn.Module):
    """p(x | z), which is also the generator of the GAN.

    directions: (A, latent_dim), what training's own edits of each attribute add to z at 1, or None;
        sliders have theirs from `vaegan.attributes`
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        shuffle = config.decoder_upsampling == "shuffle"
        widths = config.decoder_widths
        doublings = len(widths) if shuffle else len(widths) - 1
        self.start = (widths[0], config.resolution >> doublings, config.resolution >> doublings)
        size = widths[0] * self.start[1] * self.start[2]
        self.project = nn.Sequential(
            nn.Linear(config.latent_dim, size, bias=not config.batch_norm),
            *_norm(nn.BatchNorm1d, size, config),
            nn.LeakyReLU(config.slope),
        )
        layers: list[nn.Module] = []
        for channels, width in itertools.pairwise(widths):
            layers += [
                *(
                    _shuffled(channels, width)
                    if shuffle
                    else [_transposed(channels, width, config)]
                ),
                *_norm(nn.BatchNorm2d, width, config),
                nn.LeakyReLU(config.slope),
            ]
        if shuffle:
            layers += [nn.Conv2d(widths[-1], 12, 5, padding=2), nn.PixelShuffle(2)]
        else:
            layers += [nn.Conv2d(widths[-1], 3, 5, padding=2)]
        self.convolutions = nn.Sequential(*layers)
        self.eigenface_side = side = config.eigenface_side
        self.eigenfaces = nn.Linear(config.latent_dim, 3 * side**2) if side else None
        count = len(config.attributes)
        directions = nn.Parameter(torch.zeros(count, config.latent_dim)) if count else None
        self.register_parameter("directions", directions)

    @property
    def colour(self) -> nn.Conv2d:
        """The last convolution."""
        return [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)][-1]

    def forward(self, z: Tensor) -> Tensor:
        """z: (N, latent_dim) → x: (N, 3, R, R) in [-1, 1]."""
        h = self.convolutions(self.project(z).unflatten(1, self.start))
        if self.eigenfaces is not None:
            small = self.eigenfaces(z).unflatten(1, (3, self.eigenface_side, self.eigenface_side))
            h = h + F.interpolate(small, h.shape[-2:], mode="bilinear")
        return h.tanh()


class Verdict(NamedTuple):
    """What a discriminator says of N pictures.

    score: (N,), a logit: photograph or fake
    features: hidden layers, one (N, C, H, W) each
    attributes: (N, A), logits; or None
    """

    score: Tensor
    features: list[Tensor]
    attributes: Tensor | None


class Discriminator(nn.Module):
    """Tells photographs from fakes, and lends its hidden layers as a measure of likeness.

    Where the model has attributes it also names them (Odena et al. 2017), so that its hidden
    layers see what people see, and an edit can be held to what it says.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.feature_layers = config.feature_layers
        kernel = config.discriminator_kernel
        normalise = spectral_norm if config.discriminator_spectral_norm else nn.Identity()
        channels = 3
        self.stem = nn.Identity()
        if config.discriminator_stem:
            channels = config.discriminator_stem
            stem = nn.Conv2d(3, channels, kernel, padding=kernel // 2)
            self.stem = nn.Sequential(normalise(stem), nn.LeakyReLU(config.slope))
        self.blocks = nn.ModuleList()
        for width in config.discriminator_widths:
            convolution = nn.Conv2d(channels, width, kernel, 2, (kernel - 1) // 2)
            norm = [nn.BatchNorm2d(width)] if config.discriminator_batch_norm else []
            block = nn.Sequential(normalise(convolution), *norm, nn.LeakyReLU(config.slope))
            self.blocks.append(block)
            channels = width
        side = config.resolution >> len(config.discriminator_widths)
        self.deviation = MinibatchDeviation() if config.minibatch_deviation else nn.Identity()
        size = (channels + config.minibatch_deviation) * side * side
        hidden = config.discriminator_hidden
        self.score = nn.Sequential(nn.Flatten())
        if hidden:
            norm = [nn.BatchNorm1d(hidden)] if config.discriminator_batch_norm else []
            self.score.extend([normalise(nn.Linear(size, hidden)), *norm])
            self.score.append(nn.LeakyReLU(config.slope))
        self.score.append(normalise(nn.Linear(hidden or size, 1)))
        self.attributes = None
        if config.attributes:
            count = len(config.attributes)
            # Spectral norms leave the features small: naming would take hours to begin.
            self.attributes = nn.Sequential(
                nn.GroupNorm(1, channels, affine=False),
                nn.Flatten(),
                nn.Linear(channels * side * side, count),
            )

    def forward(self, x: Tensor) -> Verdict:
        """x: (N, 3, R, R) in [-1, 1]."""
        h = self.stem(x)
        features = []
        for layer, block in enumerate(self.blocks):
            h = block(h)
            if layer in self.feature_layers:
                features.append(h)
        named = None if self.attributes is None else self.attributes(h)
        return Verdict(self.score(self.deviation(h)).squeeze(1), features, named)


class MinibatchDeviation(nn.Module):
    """Appends one channel: the batch's mean standard deviation (Karras et al. 2018, section 3).

    It shows the discriminator how varied the fakes are, one group of `group` pictures at a time.
    """

    group = 8

    def forward(self, h: Tensor) -> Tensor:
        """h: (N, C, H, W) → (N, C + 1, H, W)."""
        n = len(h)
        group = self.group if n % self.group == 0 else n
        grouped = h.view(group, n // group, *h.shape[1:])
        deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        plane = deviation.repeat(group).view(n, 1, 1, 1).expand(n, 1, *h.shape[2:])
        return torch.cat([h, plane], dim=1)


@torch.no_grad()
def encode_all(encoder: Encoder, pixels: Tensor, batch: int = 256) -> Tensor:
    """mu of every picture, (N, latent_dim). pixels: (N, 3, R, R) uint8."""
    return torch.cat([encoder(images.to_float(part))[0] for part in pixels.split(batch)])


@torch.no_grad()
def echo(encoder: Encoder, decoder: Decoder, z: Tensor, batch: int = 256) -> Tensor:
    """mu of what z decode to, (N, latent_dim) like z, and where z are."""
    device = next(decoder.parameters()).device
    parts = z.to(device).split(batch)
    return torch.cat([encoder(decoder(part))[0] for part in parts]).to(z.device)


def fold(network: nn.Module) -> nn.Module:
    """A copy for inference, each batch norm folded into the layer that feeds it.

    Batch norm at rest is y = scale · x + shift for each channel, so the layer before it can do the
    same work in its own weights. Channels last, since that is what convolutions are quickest at.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for sequence in [m for m in network.modules() if isinstance(m, nn.Sequential)]:
        feeding = None
        for index, module in enumerate(sequence):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                feeding = module
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                _absorb(feeding, module)
                sequence[index] = nn.Identity()
    return network.to(memory_format=torch.channels_last)


def _absorb(layer: nn.Module, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """Puts `norm` into the weights of `layer`; a pixel shuffle may stand between the two."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    transposed = isinstance(layer, nn.ConvTranspose2d)
    outputs = layer.weight.shape[1 if transposed else 0]
    # A pixel shuffle makes one channel of each run of four.
    scale, shift = (part.repeat_interleave(outputs // len(part)) for part in (scale, shift))
    bias = shift if layer.bias is None else shift + scale * layer.bias
    shape = [1] * layer.weight.dim()
    shape[1 if transposed else 0] = -1
    layer.weight = nn.Parameter(layer.weight * scale.view(shape), requires_grad=False)
    layer.bias = nn.Parameter(bias, requires_grad=False)


def _norm(layer: type[nn.Module], width: int, config: ModelConfig) -> list[nn.Module]:
    return [layer(width)] if config.batch_norm else []


def _shuffled(channels: int, width: int) -> list[nn.Module]:
    """A convolution at the small size whose channels become pixels: doubles the side cheaply."""
    return [nn.Conv2d(channels, 4 * width, 3, padding=1), nn.PixelShuffle(2)]


def _transposed(channels: int, width: int, config: ModelConfig) -> nn.Module:
    """The paper's 5×5 convolution that doubles the side."""
    return nn.ConvTranspose2d(
        channels, width, 5, 2, padding=2, output_padding=1, bias=not config.batch_norm
    )
