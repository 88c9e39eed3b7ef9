"""Directions against planted ones and closed forms."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vaegan.directions import (
    METHODS,
    balanced_difference,
    classifier_normal,
    conditioned,
    correlation,
    covariance_root,
    difference_of_means,
    distance,
    lda_normal,
    least_squares,
    logistic_regression,
    pattern,
    readouts,
    step_length,
    to_class_means,
)

PLANTED = torch.tensor([[3.0, 0, 0, 1], [0, 2, 0, 0]])


def planted(together: float, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """Latents that are sums of planted directions; the two labels correlate by `together`."""
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(6000, generator=generator) < 0.5
    same = torch.rand(6000, generator=generator) < (1 + together) / 2
    labels = torch.stack([first, first == same], dim=1) * 2.0 - 1
    mu = 0.5 * labels @ PLANTED + noise * torch.randn(6000, 4, generator=generator)
    return mu, labels.to(torch.int8)


def test_a_planted_direction_is_found():
    mu, labels = planted(together=0)
    torch.testing.assert_close(difference_of_means(mu, labels), PLANTED, atol=0.15, rtol=0)


def test_unknown_labels_do_not_count_and_one_sided_attributes_have_no_direction():
    mu = torch.tensor([[1.0], [3.0], [100.0]])
    labels = torch.tensor([[1, 1], [-1, 1], [0, 1]], dtype=torch.int8)
    assert difference_of_means(mu, labels).tolist() == [[-2.0], [0.0]]


@pytest.mark.parametrize("method", [difference_of_means, least_squares, balanced_difference])
def test_attributes_that_one_of_two_sources_labels_do_not_tell_the_sources_apart(method):
    generator = torch.Generator().manual_seed(0)
    source = torch.arange(8000) % 2
    has = torch.rand(8000, generator=generator) < 0.9
    labels = torch.where(has, 1, -1)
    labels = torch.stack([labels * source, labels * (1 - source)], dim=1).to(torch.int8)
    mu = 0.5 * labels.float() @ PLANTED + 0.1 * torch.randn(8000, 4, generator=generator)
    mu[:, 2] += source
    found = F.cosine_similarity(method(mu, labels), PLANTED)
    assert (found > 0.99).all()


def test_correlations_are_of_faces_of_which_both_are_known():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (500, 3), generator=generator) * 2 - 1
    labels[:, 1] = torch.where(torch.rand(500, generator=generator) < 0.8, labels[:, 0], -1)
    expected = torch.corrcoef(labels.T.double()).float()
    torch.testing.assert_close(correlation(labels), expected)
    unlabelled = torch.zeros(300, 3, dtype=torch.int64)
    unlabelled[:, 0] = 1
    torch.testing.assert_close(
        correlation(torch.cat([labels, unlabelled]))[1:, 1:], expected[1:, 1:]
    )


def test_what_is_never_known_together_or_never_changes_does_not_correlate():
    labels = torch.tensor([[1, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1]], dtype=torch.int8)
    assert correlation(labels).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_means_carry_what_goes_along_and_the_others_do_not():
    mu, labels = planted(together=0.6)
    carried = difference_of_means(mu, labels)
    # Of those who have the first, 80 % have the second as well; of the rest 20 %.
    torch.testing.assert_close(carried[0], PLANTED[0] + 0.6 * PLANTED[1], atol=0.1, rtol=0)
    exact = least_squares(mu, labels, ridge=0)
    torch.testing.assert_close(exact, PLANTED, atol=0.02, rtol=0)
    balanced = balanced_difference(mu, labels, ridge=1e-6)
    torch.testing.assert_close(balanced, PLANTED, atol=0.02, rtol=0)


def test_ridge_leads_from_the_others_back_to_the_means():
    mu, labels = planted(together=0.6)
    between = least_squares(mu, labels, ridge=0.3)
    spill = between[0, 1] / between[0, 0]
    assert 0.02 < spill < 0.6 * 2 / 3 - 0.02
    far = F.normalize(least_squares(mu, labels, ridge=1e4))
    torch.testing.assert_close(far, F.normalize(difference_of_means(mu, labels)), atol=2e-2, rtol=0)


def test_normals_are_those_of_two_gaussians():
    """Classes N(±d/2, Σ): the best boundary's normal is Σ⁻¹ d, for LDA and logistic alike."""
    generator = torch.Generator().manual_seed(0)
    sigma = torch.tensor([[2.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 0.5]])
    d = torch.tensor([1.0, 0.0, 0.5])
    labels = (torch.arange(20000) % 2 * 2 - 1).to(torch.int8).unsqueeze(1)
    noise = torch.randn(20000, 3, generator=generator) @ torch.linalg.cholesky(sigma).T
    mu = 0.5 * labels * d + noise
    normal = torch.linalg.solve(sigma, d)
    # Standardised latents make a step of the normal w on z/s a step s·w on z, s² that of mu.
    expected = normal * (sigma.diagonal() + d.square() / 4)
    for found in (
        lda_normal(mu, labels, shrinkage=0),
        classifier_normal(mu, labels, decay=1e-5),
    ):
        assert F.cosine_similarity(found[0], expected, dim=0) > 0.999


def test_faces_that_do_not_vary_within_their_side_leave_the_difference():
    mu = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(50, 2, dtype=torch.int8)
    labels[0], labels[1], labels[2:, 1] = 1, -1, 1
    found = lda_normal(mu, labels)
    # Back in latents, a step along the standardised difference d / s is d.
    torch.testing.assert_close(found[0], mu[0] - mu[1])
    assert found[1].isfinite().all() and found[1].any()


def test_patterns_find_what_to_add_where_normals_find_what_to_look_at():
    mu, labels = planted(together=0.6, noise=0.3)
    found = F.normalize(pattern(mu, labels, ridge=0.01))
    assert (found * F.normalize(PLANTED)).sum(dim=1).min() > 0.98


def test_conditioned_directions_stand_at_right_angles():
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([1.0, 10, 3])
    mu = torch.randn(500, 3, generator=generator) * scales
    deviations = mu.std(dim=0)
    rows, others = torch.randn(2, 3, generator=generator), torch.randn(1, 3, generator=generator)
    found = conditioned(rows, others, mu) / deviations
    torch.testing.assert_close(
        found @ (others / deviations).T, torch.zeros(2, 1), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(conditioned(found * deviations, others, mu), found * deviations)


def test_a_unit_is_the_way_between_the_class_means():
    mu, labels = planted(together=0.6)
    plain = difference_of_means(mu, labels)
    torch.testing.assert_close(to_class_means(plain, mu, labels), plain)
    torch.testing.assert_close(to_class_means(-7 * plain, mu, labels), plain)
    # In deviations, the step along any direction ends where the other mean is nearest.
    step = to_class_means(PLANTED, mu, labels) / mu.std(dim=0)
    rest = plain / mu.std(dim=0) - step
    torch.testing.assert_close((rest * step).sum(dim=1), torch.zeros(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_one_sided_attributes_have_no_direction_by_any_method(method):
    mu, labels = planted(together=0.3)
    labels = torch.cat([labels, torch.ones(len(mu), 1, dtype=torch.int8)], dim=1)
    found = method(mu, labels)
    assert found.isfinite().all()
    assert found[:2].any(dim=1).all()
    assert not found[2].any()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_one_face_alone_has_no_direction_by_any_method(method):
    mu, labels = torch.tensor([[1.0, 2.0]]), torch.tensor([[1, -1, 0]], dtype=torch.int8)
    found = method(mu, labels)
    assert found.tolist() == [[0.0, 0.0]] * 3
    assert not to_class_means(found, mu, labels).any()


def test_a_linear_classifier_weighs_both_sides_alike_and_leaves_out_the_unknown():
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.ones(200), -torch.ones(1800), torch.zeros(500)])
    # The second attribute is the first turned round; the third input means nothing.
    direction = torch.tensor([1.0, 2.0, 0.0]) / 5**0.5
    inputs = torch.randn(2500, 3, generator=generator) + labels.unsqueeze(1) * direction
    inputs[2000:] += 100
    weight, bias = logistic_regression(inputs, torch.stack([labels, -labels], dim=1), 0.3)
    # The classes are N(±direction, I): the best boundary passes through 0, along direction.
    assert F.cosine_similarity(weight[0], direction, dim=0) > 0.99
    assert abs(bias[0] / weight[0].norm()) < 0.1
    torch.testing.assert_close(weight[1], -weight[0], rtol=1e-3, atol=1e-4)


def test_distance_is_counted_in_deviations():
    root = torch.diag(torch.tensor([2.0, 0.5]))
    assert distance(torch.tensor([4.0, 0.0]), root) == pytest.approx(2)
    assert distance(torch.tensor([3.0, 1.0]), root) == pytest.approx(2.5)
    mu = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) @ root
    # Of 4,000 people it is their own spread that counts; of 1,000, each with four photographs, the
    # one within people, however far these lie apart.
    torch.testing.assert_close(covariance_root(mu, torch.arange(4000)), root, atol=0.2, rtol=0.05)
    people = torch.arange(1000).repeat(4)
    apart = 10 * torch.randn(1000, 2, generator=torch.Generator().manual_seed(1))
    found = covariance_root(mu + apart[people], people)
    torch.testing.assert_close(found, root, atol=0.2, rtol=0.05)


def test_readouts_are_zero_and_one_in_the_means_and_see_their_own_direction_alone():
    mu, labels = planted(together=0.6)
    labels[:100] = 0  # unknown: they count for nothing
    mu[:100] += 50
    found = readouts(mu, labels)
    for row, column in zip(found, labels.T, strict=True):
        for side, expected in ((1, 1.0), (-1, 0.0)):
            has = (mu[column == side] @ row[:-1] + row[-1]).mean()
            assert has.item() == pytest.approx(expected, abs=1e-3)
    # From one mean to the other along the planted directions is all the way, or none of it.
    torch.testing.assert_close(PLANTED @ found[:, :-1].T, torch.eye(2), atol=0.02, rtol=0)
    assert not readouts(mu, labels.abs()).any()


def test_few_faces_do_not_make_a_readout_steep():
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn(16, 64, generator=generator)  # where anything can be told apart
    labels = torch.tensor([[1], [-1]], dtype=torch.int8).repeat(8, 1)
    mu[:, 0] += 2 * labels[:, 0]
    others = torch.randn(500, 64, generator=generator)
    others[:, 0] -= 2
    row = readouts(mu, labels)[0]
    assert (others @ row[:-1] + row[-1]).std() < 0.3


def test_who_lacks_less_needs_less():
    z = torch.tensor([[9.0, -1], [9, 0], [9, 0.5], [9, -9]])
    expected = torch.tensor([[1.0, 0.6, 0.6, 1.5], [0.6, 0.6, 0.75, 0.6]])
    found = [step_length(torch.tensor([0.0, 0.5, 0.5]), z, sign) for sign in (1, -1)]
    torch.testing.assert_close(torch.stack(found), expected)
