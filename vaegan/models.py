"""AutoEncoder → VAE → GAN → VAE-GAN: which networks a model has, and what trains each.

`phases` is a training step seen from the model: it yields one `{network name: loss}` after the
other. The trainer sends every loss into that network's parameters only, steps them, and asks for
the next phase, which therefore sees the networks as the phase before left them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vaegan import distributed, losses
from vaegan.augment import DRAWS, diff_augment
from vaegan.config import ModelConfig, TrainConfig
from vaegan.distributed import Draws
from vaegan.networks import Decoder, Discriminator, Encoder

Phase = dict[str, Tensor]
EQUILIBRIUM = 0.68  # the discriminator's loss when it can tell nothing: about log 2


@dataclass
class Step:
    """What a model is told of the step it takes part in."""

    number: int
    config: TrainConfig
    draws: Draws
    log: dict[str, Tensor] = field(default_factory=dict)  # detached scalars, for the metrics file


class Model(nn.Module):
    """What the four have in common; `exported` names the networks that a snapshot holds."""

    exported: tuple[str, ...] = ("encoder", "decoder")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def networks(self) -> dict[str, nn.Module]:
        return dict(self.named_children())

    def phases(self, x: Tensor, step: Step) -> Iterator[Phase]:
        """x: (N, 3, R, R) in [-1, 1]. Losses are scalars."""
        raise NotImplementedError


class AutoEncoder(Model):
    """Reconstruction alone: pictures become codes, but nobody knows where the codes lie."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config, variational=False)
        self.decoder = Decoder(config)

    def phases(self, x: Tensor, step: Step) -> Iterator[Phase]:
        z, _ = self.encoder(x)
        loss = losses.pixel_loss(self.decoder(z), x)
        step.log["pixel"] = loss.detach()
        yield {"encoder": loss, "decoder": loss}


class VAE(Model):
    """Reconstruction + KL: codes lie near N(0, I), so they can be drawn; pictures are soft."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def phases(self, x: Tensor, step: Step) -> Iterator[Phase]:
        mu, logvar = self.encoder(x)
        x_tilde = self.decoder(reparametrize(mu, logvar, step.draws))
        yield variational_phase(x, x_tilde, mu, logvar, step)


class GAN(Model):
    """A decoder against a discriminator: pictures are sharp, but no photograph can be encoded."""

    exported = ("decoder",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.decoder = Decoder(config)
        self.discriminator = Discriminator(config)

    def phases(self, x: Tensor, step: Step) -> Iterator[Phase]:
        x_hat = self.decoder(step.draws.normal(len(x), self.config.latent_dim))
        judge = Judge(self.discriminator, step)
        u, u_hat = judge.draw(len(x)), judge.draw(len(x))
        real, _ = judge(x, u)
        fake, _ = judge(x_hat.detach(), u_hat)
        yield {"discriminator": judge.against(real, [fake])}

        fake, _ = judge(x_hat, u_hat)
        yield {"decoder": judge.fooled_by([fake])}


class VAEGAN(Model):
    """The VAE's decoder is the GAN's generator, and the discriminator measures likeness.

    Larsen et al. 2016, algorithm 1. The discriminator learns from x, x_tilde = Dec(z) and
    x_hat = Dec(z_p); then the encoder from KL + reconstruction, and the decoder from
    γ · reconstruction + the wish to fool the discriminator. Reconstruction is measured in pixels
    and in the discriminator's features. The adversarial loss never reaches the encoder, and the
    feature loss never the discriminator.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.discriminator = Discriminator(config)

    def phases(self, x: Tensor, step: Step) -> Iterator[Phase]:
        config, n = step.config, len(x)
        mu, logvar = self.encoder(x)
        z = reparametrize(mu, logvar, step.draws)
        if step.number < config.adversary_start:
            yield variational_phase(x, self.decoder(z), mu, logvar, step)
            return

        # One pass through the decoder for both kinds of fake, so that they share batch statistics.
        z_p = step.draws.normal(round(n * config.prior_samples), self.config.latent_dim)
        fakes = self.decoder(torch.cat([z, z_p])).split([n, len(z_p)])
        fakes = [fake for fake in fakes if len(fake)]
        judge = Judge(self.discriminator, step)
        draws = [judge.draw(len(fake)) for fake in fakes]

        real, _ = judge(x, draws[0])
        scores = [judge(fake.detach(), u)[0] for fake, u in zip(fakes, draws, strict=True)]
        train_discriminator, train_decoder = judge.gate(real, scores)
        if train_discriminator:
            yield {"discriminator": judge.against(real, scores)}

        with torch.no_grad():
            _, features = judge(x, draws[0])
        judged = [judge(fake, u) for fake, u in zip(fakes, draws, strict=True)]
        reconstruction = judge.reconstruction(x, fakes[0], features, judged[0][1])
        phase = {"encoder": reconstruction + weighted_kl(mu, logvar, step)}
        if train_decoder:
            fooling = judge.fooled_by([score for score, _ in judged])
            phase["decoder"] = config.gamma * reconstruction + config.adversarial_weight * fooling
        yield phase


class Judge:
    """The discriminator behind its augmentation, and the losses that are read from it."""

    def __init__(self, discriminator: Discriminator, step: Step) -> None:
        self.discriminator = discriminator
        self.step = step

    def draw(self, n: int) -> Tensor:
        """Random numbers for the augmentation of n pictures."""
        return self.step.draws.uniform(n, DRAWS)

    def __call__(self, x: Tensor, u: Tensor) -> tuple[Tensor, list[Tensor]]:
        scores, features = self.discriminator(diff_augment(x, u) if self.step.config.augment else x)
        return scores.float(), features

    def against(self, real: Tensor, fakes: list[Tensor]) -> Tensor:
        """The discriminator's loss: photographs up, fakes down."""
        loss = losses.DISCRIMINATOR_LOSSES[self.step.config.adversarial](real, fakes)
        self.step.log["discriminator"] = loss.detach()
        self.step.log["score_real"] = real.detach().mean()
        self.step.log["score_fake"] = torch.cat(fakes).detach().mean()
        return loss

    def fooled_by(self, fakes: list[Tensor]) -> Tensor:
        """The decoder's adversarial loss: fakes up."""
        loss = losses.DECODER_LOSSES[self.step.config.adversarial](fakes)
        self.step.log["adversarial"] = loss.detach()
        return loss

    def reconstruction(
        self, x: Tensor, x_tilde: Tensor, features: list[Tensor], features_tilde: list[Tensor]
    ) -> Tensor:
        """The weighted sum of pixel and feature loss."""
        config = self.step.config
        pixel = losses.pixel_loss(x_tilde, x)
        feature = losses.FEATURE_LOSSES[config.feature_norm](features_tilde, features)
        self.step.log["pixel"] = pixel.detach()
        self.step.log["feature"] = feature.detach()
        return config.pixel_weight * pixel + config.feature_weight * feature

    def gate(self, real: Tensor, fakes: list[Tensor]) -> tuple[bool, bool]:
        """Whether discriminator and decoder train: neither may run away from the other.

        Not in the paper's text but in its authors' code: who is ahead by more than the margin
        waits; if both would wait, both train.
        """
        margin = self.step.config.equilibrium_margin
        if not margin:
            return True, True
        with torch.no_grad():
            up = distributed.mean(losses.discriminator_bce(real, []))
            down = distributed.mean(losses.decoder_bce([-fakes[-1]]))
        worst, best = float(torch.maximum(up, down)), float(torch.minimum(up, down))
        train_discriminator = best >= EQUILIBRIUM - margin
        train_decoder = worst <= EQUILIBRIUM + margin
        if not (train_discriminator or train_decoder):
            return True, True
        return train_discriminator, train_decoder


def reparametrize(mu: Tensor, logvar: Tensor, draws: Draws) -> Tensor:
    """z = mu + sigma · epsilon, (N, latent_dim) (Kingma & Welling 2014, eq. 10)."""
    return mu + (0.5 * logvar).exp() * draws.normal(*mu.shape)


def weighted_kl(mu: Tensor, logvar: Tensor, step: Step) -> Tensor:
    """β(step) · KL; β rises from 0 over `kl_warmup` steps."""
    kl = losses.kl_divergence(mu.float(), logvar.float())
    step.log["kl"] = kl.detach()
    warmup = step.config.kl_warmup
    return step.config.kl_weight * (min(1.0, step.number / warmup) if warmup else 1.0) * kl


def variational_phase(x: Tensor, x_tilde: Tensor, mu: Tensor, logvar: Tensor, step: Step) -> Phase:
    """A step of a plain VAE."""
    pixel = losses.pixel_loss(x_tilde, x)
    step.log["pixel"] = pixel.detach()
    loss = step.config.pixel_weight * pixel + weighted_kl(mu, logvar, step)
    return {"encoder": loss, "decoder": loss}


MODELS: dict[str, type[Model]] = {
    "autoencoder": AutoEncoder,
    "vae": VAE,
    "gan": GAN,
    "vaegan": VAEGAN,
}


def build(config: ModelConfig) -> Model:
    """The model that `config` describes, with fresh weights."""
    return MODELS[config.model](config)
