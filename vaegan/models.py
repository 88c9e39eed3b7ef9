"""AutoEncoder → VAE → GAN → VAE-GAN: which networks a model has, and what trains each.

`phases` is a training step seen from the model: it yields one `{network name: loss}` after the
other. The trainer sends every loss into that network's parameters only, steps them, and asks for
the next phase, which therefore sees the networks as the phase before left them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaegan import distributed, losses
from vaegan.augment import DRAWS, diff_augment
from vaegan.config import ModelConfig, TrainConfig
from vaegan.directions import correlation, least_squares
from vaegan.distributed import Draws
from vaegan.networks import Decoder, Discriminator, Encoder, Verdict
from vaegan.prior import blended

Phase = dict[str, Tensor]
STRONGEST = 3.0  # slider position up to which edits are trained
LOCAL = 6.0  # weight of an edit's change of pixels: what need not change should not
RELATED = 0.5  # labels that correlate above this go together in life, so may change together
BLENDED = 4  # faces in a latent that is drawn from where the batch's latents lie
RIDGE = 0.1  # on the labels' correlations, whose smallest eigenvalues are noise
EQUILIBRIUM = 0.68  # the discriminator's loss when it can tell nothing: about log 2


@dataclass
class Step:
    """What a model is told of the step it takes part in."""

    number: int
    config: TrainConfig
    draws: Draws
    labels: Tensor | None = None  # (N, A): 1, -1, 0 for unknown; for models with attributes
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
        adversary = Adversary(self.discriminator, step)
        u, u_hat = adversary.draw(len(x)), adversary.draw(len(x))
        real, fake = adversary(x, u), adversary(x_hat.detach(), u_hat)
        yield {"discriminator": adversary.against(real.score, [fake.score])}

        yield {"decoder": adversary.fooled_by([adversary(x_hat, u_hat).score])}


class VAEGAN(Model):
    """The VAE's decoder is the GAN's generator, and the discriminator measures likeness.

    Larsen et al. 2016, algorithm 1. The discriminator learns from x, x_tilde = Dec(z) and
    x_hat = Dec(z_p); then the encoder from KL + reconstruction, and the decoder from
    γ · reconstruction + the wish to fool the discriminator. Reconstruction is measured in pixels
    and in the discriminator's features. The adversarial loss never reaches the encoder, and the
    feature loss never the discriminator.

    Where the model has attributes, it is also trained to be edited (in the manner of He et al.
    2019, AttGAN): the discriminator learns to name the attributes of labelled photographs, a
    reconstruction must keep what its photograph is named, and the decoder and its directions
    learn that Dec(z + s · direction) changes one attribute and leaves the others.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.discriminator = Discriminator(config)
        count = len(config.attributes)
        # Of the training labels: how many faces have each, and which go together in life.
        shares = torch.full((count,), 0.5) if count else None
        related = torch.eye(count, dtype=torch.bool) if count else None
        self.register_buffer("shares", shares)
        self.register_buffer("related", related)

    @torch.no_grad()
    def begin(self, mu: Tensor, labels: Tensor) -> None:
        """Takes what training needs to know of the labels; edits begin at least squares.

        Args:
            mu: (N, latent_dim) of labelled training faces. labels: (N, A): 1, -1, 0 for unknown.
        """
        self.shares.copy_((labels > 0).sum(dim=0) / (labels != 0).sum(dim=0).clamp_min(1))
        self.related |= correlation(labels).to(mu).abs() > RELATED
        if not self.decoder.directions.any():  # else it was edited before
            self.decoder.directions.copy_(least_squares(mu, labels, RIDGE))

    def phases(self, x: Tensor, step: Step) -> Iterator[Phase]:
        config, n = step.config, len(x)
        mu, logvar = self.encoder(x)
        z = reparametrize(mu, logvar, step.draws)
        if step.number < config.adversary_start:
            yield variational_phase(x, self.decoder(z), mu, logvar, step)
            return

        edit = self._draw_edit(n, step)
        z_p = self._draw_prior(mu, step)
        # One pass through the decoder for all kinds of fake, so that they share batch statistics.
        x_tilde, x_edit, x_hat = self.decoder(torch.cat([z, edit.of(z), z_p])).split(
            [n, len(edit), len(z_p)]
        )
        seen_edit = edit.as_seen(x, x_tilde, x_edit)
        adversary = Adversary(self.discriminator, step)
        u = adversary.draw(n)
        # An edit is looked at like its photograph, so that they can be compared.
        fakes = [(x_tilde, u), (seen_edit, u[: len(edit)]), (x_hat, adversary.draw(len(x_hat)))]
        fakes = [(fake, draws) for fake, draws in fakes if len(fake)]

        real = adversary(x, u)
        scores = [adversary(fake.detach(), draws).score for fake, draws in fakes]
        train_discriminator, train_decoder = adversary.gate(real.score, scores)
        if train_discriminator:
            loss = adversary.against(real.score, scores)
            yield {"discriminator": loss + adversary.naming(real, self.shares)}

        with torch.no_grad():
            real = adversary(x, u)
        judged = [adversary(fake, draws) for fake, draws in fakes]
        reconstruction = adversary.reconstruction(x, x_tilde, real, judged[0])
        phase = {"encoder": reconstruction + weighted_kl(mu, logvar, step)}
        if train_decoder:
            fooling = adversary.fooled_by([verdict.score for verdict in judged])
            phase["decoder"] = config.gamma * reconstruction + config.adversarial_weight * fooling
            if len(edit):
                change = losses.pixel_loss(x_edit, x_tilde[: len(edit)].detach())
                kept = adversary.edited(real, judged[1], edit, self.related)
                phase["decoder"] = phase["decoder"] + config.edit_weight * (kept + LOCAL * change)
        yield phase

    def _draw_prior(self, mu: Tensor, step: Step) -> Tensor:
        n = round(len(mu) * step.config.prior_samples)
        if step.config.prior == "standard":
            return step.draws.normal(n, self.config.latent_dim)
        u = step.draws.uniform(n, BLENDED)
        return blended(distributed.gather(mu.detach().float()), u)

    def _draw_edit(self, n: int, step: Step) -> Edit:
        count = len(self.config.attributes)
        u = step.draws.uniform(round(n * step.config.edits) if count else 0, 2)
        index = (u[:, 0] * count).long()
        return Edit(index, STRONGEST * (2 * u[:, 1] - 1), self.decoder.directions)


@dataclass(frozen=True)
class Edit:
    """Random edits of a batch's first M pictures.

    index: (M,), the attributes. strength: (M,), slider positions. directions: (A, latent_dim).
    """

    index: Tensor
    strength: Tensor
    directions: Tensor | None

    def __len__(self) -> int:
        return len(self.index)

    def of(self, z: Tensor) -> Tensor:
        """z: (N, latent_dim) → the edited (M, latent_dim)."""
        if self.directions is None:
            return z[:0]
        return z[: len(self)] + self.strength.unsqueeze(1) * self.directions[self.index]

    def as_seen(self, x: Tensor, x_tilde: Tensor, x_edit: Tensor) -> Tensor:
        """What people look at, (M, 3, R, R): the edit itself, or in every other row the
        photograph with the edit's difference laid over it."""
        m = len(self)
        over_photograph = (x[:m] + x_edit - x_tilde[:m]).clamp(-1, 1)
        odd = torch.arange(m, device=x.device).view(-1, 1, 1, 1) % 2 == 1
        return torch.where(odd, over_photograph, x_edit)


class Adversary:
    """The discriminator behind its augmentation, and the losses that are read from it."""

    def __init__(self, discriminator: Discriminator, step: Step) -> None:
        self.discriminator = discriminator
        self.step = step

    def draw(self, n: int) -> Tensor:
        """Random numbers for the augmentation of n pictures."""
        return self.step.draws.uniform(n, DRAWS)

    def __call__(self, x: Tensor, u: Tensor) -> Verdict:
        verdict = self.discriminator(diff_augment(x, u) if self.step.config.augment else x)
        return verdict._replace(score=verdict.score.float())

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

    def naming(self, real: Verdict, shares: Tensor) -> Tensor | float:
        """The discriminator's loss for the attributes that it names in photographs."""
        if real.attributes is None or self.step.labels is None:
            return 0.0
        loss = losses.naming_loss(real.attributes, self.step.labels, shares)
        self.step.log["naming"] = loss.detach()
        return self.step.config.attribute_weight * loss

    def reconstruction(self, x: Tensor, x_tilde: Tensor, real: Verdict, tilde: Verdict) -> Tensor:
        """The weighted sum of pixel, feature and attribute loss."""
        config = self.step.config
        pixel = losses.pixel_loss(x_tilde, x)
        feature = losses.FEATURE_LOSSES[config.feature_norm](tilde.features, real.features)
        self.step.log["pixel"] = pixel.detach()
        self.step.log["feature"] = feature.detach()
        total = config.pixel_weight * pixel + config.feature_weight * feature
        if real.attributes is None:
            return total
        likeness = losses.likeness_loss(tilde.attributes, real.attributes)
        self.step.log["likeness"] = likeness.detach()
        return total + config.likeness_weight * likeness

    def edited(self, real: Verdict, after: Verdict, edit: Edit, related: Tensor) -> Tensor:
        """The decoder's loss for edits that must do what they say."""
        before = real.attributes[: len(edit)]
        loss = losses.edit_loss(after.attributes, before, edit.index, edit.strength, related)
        self.step.log["edit"] = loss.detach()
        return loss

    def gate(self, real: Tensor, fakes: list[Tensor]) -> tuple[bool, bool]:
        """Whether discriminator and decoder train: neither may run away from the other.

        Not in the paper's text but in its authors' code: who is ahead by more than the margin
        waits; if both would wait, both train.

        real, fakes: scores; the last of the fakes count, which are prior samples if there are any.
        """
        margin = self.step.config.equilibrium_margin
        if not margin:
            return True, True
        with torch.no_grad():
            up = distributed.mean(F.softplus(-real).mean())  # -log Dis(x)
            down = distributed.mean(F.softplus(fakes[-1]).mean())  # -log(1 - Dis(·))
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
