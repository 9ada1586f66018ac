"""Error bars on simulated volunteers, whose true shares are known: before and after calibration.

The network sees what the galaxies are, blurred, instead of pictures: that trains in seconds and
leaves it as unsure as a network with pictures.
"""

import numpy as np
import pytest
import torch

from galhelpers.learning.active import HeadBank
from galhelpers.learning.calibration import (
    LEVELS,
    Recalibration,
    coverage,
    fit_concentration_scale,
    pit_of_fractions,
    pit_of_votes,
)
from galhelpers.learning.posterior import Posterior
from galhelpers.survey import answer_probabilities, sample_galaxies, volunteer_votes
from galhelpers.trees import DECALS

N_TRAIN, N_VALIDATION, N_TEST = 1500, 1500, 3000


@pytest.fixture(scope="module")
def forecast():
    """Posterior, votes and true shares of a validation and a test part."""
    n = N_TRAIN + N_VALIDATION + N_TEST
    truth = sample_galaxies(n, seed=11)
    votes = volunteer_votes(truth, DECALS, "decals", seed=11).astype(np.float32)
    shares = answer_probabilities(truth, DECALS, "decals")
    p = np.concatenate([shares[question.name] for question in DECALS.questions], axis=1)
    # A few people are asked, and votes say little about such answers.
    asked = DECALS.asked(DECALS.to_cumulative(p)).repeat(np.diff(DECALS.offsets), axis=1)
    known = np.where(asked >= 0.25, p, np.nan)
    numbers = truth.select_dtypes("number").drop(columns=["id", "ra", "dec"])
    x = np.nan_to_num((numbers - numbers.mean()) / numbers.std()).astype(np.float32)
    x += np.random.default_rng(0).normal(0, 0.5, x.shape).astype(np.float32)
    features, counts = torch.from_numpy(x), torch.from_numpy(votes)
    torch.manual_seed(0)
    bank = HeadBank([0], features.shape[1], DECALS)
    bank.learn(features[None, :N_TRAIN], counts[None, :N_TRAIN], DECALS, steps=300)
    parts = {}
    edges = np.cumsum([N_TRAIN, N_VALIDATION, N_TEST])
    for name, first, last in zip(("validation", "test"), edges[:-1], edges[1:], strict=True):
        rows = slice(first, last)
        posterior = bank.posterior(0, features[rows], 20, DECALS)
        parts[name] = (posterior, counts[rows], known[rows])
    return parts


def off(pit: np.ndarray) -> np.ndarray:
    """Share inside the central intervals, minus what it should be, in points."""
    inside = coverage(pit, DECALS).loc["all", list(LEVELS)].to_numpy(dtype=float)
    return 100 * (inside - LEVELS)


def test_votes_lie_in_their_intervals_after_calibration(forecast):
    (validation, known, _), (posterior, votes, _) = forecast["validation"], forecast["test"]
    before = off(pit_of_votes(posterior, votes.numpy()))
    assert np.abs(before).max() > 2  # there is something to mend
    precision = fit_concentration_scale(validation, known)
    mended = precision.apply(posterior)
    assert mended.nll(votes).sum() < posterior.nll(votes).sum()
    pit = pit_of_votes(mended, votes.numpy())
    assert np.abs(off(pit)).max() < np.abs(before).max()
    mapped = Recalibration.fit(pit_of_votes(precision.apply(validation), known.numpy()), DECALS)
    assert np.abs(off(mapped.apply(pit))).max() < 2


def test_true_shares_lie_in_their_intervals_after_calibration_with_truth(forecast):
    (validation, known, true), (posterior, _, truth) = forecast["validation"], forecast["test"]
    precision = fit_concentration_scale(validation, known)
    mended, checked = precision.apply(posterior), precision.apply(validation)
    before = off(pit_of_fractions(posterior, truth))
    with_votes = off(pit_of_fractions(mended, truth))
    # Votes repair a part of it only: 40 people cannot tell a share of .001 from one of .005.
    assert 2 < np.abs(with_votes).max() < np.abs(before).max()
    mapped = Recalibration.fit(pit_of_fractions(checked, true), DECALS)
    assert np.abs(off(mapped.apply(pit_of_fractions(mended, truth)))).max() < 2


def test_quantiles_at_mapped_levels_hold_what_they_promise(forecast):
    (validation, _, true), (posterior, _, truth) = forecast["validation"], forecast["test"]
    mapped = Recalibration.fit(pit_of_fractions(validation, true), DECALS)
    rows = np.arange(600)
    part = Posterior(posterior.concentration[:, rows], DECALS)
    levels = [mapped.level("smooth-or-featured", level) for level in (0.1, 0.9)]
    low, high = part.quantiles(levels)
    columns = DECALS.slices["smooth-or-featured"]
    there = truth[rows, columns]
    inside = (low[:, columns] <= there) & (there <= high[:, columns])
    assert inside.mean() == pytest.approx(0.8, abs=0.03)
