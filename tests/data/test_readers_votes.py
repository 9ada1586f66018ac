"""Images beside a table of votes: fractions are debiased, votes weighted, rows keep together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galhelpers.data.catalogs import select_five_classes
from galhelpers.data.dataset import load_dataset
from galhelpers.data.tables import TableError
from galhelpers.data.votes import VoteTable, votes_of, weighted_votes
from galhelpers.trees import GZ2
from tests.data import published

SMOOTH = "t01_smooth_or_features_a01_smooth"
FEATURES = "t01_smooth_or_features_a02_features_or_disk"


@pytest.fixture
def table():
    """24 galaxies with the votes of simulated volunteers, images named as the rows."""
    table = published.gz2_table(published.N, 0)
    people = table[[name for name in table if name.startswith("t01") and name.endswith("_count")]]
    table["total_classifications"] = people.sum(axis=1)
    kept = [name for name in table if not name.endswith("_count")]  # Hart's fractions alone
    return table[kept].assign(file=[f"images/{i}.jpg" for i in range(len(table))])


def put(folder, table, images=published.N):
    (folder / "images").mkdir(exist_ok=True)
    for i in range(images):
        (folder / "images" / f"{i}.jpg").write_bytes(published.jpeg(i))
    table.to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.mark.parametrize("place", [".", "gz2_votes"])
def test_the_votes_that_the_fractions_were_made_of_come_back(tmp_path, table, place):
    (tmp_path / place).mkdir(exist_ok=True)
    put(tmp_path / place, table)
    galaxies = load_dataset("gz2_votes", tmp_path)
    votes = galaxies.tables["votes_gz2"]
    assert list(votes) == GZ2.columns
    assert (votes.dtypes == np.float64).all()
    np.testing.assert_allclose(votes, published.votes_of(GZ2), atol=1e-3)  # six decimals each
    assert galaxies.catalog["n_votes"].tolist() == table["total_classifications"].tolist()
    assert galaxies.catalog["id"].tolist() == table["dr7objid"].astype(str).tolist()
    assert [file.name for file in galaxies.files] == [f"{i}.jpg" for i in range(published.N)]
    assert all(file.is_file() for file in galaxies.files)
    assert galaxies.catalog[["ra", "dec"]].equals(table[["ra", "dec"]])
    assert galaxies.problems.empty
    assert galaxies.fractions.shape == (published.N, 37)


def test_classes_are_from_debiased_fractions_and_votes_from_weighted_ones(tmp_path, table):
    debiased = [name for name in table if name.endswith("_debiased")]
    table[debiased] = 0.0
    answers = (SMOOTH, "t06_odd_a15_no", "t07_rounded_a17_in_between")
    table[[f"{name}_debiased" for name in answers]] = 1.0
    galaxies = load_dataset("gz2_votes", put(tmp_path, table))
    assert set(galaxies.catalog["class_name"]) == {"in_between_smooth"}
    assert (galaxies.fractions["Class7.2"] == 1).all()
    np.testing.assert_allclose(galaxies.tables["votes_gz2"], published.votes_of(GZ2), atol=1e-3)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), people=st.lists(st.floats(1, 200), min_size=1, max_size=8))
def test_as_many_answer_a_question_as_were_led_to_it(seed, people):
    rng = np.random.default_rng(seed)
    shares = np.hstack(
        [rng.dirichlet(np.full(len(q.answers), 0.3), len(people)) for q in GZ2.questions]
    )
    fractions = pd.DataFrame(GZ2.to_cumulative(shares), columns=GZ2.published)
    catalog = pd.DataFrame({"id": [str(i) for i in range(len(people))], "n_votes": people})
    votes = weighted_votes(VoteTable(catalog, GZ2, None, fractions, {"table": "t"}))
    for question in GZ2.questions:
        led = votes[list(question.parents)].sum(axis=1) if question.parents else people
        answered = votes[list(question.columns)]
        np.testing.assert_allclose(answered.sum(axis=1), led, rtol=1e-9, atol=1e-9)
        share = shares[:, GZ2.slices[question.name]]
        np.testing.assert_allclose(answered, np.asarray(led)[:, None] * share, atol=1e-9)


def test_absent_images_are_left_out_with_their_rows(tmp_path, table):
    table.loc[3, "file"] = np.nan
    galaxies = load_dataset("gz2_votes", put(tmp_path, table, images=published.N - 2))
    kept = [i for i in range(published.N - 2) if i != 3]
    assert galaxies.catalog["id"].tolist() == table["dr7objid"][kept].astype(str).tolist()
    np.testing.assert_allclose(
        galaxies.tables["votes_gz2"], published.votes_of(GZ2)[kept], atol=1e-3
    )
    assert len(galaxies.fractions) == len(kept)
    lost = galaxies.problems
    assert set(lost["reason"]) == {"named in labels.csv, absent"}
    assert lost["file"].iloc[0] == str(table["dr7objid"][3])
    assert [name[-13:] for name in lost["file"].iloc[1:]] == ["images/22.jpg", "images/23.jpg"]


def test_selected_rows_keep_their_order_and_belong_together(tmp_path, table):
    galaxies = load_dataset("gz2_votes", put(tmp_path, table))
    rows = [17, 2, 9]
    some = galaxies.select(rows)
    assert some.catalog["id"].tolist() == table["dr7objid"][rows].astype(str).tolist()
    np.testing.assert_allclose(votes_of(some)[1], published.votes_of(GZ2)[rows], atol=1e-3)
    drawn = galaxies.sample(7, seed=3)
    at = [galaxies.catalog["id"].tolist().index(name) for name in drawn.catalog["id"]]
    assert at == sorted(at)
    np.testing.assert_array_equal(votes_of(drawn)[1], votes_of(galaxies)[1][at])
    assert drawn.fractions.equals(galaxies.fractions.iloc[at].reset_index(drop=True))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="file"), "file"),
        (lambda t: t.drop(columns="total_classifications"), "total_classifications"),
        (
            lambda t: t.drop(columns=f"{SMOOTH}_weighted_fraction"),
            "weighted_fraction of all 37",
        ),
        (lambda t: t.drop(columns=f"{SMOOTH}_debiased"), "debiased of all 37"),
        (lambda t: t.drop(columns="dr7objid"), "asset_id"),
        (lambda t: t.assign(dr7objid=7), "23 of 24.*'7'"),
        (lambda t: t.assign(total_classifications=[0, *[40] * 23]), r"1 of 24 .* 0\."),
        (lambda t: t.assign(total_classifications=[40, np.nan, *[40] * 22]), "439001 with nan"),
        (
            lambda t: t.assign(**{f"{FEATURES}_weighted_fraction": 0.9}),
            "24 of 24.*sum to 1|sum to 1.*rows",
        ),
    ],
)
def test_tables_that_do_not_serve_say_why(tmp_path, table, spoil, message):
    with pytest.raises(TableError, match=message):
        load_dataset("gz2_votes", put(tmp_path, spoil(table)))


def test_nothing_there_says_how_to_make_it(tmp_path, table):
    with pytest.raises(FileNotFoundError, match="`galhelpers fetch gz2_votes` says how to make it"):
        load_dataset("gz2_votes", tmp_path)
    with pytest.raises(FileNotFoundError, match="None of the 24 images named in"):
        load_dataset("gz2_votes", put(tmp_path, table, images=0))
    with pytest.raises(FileNotFoundError, match="has no galaxies"):
        load_dataset("gz2_votes", put(tmp_path, table.head(0)))


@pytest.mark.real
def test_real_votes_agree_with_the_number_of_answers_that_the_table_counts(real_data):
    galaxies = load_dataset("gz2_votes", real_data)
    assert len(galaxies) == 750
    assert all(file.is_file() for file in galaxies.files)
    assert galaxies.class_counts().to_list() == [86, 79, 19, 115, 116]
    np.testing.assert_array_equal(
        galaxies.catalog["class_id"], select_five_classes(galaxies.fractions)
    )
    table = pd.read_csv(real_data / "gz2_votes" / "labels.csv")
    tree, votes = votes_of(galaxies)
    assert tree is GZ2
    assert galaxies.catalog["id"].tolist() == table["asset_id"].astype(str).tolist()
    assert votes[0, 0] == pytest.approx(41 * 0.732, rel=1e-6)
    np.testing.assert_allclose(votes[:, :3].sum(axis=1), table["total_classifications"])
    # total_votes counts answers. People who saw a star or artifact are not asked about odd things,
    # though the tree says so; votes of low weight make up the rest.
    answers = votes.sum(axis=1) - votes[:, GZ2.index("smooth-or-featured_star-or-artifact")]
    ratio = answers / table["total_votes"]
    assert ratio.median() == pytest.approx(1, abs=0.01)
    assert ratio.between(0.95, 1.15).all()
