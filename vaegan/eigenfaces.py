"""Where training begins: at the best linear autoencoder there is.

Encoder and decoder have a linear path each beside their convolutions. Set to the principal
components of the training faces (Turk & Pentland 1991, "Eigenfaces for recognition"), they
reconstruct before the first step what convolutions alone would take hours to learn; what is left
for those is all that a linear map cannot do. Every weight is trained on from there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RANGE = 0.95  # of tanh that is aimed at: white itself would need an infinite input
NOISE = 6e-5  # squared error per pixel and channel that each component is allowed; about 150 nats
NEGLIGIBLE = 1e-4  # of the largest variance: whitening would blow up what little is below


@torch.no_grad()
def initialise(networks: dict[str, nn.Module], x: Tensor) -> None:
    """Sets the linear paths to principal components, and the convolutions' last layers to 0.

    The codes mu are whitened, as the prior wants them. The noise around them is what reverse
    water-filling gives each component (Cover & Thomas 2006, section 10.3.3).

    Args:
        networks: a model's, fresh; nothing happens where they have no linear paths.
        x: (N, 3, R, R) in [-1, 1], training faces.
    """
    encoder, decoder = networks.get("encoder"), networks["decoder"]
    if decoder.eigenfaces is None:
        return
    latent_dim, side = decoder.eigenfaces.in_features, decoder.eigenface_side
    small = nn.functional.adaptive_avg_pool2d(x, side).flatten(1)
    mean, variances, components = principal_components(small, latent_dim)
    deviations = variances.sqrt()
    whiten = torch.where(deviations > 0, components / deviations, 0.0).T  # (latent_dim, D)
    z = (small - mean) @ whiten.T
    before_tanh = (RANGE * small).atanh()
    decoder.eigenfaces.bias.copy_(before_tanh.mean(dim=0))
    decoder.eigenfaces.weight.copy_(before_tanh.T @ z / len(z))  # least squares: z is white
    _silence(decoder.colour)
    if encoder is None:
        return
    encoder.eigenfaces.weight.copy_(whiten)
    encoder.eigenfaces.bias.copy_(-whiten @ mean)
    _silence(encoder.mu)
    if encoder.logvar is not None:
        _silence(encoder.logvar)
        share = NOISE * small.shape[1] / variances.clamp_min(1e-12)
        encoder.logvar.bias.copy_(share.clamp(max=1).log())


def principal_components(x: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of vectors x (N, D): mean (D,), variances (count,) falling, components (D, count).

    Where x has fewer dimensions than `count`, the rest are 0.
    """
    mean = x.mean(dim=0)
    centred = (x - mean).double()
    variances, components = torch.linalg.eigh(centred.T @ centred / len(x))
    variances, components = variances.flip(0)[:count], components.flip(1)[:, :count]
    variances = torch.where(variances > NEGLIGIBLE * variances[0], variances, 0.0)
    missing = count - len(variances)
    variances = nn.functional.pad(variances, (0, missing))
    components = nn.functional.pad(components, (0, missing))
    return mean, variances.to(x), components.to(x)


def _silence(layer: nn.Linear | nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
