"""The latents' mixture: planted clusters, closed forms, few faces."""

import math

import torch

from vaegan.prior import FACES_EACH, Prior, log_densities


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_one_gaussian_has_the_latents_moments():
    mixing = torch.randn(5, 5, generator=generator())
    mu = torch.randn(50_000, 5, generator=generator(1)) @ mixing.T + 3
    prior = Prior.fit(mu, components=1)
    for mean, factor in ((prior.mean, prior.cholesky), (prior.means[0], prior.factors[0])):
        torch.testing.assert_close(mean, torch.full((5,), 3.0), atol=0.1, rtol=0)
        torch.testing.assert_close(factor @ factor.T, mixing @ mixing.T, atol=0.1, rtol=0.05)
        assert torch.equal(factor, factor.tril())


def test_planted_clusters_are_found():
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0]])
    wide = torch.tensor([[0.5, 0.0], [0.0, 2.0]])
    mu = torch.cat([
        centres[0] + torch.randn(3000, 2, generator=generator()),
        centres[1] + torch.randn(9000, 2, generator=generator(1)) @ wide,
    ])  # fmt: skip
    prior = Prior.fit(mu, components=2)
    order = prior.means[:, 0].argsort()
    torch.testing.assert_close(prior.weights[order], torch.tensor([0.25, 0.75]), atol=0.01, rtol=0)
    torch.testing.assert_close(prior.means[order], centres, atol=0.1, rtol=0)
    factors = prior.factors[order]
    torch.testing.assert_close(factors[1] @ factors[1].T, wide @ wide.T, atol=0.2, rtol=0.1)
    torch.testing.assert_close(prior.mean, mu.mean(dim=0))


def test_what_is_drawn_has_the_moments_that_were_fitted():
    mu = torch.cat([torch.randn(2000, 3, generator=generator(s)) + 4 * s for s in range(3)])
    prior = Prior.fit(mu, components=3)
    z = prior.draw(60_000, 1.0, generator())
    torch.testing.assert_close(z.mean(dim=0), prior.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(z.T.cov(), mu.T.cov(), atol=0.2, rtol=0.05)
    half = prior.draw(60_000, 0.5, generator())
    torch.testing.assert_close(half - prior.mean, 0.5 * (z - prior.mean))


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
