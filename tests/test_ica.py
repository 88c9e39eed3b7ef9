"""Independent components: planted sources are found, and tables undo scores."""

import math

import torch

from vaegan.ica import KNOTS, from_scores, independent_axes, normal_scores, quantiles


def exponential(n: int, columns: int) -> torch.Tensor:
    """(n, columns), of mean 0 and variance 1, skewed."""
    uniform = torch.rand(n, columns, generator=torch.Generator().manual_seed(0))
    return -(1 - uniform).log() - 1


def test_planted_sources_are_found_again():
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]
    axes = independent_axes(exponential(20_000, 6) @ turn)
    found = (axes @ turn.T).abs()  # a permutation, but for signs
    torch.testing.assert_close(axes @ axes.T, torch.eye(6), atol=1e-4, rtol=0)
    assert found.max(dim=1).values.min() > 0.99
    assert sorted(found.argmax(dim=1).tolist()) == list(range(6))


def test_scores_are_normal_and_keep_the_order():
    x = exponential(10_000, 2)
    scores = normal_scores(x)
    torch.testing.assert_close(scores.mean(dim=0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(scores.std(dim=0), torch.ones(2), atol=5e-3, rtol=0)
    assert torch.equal(scores.argsort(dim=0), x.argsort(dim=0))


def test_tables_are_quantiles_and_undo_scores():
    x = exponential(10_000, 2)
    table = quantiles(x)
    middle = table[len(KNOTS) // 2]  # the median of this distribution is log 2 - 1
    torch.testing.assert_close(middle, torch.full((2,), math.log(2) - 1), atol=0.03, rtol=0)
    error = (from_scores(normal_scores(x), table) - x).abs()
    assert error.quantile(0.99) < 0.05  # the last knots have few faces between them
    far = torch.tensor([[-9.0, 9.0]])  # no farther out than any face was
    torch.testing.assert_close(from_scores(far, table)[0, 0], x[:, 0].min(), atol=1e-3, rtol=0)
    torch.testing.assert_close(from_scores(far, table)[0, 1], x[:, 1].max(), atol=0, rtol=0.1)
