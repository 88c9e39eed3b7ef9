"""Which loss reaches which network: what the four models are about."""

import dataclasses

import pytest
import torch

from tests.conftest import TINY_MODEL as TINY
from vaegan.config import MODELS, PRESETS, ModelConfig, TrainConfig, at_resolution
from vaegan.distributed import Draws
from vaegan.models import BLENDED, Adversary, Edit, Step, build, reparametrize
from vaegan.prior import blended

TRAINING = TrainConfig(batch_size=4, adversary_start=0, kl_warmup=0)
CPU = torch.device("cpu")


def gradients(config: ModelConfig = TINY, **changes) -> dict[str, torch.Tensor]:
    """The gradient that one step gives each network, as the trainer takes it, without stepping."""
    torch.manual_seed(0)
    model = build(config).double()
    x = pictures().double()
    training = dataclasses.replace(TRAINING, **changes)
    found = {}
    for phase in model.phases(x, Step(0, training, DoubleDraws(0, 0, CPU))):
        for name, loss in phase.items():
            parameters = list(model.networks[name].parameters())
            parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            found[name] = torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).flatten()
                    for p, g in zip(parameters, parts, strict=True)
                ]
            )
    return found


def pictures() -> torch.Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


class DoubleDraws(Draws):
    """The same draws in double precision, so that equal gradients are equal to many digits."""

    def _rows(self, draw, n, width):
        return super()._rows(draw, n, width).double()


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-8, atol=1e-12)


def test_the_networks_of_each_model():
    names = {m: list(build(dataclasses.replace(TINY, model=m)).networks) for m in MODELS}
    assert names == {
        "autoencoder": ["encoder", "decoder"],
        "vae": ["encoder", "decoder"],
        "gan": ["decoder", "discriminator"],
        "vaegan": ["encoder", "decoder", "discriminator"],
    }


def test_vaegan_trains_all_three_networks():
    found = gradients()
    assert set(found) == {"encoder", "decoder", "discriminator"}
    assert all(gradient.abs().sum() > 0 for gradient in found.values())


def test_the_adversarial_loss_reaches_the_decoder_and_never_the_encoder():
    weak, strong = gradients(adversarial_weight=0.0), gradients(adversarial_weight=50.0)
    assert same(weak["encoder"], strong["encoder"])
    assert not same(weak["decoder"], strong["decoder"])


def test_the_feature_loss_reaches_encoder_and_decoder_and_never_the_discriminator():
    weak, strong = gradients(feature_weight=0.0), gradients(feature_weight=50.0)
    assert same(weak["discriminator"], strong["discriminator"])
    assert not same(weak["encoder"], strong["encoder"])
    assert not same(weak["decoder"], strong["decoder"])


def test_kl_trains_the_encoder_only():
    weak, strong = gradients(kl_weight=0.0), gradients(kl_weight=50.0)
    assert same(weak["decoder"], strong["decoder"])
    assert same(weak["discriminator"], strong["discriminator"])
    assert not same(weak["encoder"], strong["encoder"])


def test_gamma_weighs_the_decoder_s_reconstruction_only():
    whole, half = gradients(adversarial_weight=0.0), gradients(adversarial_weight=0.0, gamma=0.5)
    assert same(half["decoder"], 0.5 * whole["decoder"])
    assert same(half["encoder"], whole["encoder"])


def test_prior_samples_teach_discriminator_and_decoder():
    without, with_them = gradients(prior_samples=0.0), gradients(prior_samples=1.0)
    assert not same(without["discriminator"], with_them["discriminator"])
    assert not same(without["decoder"], with_them["decoder"])


def test_prior_samples_come_from_where_the_batch_s_latents_lie():
    config = dataclasses.replace(TRAINING, prior="aggregate", prior_samples=0.5)
    mu = 3 + torch.randn(8, TINY.latent_dim)
    z_p = build(TINY)._draw_prior(mu, Step(0, config, Draws(0, 0, CPU)))
    assert torch.equal(z_p, blended(mu, Draws(0, 0, CPU).uniform(4, BLENDED)))


def test_the_discriminator_s_step_is_seen_by_the_second_phase():
    torch.manual_seed(0)
    # Spectral norms are estimated anew with every pass, so losses would differ anyway.
    model = build(dataclasses.replace(TINY, discriminator_spectral_norm=False))
    x = pictures()

    def encoder_loss(factor: float) -> float:
        """Of the second phase, the discriminator changed after the first."""
        run = model.phases(x, Step(0, TRAINING, Draws(0, 0, CPU)))
        next(run)
        for parameter in model.discriminator.parameters():
            parameter.data.mul_(factor)
        return next(run)["encoder"].item()

    before = encoder_loss(1)
    assert encoder_loss(1) == before
    assert encoder_loss(-1) != before


def test_a_vae_is_all_there_is_before_the_adversary_starts():
    late = gradients(adversary_start=10)
    vae = gradients(dataclasses.replace(TINY, model="vae"), adversary_start=10)
    assert set(late) == {"encoder", "decoder"}
    assert same(late["decoder"], vae["decoder"])


@pytest.mark.parametrize("ahead", ["discriminator", "decoder", "nobody"])
def test_the_equilibrium_gate_stops_who_runs_away(ahead):
    config = dataclasses.replace(
        at_resolution(PRESETS["larsen2016"][0], 32),
        discriminator_widths=(8, 8),
        feature_layers=(1,),
    )
    model = build(dataclasses.replace(config, latent_dim=8, encoder_hidden=16))
    training = dataclasses.replace(PRESETS["larsen2016"][1], batch_size=4)
    adversary = Adversary(model.discriminator, Step(0, training, Draws(0, 0, CPU)))
    real = {"discriminator": 6.0, "decoder": -6.0, "nobody": 0.0}[ahead]
    decision = adversary.gate(torch.full((4,), real), [torch.full((4,), -real)] * 2)
    assert (
        decision
        == {
            "discriminator": (False, True),
            "decoder": (True, False),
            "nobody": (True, True),
        }[ahead]
    )


def test_reparametrization_has_the_asked_for_moments():
    mu, logvar = torch.full((20_000, 2), 3.0), torch.full((20_000, 2), 2 * 0.5)
    z = reparametrize(mu, logvar, Draws(0, 0, CPU))
    torch.testing.assert_close(z.mean(0), torch.full((2,), 3.0), atol=0.05, rtol=0)
    torch.testing.assert_close(z.std(0), torch.full((2,), 0.5).exp(), atol=0.05, rtol=0)


ATTRIBUTES = dataclasses.replace(TINY, attributes=("Smiling", "Male", "Young"))


def test_edits_teach_decoder_and_directions_and_never_the_encoder():
    weak = gradients(ATTRIBUTES, edit_weight=0.0)
    strong = gradients(ATTRIBUTES, edit_weight=50.0)
    assert same(weak["encoder"], strong["encoder"])
    assert same(weak["discriminator"], strong["discriminator"])
    assert not same(weak["decoder"], strong["decoder"])
    model = build(ATTRIBUTES)
    step = Step(0, dataclasses.replace(TRAINING, edits=1.0), Draws(0, 0, CPU))
    *_, phase = model.phases(pictures(), step)
    (reached,) = torch.autograd.grad(phase["decoder"], [model.decoder.directions])
    assert reached.abs().sum() > 0


def test_labels_teach_the_discriminator_only():
    model, x = build(ATTRIBUTES), pictures()
    labels = torch.tensor([[1, -1, 0]] * 4)
    found = {}
    for given in (None, labels):
        step = Step(0, TRAINING, Draws(0, 0, CPU), given)
        phase = next(model.phases(x, step))
        assert list(phase) == ["discriminator"]
        head = model.discriminator.attributes[-1].weight
        (found[given is None],) = torch.autograd.grad(
            phase["discriminator"], [head], allow_unused=True, materialize_grads=True
        )
    assert not found[True].any()
    assert found[False][:2].any() and not found[False][2].any()


def test_an_edit_is_seen_alone_and_over_the_photograph():
    x, x_tilde, x_edit = (torch.full((2, 3, 4, 4), level) for level in (0.5, 0.1, 0.4))
    edit = Edit(torch.zeros(2, dtype=torch.long), torch.ones(2), torch.zeros(1, 8))
    seen = edit.as_seen(x, x_tilde, x_edit)
    torch.testing.assert_close(seen[0], torch.full((3, 4, 4), 0.4))
    torch.testing.assert_close(seen[1], torch.full((3, 4, 4), 0.8))


def test_editing_begins_at_the_planted_directions():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (4000, 3), generator=generator) * 2 - 1
    labels[:, 1] = torch.where(torch.rand(4000, generator=generator) < 0.9, labels[:, 0], -1)
    planted = torch.randn(3, 8, generator=generator)
    noise = torch.randn(4000, 8, generator=generator)
    model = build(ATTRIBUTES)
    model.begin(labels.float() @ planted / 2 + 0.1 * noise, labels)
    assert model.related.tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]
    torch.testing.assert_close(model.shares, (labels > 0).float().mean(dim=0))
    # The third is independent of the others; the first two share some of each other's.
    found = torch.nn.functional.cosine_similarity(model.decoder.directions, planted)
    assert found.min() > 0.9
