import numpy as np
import pytest

from galhelpers.trees import DECALS, GZ2
from galhelpers.views.vote_figures import expected_votes, reliability


@pytest.mark.parametrize("tree", [DECALS, GZ2])
def test_a_panel_a_question_with_what_was_expected_and_seen(tree):
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.2, 0.8, tree.n_answers)
    votes = rng.integers(0, 9, tree.n_answers).astype(float)
    nobody = tree.slices["edge-on-bulge"]
    votes[nobody] = np.nan
    figure = expected_votes(tree, mean, mean - 0.1, mean + 0.1, votes)
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == tree.n_questions
    for ax, (name, columns) in zip(panels, tree.slices.items(), strict=True):
        dots, *circles = ax.lines
        assert dots.get_xdata() == pytest.approx(mean[columns])
        asked = np.nan_to_num(votes[columns]).sum()
        assert ax.get_title().replace("\n", " ") == f"{name.replace('-', ' ')} ({asked:.0f} asked)"
        if columns == nobody:
            assert not circles
            assert dots.get_color() == "0.7"
        else:
            assert circles[0].get_xdata() == pytest.approx(votes[columns] / asked)


def test_wrong_shapes_are_refused():
    good = np.full(34, 0.5)
    with pytest.raises(ValueError, match=r"four arrays of shape \(34,\)"):
        expected_votes(DECALS, good, good, good, good[:33])


def test_coverage_error_of_known_distributions():
    even = (np.arange(1000) + 0.5) / 1000
    narrow = 0.5 + (even - 0.5) / 2  # half as far from the middle: intervals are too wide
    with_gaps = np.where(np.arange(1000) % 2, even, np.nan)
    right = reliability({"honest": even, "wide": narrow, "gaps": with_gaps}).axes[1]
    honest, wide, gaps = (line.get_ydata() for line in right.lines if len(line.get_xdata()) == 101)
    assert np.abs(honest).max() < 0.11
    assert np.abs(gaps).max() < 0.3
    assert wide[50] == pytest.approx(50, abs=0.2)  # all inside the nominal half
