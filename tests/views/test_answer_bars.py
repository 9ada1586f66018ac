"""Votes beside the picture: every bar stands for the answer whose name is beside it."""

import numpy as np
import pytest

from galhelpers.trees import GZ2, TREES
from galhelpers.views.answer_bars import SHORT, answers_of, counts_figure, picture_and_answers


@pytest.fixture
def votes():
    """Forty volunteers: 30 see a disk, of whom 10 a bar; of those, 25 see arms."""
    counts = np.zeros(GZ2.n_answers, dtype=int)
    given = {
        "smooth-or-featured_smooth": 9, "smooth-or-featured_features-or-disk": 30,
        "smooth-or-featured_star-or-artifact": 1, "disk-edge-on_no": 30, "bar_yes": 10,
        "bar_no": 20, "has-spiral-arms_yes": 25, "has-spiral-arms_no": 5,
        "how-rounded_completely": 9, "spiral-arm-count_cant-tell": 25,
    }  # fmt: skip
    for column, count in given.items():
        counts[GZ2.index(column)] = count
    return counts


def test_answers_are_shares_of_those_asked_and_rare_questions_are_left_out(votes):
    table = answers_of(GZ2, votes)
    bar = table[table["question"] == "a bar?"]
    assert bar["asked"].tolist() == [30, 30]
    np.testing.assert_allclose(bar["volunteers"], [1 / 3, 2 / 3])
    assert "the bulge, from the side?" not in set(table["question"])
    assert "can't tell" in set(table["answer"])
    assert "how rounded?" in set(table["question"])
    assert "how rounded?" not in set(answers_of(GZ2, votes, least=10)["question"])
    everything = answers_of(GZ2, votes, least=0)
    assert len(everything) == GZ2.n_answers
    assert everything[everything["asked"] == 0]["volunteers"].isna().all()


def test_a_question_is_followed_by_those_that_it_opens(votes):
    order = list(answers_of(GZ2, votes, least=0)["question"].unique())
    assert order == [
        "smooth or featured?", "a disk seen edge-on?", "a bar?", "spiral arms?",
        "how tightly wound?", "how many arms?", "how large a bulge?", "the bulge, from the side?",
        "how rounded?", "anything odd?", "what is odd?",
    ]  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_each_question_of_each_tree_is_there_once_with_a_name_of_its_own(name):
    tree = TREES[name]
    table = answers_of(tree, np.zeros(tree.n_answers), least=0)
    assert len(table) == tree.n_answers
    assert table["question"].nunique() == len(tree.questions)


def test_every_question_of_galaxy_zoo_2_has_a_short_name():
    assert set(SHORT) == {question.name for question in GZ2.questions}


def test_several_pictures_stand_one_above_the_other(votes):
    pictures = np.zeros((2, 3, 32, 32), np.uint8)
    figure = picture_and_answers(pictures, answers_of(GZ2, votes), titles=["seen", "nearby"])
    figure.draw_without_rendering()
    upper, lower = [axis for axis in figure.axes if axis.images]
    assert [upper.get_title(), lower.get_title()] == ["seen", "nearby"]
    above, below = upper.get_window_extent(), lower.get_window_extent()
    assert above.y0 > below.y1
    assert above.width == pytest.approx(below.width)
    with pytest.raises(ValueError, match="shorter"):
        picture_and_answers(pictures, answers_of(GZ2, votes), titles=["seen"])


def test_bars_stand_beside_their_answers(votes):
    table = answers_of(GZ2, votes)
    table["network"] = 1 - table["volunteers"]
    figure = picture_and_answers(
        np.zeros((3, 32, 32), np.uint8), table, {"volunteers": "40 people", "network": "network"}
    )
    picture, axis = figure.axes
    assert picture.images
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == table["answer"].tolist()
    people, network = axis.containers
    np.testing.assert_allclose([bar.get_width() for bar in people], table["volunteers"])
    np.testing.assert_allclose([bar.get_width() for bar in network], table["network"])
    for tick, one, two in zip(axis.get_yticks(), people, network, strict=True):
        assert one.get_y() < tick < two.get_y() + two.get_height()
    texts = [text.get_text() for text in axis.texts]
    assert texts[:2] == ["smooth or featured?", "40 asked"]
    assert len(texts) == 2 * table["question"].nunique()


def test_counts_of_another_tree_are_refused():
    with pytest.raises(ValueError, match=r"37 counts, one for each answer, got shape \(34,\)"):
        answers_of(GZ2, np.zeros(34))


def test_counts_are_as_long_as_they_are_large_and_what_is_no_class_is_grey():
    figure = counts_figure({"in_between": 1200, "spiral": 300, "no class": 900}, grey=["no class"])
    (axis,) = figure.axes
    (bars,) = axis.containers
    assert [bar.get_width() for bar in bars] == [1200, 300, 900]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["in between", "spiral", "no class"]
    assert [text.get_text() for text in axis.texts] == ["1,200", "300", "900"]
    colours = [bar.get_facecolor() for bar in bars]
    assert colours[0] == colours[1] != colours[2]
    assert axis.yaxis_inverted()
