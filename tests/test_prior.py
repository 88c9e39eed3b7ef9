"""Where latents lie: planted clusters and sparse components, closed forms, few faces."""

import math

import pytest
import torch

from vaegan.prior import FACES_EACH, LARGEST, Prior, blended, log_densities, mixture


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_one_gaussian_has_the_latents_moments():
    mixing = torch.randn(5, 5, generator=generator())
    mu = torch.randn(50_000, 5, generator=generator(1)) @ mixing.T + 3
    prior = Prior.fit(mu, components=1)
    torch.testing.assert_close(prior.mean, torch.full((5,), 3.0), atol=0.1, rtol=0)
    covariance = prior.cholesky @ prior.cholesky.T
    torch.testing.assert_close(covariance, mixing @ mixing.T, atol=0.1, rtol=0.05)
    assert torch.equal(prior.cholesky, prior.cholesky.tril())
    # In its coordinates nothing is left to say.
    torch.testing.assert_close(prior.means, torch.zeros(1, 5), atol=0.01, rtol=0)
    torch.testing.assert_close(prior.factors[0], torch.eye(5), atol=0.05, rtol=0)


def test_planted_clusters_are_found():
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0]])
    wide = torch.tensor([[0.5, 0.0], [0.0, 2.0]])
    mu = torch.cat([
        centres[0] + torch.randn(3000, 2, generator=generator()),
        centres[1] + torch.randn(9000, 2, generator=generator(1)) @ wide,
    ])  # fmt: skip
    weights, means, factors = mixture(mu, 2)
    order = means[:, 0].argsort()
    torch.testing.assert_close(weights[order], torch.tensor([0.25, 0.75]), atol=0.01, rtol=0)
    torch.testing.assert_close(means[order], centres, atol=0.1, rtol=0)
    factor = factors[order][1]
    torch.testing.assert_close(factor @ factor.T, wide @ wide.T, atol=0.2, rtol=0.1)


def test_sparse_components_are_drawn_as_sparse():
    noise = torch.rand(40_000, 4, generator=generator())
    sources = (noise - 0.5).sign() * -(1 - 2 * (noise - 0.5).abs()).log()  # Laplace: kurtosis 6
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator(1)))[0]
    z = Prior.fit(sources @ turn).draw(40_000, 1.0, generator(2)) @ turn.T
    kurtosis = z.pow(4).mean(dim=0) / z.square().mean(dim=0).square()
    torch.testing.assert_close(kurtosis, torch.full((4,), 6.0), atol=1.0, rtol=0)


def test_the_standard_prior_draws_from_n_0_i():
    prior = Prior.standard(3)
    z = prior.draw(1000, 1.0, generator())
    torch.multinomial(prior.weights, 1000, replacement=True, generator=(same := generator()))
    wanted = torch.randn(1000, 3, generator=same).clamp(-4, 4)  # where the tables end
    torch.testing.assert_close(z, wanted, atol=1e-4, rtol=0)


def test_what_is_drawn_has_the_moments_that_were_fitted():
    mu = torch.cat([torch.randn(2000, 3, generator=generator(s)) + 4 * s for s in range(3)])
    prior = Prior.fit(mu, components=3)
    z = prior.draw(60_000, 1.0, generator())
    torch.testing.assert_close(z.mean(dim=0), prior.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(z.T.cov(), mu.T.cov(), atol=0.2, rtol=0.05)
    half = prior.draw(60_000, 0.5, generator())
    torch.testing.assert_close(half - prior.mean, 0.5 * (z - prior.mean))


def test_the_largest_numbers_that_are_read_can_be_drawn_from():
    tensors = Prior.standard(100).tensors() | {"prior_stretches": torch.ones(1)}
    largest = {
        name: LARGEST * torch.randn(tensor.shape, generator=generator()).sign()
        for name, tensor in tensors.items()
    }
    largest["prior_weights"].abs_()
    largest["prior_cholesky"].diagonal().abs_()
    z = Prior.from_tensors(largest).draw(8, 1.0, generator(), torch.sin)
    assert torch.isfinite(z).all()
    for name, tensor in tensors.items():
        for value in (2 * LARGEST, math.inf, math.nan):
            wrong = {name: torch.full_like(tensor, value)}
            with pytest.raises(ValueError, match="nothing can be drawn"):
                Prior.from_tensors(tensors | wrong)


def test_densities_are_the_closed_form():
    z, mean = torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)
    factor = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    wanted = -0.5 * (1 + 1) - math.log(2) - math.log(2 * math.pi)
    torch.testing.assert_close(log_densities(z, mean, factor), torch.tensor([[wanted]]))


def test_few_faces_still_give_a_prior():
    prior = Prior.fit(torch.randn(3, 16, generator=generator()))
    assert len(prior.weights) == 1
    assert torch.isfinite(prior.draw(8, 1.0, generator())).all()
    assert len(Prior.fit(torch.randn(2 * FACES_EACH, 4, generator=generator())).weights) == 2


def test_a_blend_of_one_is_itself_and_more_keep_mean_and_covariance():
    z = torch.randn(50, 3, generator=generator()) @ torch.diag(torch.tensor([1.0, 2.0, 3.0])) + 5
    first_and_last = torch.tensor([[0.0], [0.99]])
    torch.testing.assert_close(blended(z, first_and_last), z[[0, 49]])
    many = blended(z, torch.rand(100_000, 4, generator=generator(1)))
    torch.testing.assert_close(many.mean(dim=0), z.mean(dim=0), atol=0.05, rtol=0)
    torch.testing.assert_close(many.T.cov(), z.T.cov(correction=0), atol=0.05, rtol=0.03)


def test_echoes_take_draws_to_where_the_networks_say_faces_lie():
    mu = torch.randn(400, 3, generator=generator()) + 5
    prior = Prior.fit(mu)

    def again(z: torch.Tensor) -> torch.Tensor:  # half as far from the mean, and never off a plane
        return prior.mean + 0.5 * (z - prior.mean) * torch.tensor([1.0, 1.0, 0.0])

    echoing = prior.with_echoes(again, echoes=2)
    z = echoing.draw(5000, 1.0, generator(), again)
    assert torch.equal(z[:, 2], prior.mean[2].expand(5000))
    # As much spread as the latents have, now all of it in the plane.
    torch.testing.assert_close(
        (z - prior.mean).square().sum(dim=1).mean(), mu.var(dim=0).sum(), rtol=0.1, atol=0
    )
    torch.testing.assert_close(echoing.stretches[1], torch.tensor(2.0))
    half = echoing.draw(5000, 0.5, generator(), again)
    torch.testing.assert_close(half - prior.mean, 0.5 * (z - prior.mean))
    without = echoing.draw(5000, 1.0, generator())
    assert torch.equal(without, prior.draw(5000, 1.0, generator(), again))


def test_a_model_whose_pictures_all_encode_alike_can_still_be_saved():
    prior = Prior.fit(torch.randn(400, 3, generator=generator()))
    echoing = prior.with_echoes(lambda z: prior.mean.expand(len(z), -1))
    assert echoing.stretches.half().isfinite().all()
    z = echoing.draw(4, 1.0, generator(), lambda z: prior.mean.expand(len(z), -1))
    assert torch.equal(z, prior.mean.expand(4, -1))
