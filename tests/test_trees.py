"""Decision trees: shape, arithmetic of fractions, and that a contradictory tree is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galhelpers.survey import galaxy_zoo_1
from galhelpers.trees import (
    CANDELS,
    DECALS,
    DECALS_DR12,
    GZ1,
    GZ2,
    GZ2_SHORT,
    GZ_CANDELS,
    TREES,
    Question,
    Tree,
    TreeError,
)

# GalaxyID 100008, first row of Kaggle's table, printed in public unit tests.
ROW_100008 = [
    *(0.383147, 0.616853, 0),
    *(0, 0.616853),
    *(0.038452149, 0.578400851),
    *(0.418397819, 0.198455181),
    *(0, 0.104752126, 0.512100874, 0),
    *(0.054453, 0.945547),
    *(0.201462524, 0.181684476, 0),
    *(0, 0.0272265, 0, 0.0272265, 0, 0, 0),
    *(0, 0, 0),
    *(0.279952491, 0.138445328, 0),
    *(0, 0.092885571, 0, 0, 0, 0.325512248),
]
any_tree = pytest.mark.parametrize("tree", TREES.values(), ids=list(TREES))


def random_conditional(tree, shares):
    """Conditional fractions (n, answers) from any numbers in 0-1, some answers exactly 0."""
    shares = np.where(shares < 0.2, 0.0, shares)
    for columns in tree.slices.values():
        block = shares[:, columns]
        block[block.sum(axis=1) == 0, 0] = 1.0
        shares[:, columns] = block / block.sum(axis=1, keepdims=True)
    return shares


def fractions_of(tree):
    rows = st.integers(1, 4)
    return rows.flatmap(
        lambda n: arrays(np.float64, (n, tree.n_answers), elements=st.floats(0, 1)).map(
            lambda shares: random_conditional(tree, shares)
        )
    )


def test_sizes():
    assert (GZ2.n_questions, GZ2.n_answers) == (11, 37)
    assert (DECALS.n_questions, DECALS.n_answers) == (10, 34)
    assert (CANDELS.n_questions, CANDELS.n_answers) == (1, 5)
    assert GZ2.offsets == [0, 3, 5, 7, 9, 13, 15, 18, 25, 28, 31, 37]
    assert (GZ1.n_questions, GZ1.n_answers) == (1, 6)
    assert (GZ2_SHORT.n_questions, GZ2_SHORT.n_answers) == (10, 30)
    assert (DECALS_DR12.n_questions, DECALS_DR12.n_answers) == (10, 30)
    assert (GZ_CANDELS.n_questions, GZ_CANDELS.n_answers) == (12, 38)
    assert list(TREES) == [
        *("gz2", "decals", "candels", "gz1", "gz2_short", "decals_dr12", "gz_candels"),
    ]


@any_tree
def test_names_and_slices_agree(tree):
    assert len(tree.columns) == len(tree.published) == len(set(tree.columns)) == tree.n_answers
    for question in tree.questions:
        columns = tree.columns[tree.slices[question.name]]
        assert columns == [f"{question.name}_{answer}" for answer in question.answers]
        assert tree.question(question.name) is question
    for names in (tree.columns, tree.published):
        assert [tree.index(name) for name in names] == list(range(tree.n_answers))


def test_published_names_of_gz2():
    assert GZ2.published[0] == "Class1.1"
    assert GZ2.published[-1] == "Class11.6"
    assert GZ2.index("Class7.3") == GZ2.index("how-rounded_cigar") == 17
    assert GZ2.index("Class8.6") == GZ2.index("odd-feature_merger") == 23


@pytest.mark.parametrize(
    ("question", "parents"),
    [
        ("smooth-or-featured", []),
        ("disk-edge-on", ["Class1.2"]),
        ("bar", ["Class2.2"]),  # not Class1.2, as Zoobot has it
        ("has-spiral-arms", ["Class2.2"]),
        ("bulge-size", ["Class2.2"]),
        ("something-odd", []),
        ("how-rounded", ["Class1.1"]),
        ("odd-feature", ["Class6.1"]),
        ("edge-on-bulge", ["Class2.1"]),
        ("spiral-winding", ["Class4.1"]),
        ("spiral-arm-count", ["Class4.1"]),
    ],
)
def test_parents_of_gz2(question, parents):
    found = [GZ2.published[GZ2.index(parent)] for parent in GZ2.question(question).parents]
    assert found == parents


def test_buttons_of_galaxy_zoo_1_are_those_of_the_simulated_survey():
    buttons = tuple(answer.replace("-", "_") for answer in GZ1.questions[0].answers)
    assert buttons == galaxy_zoo_1.BUTTONS
    assert GZ1.published == ["P_EL", "P_CW", "P_ACW", "P_EDGE", "P_DK", "P_MG"]


def test_short_galaxy_zoo_2_keeps_kaggles_names():
    assert set(GZ2.published) - set(GZ2_SHORT.published) == {f"Class8.{i}" for i in range(1, 8)}
    assert all(GZ2_SHORT.published[i] == name for i, name in enumerate(GZ2.published[:18]))
    for name in GZ2_SHORT.published:
        assert GZ2_SHORT.columns[GZ2_SHORT.index(name)] == GZ2.columns[GZ2.index(name)]


def test_campaigns_of_decals_differ_where_the_questions_were_changed():
    """Walmsley et al. 2022, section 2.3: what campaign 5 asks differently."""
    changed = {
        question.name
        for question in DECALS.questions
        if question.answers != DECALS_DR12.question(question.name).answers
    }
    assert changed == {"bar", "bulge-size", "how-rounded", "spiral-arm-count", "merging"}
    parents = {question.name: question.parents for question in DECALS.questions}
    assert parents == {question.name: question.parents for question in DECALS_DR12.questions}


def test_clumpy_galaxy_of_candels_is_not_asked_whether_it_is_edge_on():
    conditional = np.zeros(38)
    conditional[GZ_CANDELS.index("smooth-or-featured_features")] = 0.9
    conditional[GZ_CANDELS.index("smooth-or-featured_artifact")] = 0.1
    conditional[GZ_CANDELS.index("clumpy-appearance_yes")] = 0.8
    conditional[GZ_CANDELS.index("clumpy-appearance_no")] = 0.2
    asked = dict(
        zip(
            [question.name for question in GZ_CANDELS.questions],
            GZ_CANDELS.asked(GZ_CANDELS.to_cumulative(conditional)),
            strict=True,
        )
    )
    assert asked["clump-count"] == pytest.approx(0.72)
    assert asked["disk-edge-on"] == pytest.approx(0.18)
    assert asked["merging"] == pytest.approx(0.9)


def test_merging_follows_smooth_or_featured():
    conditional = np.zeros(34)
    conditional[:3] = 0.5, 0.3, 0.2
    cumulative = DECALS.to_cumulative(np.nan_to_num(conditional))
    merging = [question.name for question in DECALS.questions].index("merging")
    assert DECALS.asked(cumulative)[merging] == pytest.approx(0.8)


def test_edge_on_galaxy_is_hardly_asked_about_a_bar():
    """The case in which Zoobot's tree says 94 %."""
    conditional = np.zeros(37)
    conditional[GZ2.index("smooth-or-featured_features-or-disk")] = 0.94
    conditional[GZ2.index("disk-edge-on_yes")], conditional[GZ2.index("disk-edge-on_no")] = (
        0.97,
        0.03,
    )
    bar = [question.name for question in GZ2.questions].index("bar")
    assert GZ2.asked(GZ2.to_cumulative(conditional))[bar] == pytest.approx(0.94 * 0.03)


def test_row_100008():
    row = np.array(ROW_100008)
    assert GZ2.check(row, atol=1e-9) == []
    conditional = GZ2.to_conditional(row)
    assert conditional[GZ2.index("Class4.1")] == pytest.approx(0.418397819 / 0.616853)
    assert conditional[GZ2.index("Class11.2")] == pytest.approx(0.092885571 / 0.418397819)
    never = GZ2.slices["edge-on-bulge"]  # Class2.1 is 0: nobody was asked
    assert np.isnan(conditional[never]).all()
    assert np.isnan(conditional).sum() == 3
    np.testing.assert_allclose(GZ2.to_cumulative(conditional), row, atol=1e-12)


def test_kaggles_own_example():
    conditional = np.zeros(37)
    conditional[GZ2.index("Class1.1")], conditional[GZ2.index("Class7.1")] = 0.80, 0.50
    assert GZ2.to_cumulative(conditional)[GZ2.index("Class7.1")] == pytest.approx(0.40)


@any_tree
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_round_trip_and_sums(tree, data):
    conditional = data.draw(fractions_of(tree))
    cumulative = tree.to_cumulative(conditional)
    assert tree.check(cumulative, atol=1e-9) == []
    asked = tree.asked(cumulative)
    for i, columns in enumerate(tree.slices.values()):
        np.testing.assert_allclose(cumulative[:, columns].sum(axis=1), asked[:, i], atol=1e-12)
    back = tree.to_conditional(cumulative)
    np.testing.assert_allclose(tree.to_cumulative(back), cumulative, atol=1e-8)
    was_asked = np.repeat(asked > 1e-9, np.diff(tree.offsets), axis=1)
    np.testing.assert_allclose(back[was_asked], conditional[was_asked], atol=1e-9)
    assert np.isnan(back[~was_asked]).all()


@any_tree
def test_tensors_give_what_arrays_give(tree):
    conditional = random_conditional(tree, np.random.default_rng(1).random((5, tree.n_answers)))
    tensor = torch.tensor(conditional, requires_grad=True)
    cumulative = tree.to_cumulative(tensor)
    cumulative.sum().backward()
    assert tensor.grad is not None
    assert torch.isfinite(tensor.grad).all()
    np.testing.assert_allclose(cumulative.detach(), tree.to_cumulative(conditional), atol=1e-15)
    back = tree.to_conditional(cumulative.detach())
    expected = tree.to_conditional(tree.to_cumulative(conditional))
    np.testing.assert_allclose(back.numpy(), expected, atol=1e-15)
    assert tree.check(cumulative.float()) == []


def test_table_is_read_by_name_not_by_position():
    table = pd.DataFrame([ROW_100008], columns=GZ2.published)
    shuffled = table[GZ2.published[::-1]].assign(GalaxyID=100008)
    np.testing.assert_array_equal(GZ2.array(shuffled), [ROW_100008])
    renamed = table.set_axis(GZ2.columns, axis=1)
    np.testing.assert_array_equal(GZ2.array(renamed), [ROW_100008])
    with pytest.raises(ValueError, match=r"lacks 1 of the 37 answers.*Class4\.1"):
        GZ2.array(table.drop(columns="Class4.1"))


def test_wrong_number_of_answers_is_refused():
    with pytest.raises(ValueError, match=r"37 answers.*\(2, 34\)"):
        GZ2.to_cumulative(np.zeros((2, 34)))


def test_check_names_question_row_and_sums():
    rows = np.array([ROW_100008] * 3)
    rows[1, GZ2.index("Class3.1")] += 0.1
    rows[2, GZ2.index("Class1.3")] = -0.2
    rows[0, GZ2.index("Class6.1")] = np.nan
    complaints = "\n".join(GZ2.check(rows))
    assert (
        "bar: 1 of 3 rows has a wrong sum, worst row 1: answers sum to 0.716853, expected 0.616853 "
        "(the share who answered disk-edge-on_no)" in complaints
    )
    assert "smooth-or-featured: 1 of 3 rows has fractions outside 0 to 1, worst row 2: -0.2" in (
        complaints
    )
    assert "something-odd: 1 of 3 rows has missing values (NaN), first row 0" in complaints
    assert "expected 1 (everyone is asked)" in complaints


def test_conditional_fractions_fail_the_check():
    """The usual mistake: fractions of those asked taken for fractions of all."""
    conditional = random_conditional(GZ2, np.random.default_rng(2).random((10, 37)))
    assert len(GZ2.check(conditional)) == 9  # every question but the two without a parent


def test_missing_vote_where_somebody_was_asked_stays_missing():
    conditional = np.nan_to_num(GZ2.to_conditional(np.array(ROW_100008)))
    conditional[GZ2.index("bar_yes")] = np.nan
    assert np.isnan(GZ2.to_cumulative(conditional)).sum() == 1


def test_real_rows_obey_the_tree(real_data):
    table = pd.read_csv(real_data / "gz2_native" / "training_solutions_rev1_first3rows.csv")
    assert GZ2.check(table, atol=1e-8) == []
    np.testing.assert_allclose(GZ2.array(table)[0], ROW_100008)


ROOT = Question("shape", "Which shape?", ("smooth", "disk", "star"))
BAR = Question("bar", "Is there a bar?", ("yes", "no"), ("shape_disk",))


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ((), "has no questions"),
        ((BAR,), "no answer of an earlier question"),
        ((BAR, ROOT), "no answer of an earlier question"),
        ((ROOT, ROOT), "two questions 'shape'"),
        ((ROOT, dataclasses.replace(BAR, parents=("shape_disc",))), "'shape_disc'"),
        ((ROOT, dataclasses.replace(BAR, parents=("bar_yes",))), "'bar_yes'"),
        (
            (ROOT, BAR, Question("odd", "?", ("yes", "no"), ("shape_smooth", "bar_yes"))),
            "answers of different questions",
        ),
    ],
)
def test_invalid_tree_is_refused(questions, message):
    with pytest.raises(TreeError, match=message):
        Tree("test", questions)


@pytest.mark.parametrize("published", [("a", "b"), ("a", "b", "b"), ()])
def test_published_columns_must_fit(published):
    with pytest.raises(TreeError, match="3 answers"):
        Tree("test", (ROOT,), published)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"answers": ("yes",)}, "two or more"),
        ({"answers": ("yes", "yes")}, "repeat"),
        ({"answers": "yes"}, "must be a tuple"),
        ({"answers": ["yes", "no"]}, "must be a tuple"),
        ({"answers": ("yes", "Not_sure")}, "hyphens"),
        ({"name": "is it a bar"}, "hyphens"),
        ({"name": "a_bar"}, "hyphens"),
        ({"parents": "shape_disk"}, "must be a tuple"),
        ({"parents": ("shape_disk", "shape_disk")}, "repeat"),
    ],
)
def test_invalid_question_is_refused(arguments, message):
    with pytest.raises(TreeError, match=message):
        dataclasses.replace(BAR, **arguments)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(KeyError, match="disk-edge-on"):
        GZ2.question("edgeon")
    with pytest.raises(KeyError, match="bar_yes"):
        GZ2.index("Class12.1")
