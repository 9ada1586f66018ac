import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from galhelpers.views.curves import precision_recall, roc_panels

CLASSES = ["round one", "two", "three"]


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 300)
    scores = np.eye(3)[truth] + rng.exponential(1.0, (300, 3))
    return truth, scores / scores.sum(axis=1, keepdims=True)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_areas_in_the_legend_are_those_of_scikit_learn(data):
    truth, scores = data
    figure = roc_panels(truth, {"a": scores, "b": 1 - scores}, CLASSES)
    first, second = figure.axes
    found = [float(label.split()[-1]) for label in labels(first)]
    one = np.eye(3)[truth]
    expected = [roc_auc_score(one[:, k], scores[:, k]) for k in range(3)]
    expected += [roc_auc_score(one.ravel(), scores.ravel()), np.mean(expected)]
    assert found == pytest.approx(expected, abs=2e-3)
    assert labels(first)[0].startswith("round one ")
    assert second.get_title() == "b"
    assert float(labels(second)[0].split()[-1]) == pytest.approx(1 - expected[0], abs=1e-3)


def test_precision_recall_areas(data):
    truth, scores = data
    figure = precision_recall(truth, {"a": scores}, CLASSES)
    one = np.eye(3)[truth]
    micro, macro = (average_precision_score(one, scores, average=h) for h in ("micro", "macro"))
    assert labels(figure.axes[0]) == [f"a: {micro:.3f} micro, {macro:.3f} macro"]


def test_a_class_without_galaxies_is_left_out(data):
    truth, scores = data
    truth = np.where(truth == 2, 0, truth)
    assert len(labels(roc_panels(truth, {"a": scores}, CLASSES).axes[0])) == 4
    assert len(precision_recall(truth, {"a": scores}, CLASSES).axes[0].lines) == 1


def test_wrong_classes_are_refused(data):
    with pytest.raises(ValueError, match="class numbers 0 to 1"):
        roc_panels(data[0], {"a": data[1][:, :2]}, CLASSES[:2])
