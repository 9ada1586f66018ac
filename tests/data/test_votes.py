"""Vote tables: real ones give fractions that obey the tree, wrong rows are counted and named."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galhelpers.data.catalogs import select_five_classes
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import load_manifest
from galhelpers.data.tables import TableError
from galhelpers.data.votes import (
    COLUMNS,
    VoteTable,
    read_expert_votes,
    read_votes,
    votes_of,
    weighted_votes,
)
from galhelpers.survey import sample_galaxies, volunteer_votes
from galhelpers.trees import DECALS, GZ1, GZ2, GZ2_SHORT, TREES
from tests.data.published import experts_files

STRIPE82 = "catalogs/gz2_willett13_table5_stripe82_coadd.csv.gz"
OBJID = 587722981751193901


def walk(tree, n=6, people=40, seed=0):
    """Counts (n, answers) of volunteers who walk down a tree; every answer may be given."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((n, tree.n_answers), dtype=int)
    for question, columns in tree.slices.items():
        parents = [tree.index(parent) for parent in tree.question(question).parents]
        led = counts[:, parents].sum(axis=1) if parents else np.full(n, people)
        size = columns.stop - columns.start
        counts[:, columns] = rng.multinomial(led, np.ones(size) / size)
    return counts


def shares_of(tree, counts):
    shares = np.full(counts.shape, np.nan)
    for columns in tree.slices.values():
        people = counts[:, columns].sum(axis=1, keepdims=True)
        np.divide(counts[:, columns], people, out=shares[:, columns], where=people > 0)
    return shares


def decals_table(n=6):
    counts = walk(DECALS, n)
    shares = shares_of(DECALS, counts)
    table = pd.DataFrame(counts, columns=DECALS.columns)
    for i, name in enumerate(DECALS.columns):
        table[f"{name}_fraction"], table[f"{name}_debiased"] = shares[:, i], shares[:, i]
    table["smooth-or-featured_total-votes"] = 40
    positions = {"ra": np.linspace(1, 300, n), "dec": np.linspace(-60, 60, n), "petro_th90": 4.5}
    return table.assign(iauname=[f"J{i:06d}" for i in range(n)], **positions), counts


def written(tmp_path, table):
    table.to_csv(tmp_path / "votes.csv", index=False)
    return tmp_path / "votes.csv"


# ---- real tables


@pytest.mark.real
def test_stripe_82_of_willett(real_data):
    votes = read_votes(real_data / STRIPE82, "gz2")
    assert len(votes.catalog) == votes.source["rows"] == 19_761
    assert votes.source["left_out"] == {}
    assert votes.catalog["id"].iloc[0] == "8647474690312307154"  # more digits than a float has
    assert votes.votes.iloc[0][["smooth-or-featured_smooth", "bar_yes"]].tolist() == [10, 2]
    # Debiased answers of question 1 do not sum to 1: 0.21770866, 0.77512515, 0.017106274.
    total = 0.21770866 + 0.77512515 + 0.017106274
    assert votes.fractions["Class1.1"].iloc[0] == pytest.approx(0.21770866 / total)
    edge_on = 0.037736088 / (0.037736088 + 0.96211624) * 0.77512515 / total
    assert votes.fractions["Class2.1"].iloc[0] == pytest.approx(edge_on)
    # Rows that break the tree are those few in which nobody answered a question.
    asked = GZ2.asked(votes.fractions)
    for i, columns in enumerate(GZ2.slices.values()):
        sums = votes.fractions.iloc[:, columns].sum(axis=1).to_numpy()
        wrong = np.abs(sums - asked[:, i]) > 1e-9
        assert wrong.sum() < 6
        assert (sums[wrong] == 0).all()
    classes = select_five_classes(votes.fractions)
    assert np.bincount(classes + 1).tolist() == [8720, 3484, 3975, 627, 673, 2282]


@pytest.mark.real
def test_kinds_of_stripe_82_agree_where_they_must(real_data):
    plain = read_votes(real_data / STRIPE82, "gz2", kind="fraction")
    counted = read_votes(real_data / STRIPE82, "gz2", kind="count")
    difference = np.abs(plain.fractions.to_numpy() - counted.fractions.to_numpy())
    # Three decimals at each level; the weight of some volunteers is below 1 in one of the two.
    assert np.median(difference) < 0.001
    assert np.quantile(difference, 0.99) < 0.05
    pd.testing.assert_frame_equal(plain.votes, counted.votes)


@pytest.mark.real
def test_hart_and_the_classes_of_kaggle(real_data):
    path = real_data / "gz2_votes" / "labels.csv"
    votes = read_votes(path, "gz2", max_wrong=0)
    published = pd.read_csv(path)
    assert votes.votes is None  # the table has no counts
    assert votes.catalog["id"].tolist() == published["asset_id"].astype(str).tolist()
    # One row has no debiased number for questions that were answered.
    assert votes.source["stood_in"]["has-spiral-arms"] == 1
    classes = select_five_classes(votes.fractions)
    in_kaggle = published["kaggle_id_same_bytes"].notna().to_numpy()
    kaggle = published["kaggle_five_class"].fillna(-1).to_numpy(int)
    both = in_kaggle & (kaggle >= 0) & (classes >= 0)
    # Other debiasing, so fewer get a class; where both have one, they agree.
    assert both.sum() > 50
    assert (classes[both] == kaggle[both]).mean() > 0.9
    people = weighted_votes(read_votes(path, "gz2", kind="weighted_fraction"))
    assert people.iat[0, 0] == pytest.approx(41 * 0.732, rel=1e-6)
    np.testing.assert_allclose(people.iloc[:, :3].sum(axis=1), published["total_classifications"])


@pytest.mark.real
def test_a_real_table_with_one_question_says_what_is_missing(real_data):
    path = real_data / "catalogs" / "gz_decals_dr5_panoptes_votes.csv.gz"
    with pytest.raises(TableError, match=r"fraction .*34 answers .*31 answers: disk-edge-on_yes"):
        read_votes(path, "decals", kind="fraction")


# ---- the shape, from the columns of each publisher


def test_decals(tmp_path):
    table, counts = decals_table()
    votes = read_votes(written(tmp_path, table), "decals")
    assert (votes.tree, votes.source["kind"]) == (DECALS, "debiased")
    assert DECALS.check(votes.fractions) == []
    np.testing.assert_array_equal(votes.votes, counts)
    np.testing.assert_allclose(votes.fractions, DECALS.to_cumulative(shares_of(DECALS, counts)))
    assert votes.catalog["petro_r90"].tolist() == [4.5] * 6
    assert votes.catalog["n_votes"].tolist() == [40] * 6
    some = votes.select(np.array([4, 1]))
    assert some.catalog["id"].tolist() == ["J000004", "J000001"]
    np.testing.assert_array_equal(some.votes, counts[[4, 1]])


def test_a_missing_debiased_number_is_taken_from_the_next_kind(tmp_path):
    table, counts = decals_table()
    table.loc[[1, 4], [f"{name}_debiased" for name in DECALS.columns]] = np.nan
    table.loc[2, ["bar_strong_debiased", "bar_weak_debiased", "bar_no_debiased"]] = 1.0, 0.5, 0.5
    table.loc[3, ["bar_no_debiased"]] = np.nan
    votes = read_votes(written(tmp_path, table), "decals")
    found = DECALS.to_conditional(votes.fractions)
    expected = shares_of(DECALS, counts)
    np.testing.assert_allclose(found[[1, 3, 4]], expected[[1, 3, 4]])
    np.testing.assert_allclose(found[2, DECALS.slices["bar"]], [0.5, 0.25, 0.25])
    assert votes.source["stood_in"]["bar"] == 3


def test_galaxy_zoo_1_with_sexagesimal_positions(tmp_path):
    path = tmp_path / "GalaxyZoo1_DR_table2.csv.gz"
    header = "OBJID,RA,DEC,NVOTE,P_EL,P_CW,P_ACW,P_EDGE,P_DK,P_MG,P_CS,SPIRAL,ELLIPTICAL,UNCERTAIN"
    rows = [
        "587727178986356823,00:00:00.41,-10:22:25.7,59,0.61,0.034,0,0.153,0.153,0.051,0.186,0,0,1",
        "587727227300741210,23:59:59.9,-00:30:00.0,18,0,0,0.9,0.05,0,0.05,0.95,1,0,0",
    ]
    path.write_bytes(gzip.compress("\n".join([header, *rows]).encode()))
    votes = read_votes(path, "gz1")
    assert votes.catalog["id"].tolist() == ["587727178986356823", "587727227300741210"]
    np.testing.assert_allclose(votes.catalog["ra"], [0.41 / 240, 360 - 0.1 / 240])
    np.testing.assert_allclose(votes.catalog["dec"], [-(10 + 22 / 60 + 25.7 / 3600), -0.5])
    assert votes.catalog["n_votes"].tolist() == [59, 18]
    assert votes.votes is None
    assert GZ1.check(votes.fractions, atol=1e-12) == []  # published: 1.001


def test_zoobot_names_of_galaxy_zoo_2(tmp_path):
    counts = walk(GZ2_SHORT)
    names = [
        name.replace("_", "-gz2_")
        .replace("features-or-disk", "featured-or-disk")
        .replace("star-or-artifact", "artifact")
        .replace("bulge-size-gz2_none", "bulge-size-gz2_no")
        .replace("how-rounded-gz2_completely", "how-rounded-gz2_round")
        .replace("edge-on-bulge-gz2_rounded", "bulge-shape-gz2_round")
        .replace("edge-on-bulge-gz2_boxy", "bulge-shape-gz2_boxy")
        .replace("edge-on-bulge-gz2_none", "bulge-shape-gz2_no-bulge")
        for name in GZ2_SHORT.columns
    ]
    table = pd.DataFrame(counts, columns=names).assign(id_str=[f"{OBJID + i}" for i in range(6)])
    table.assign(image=b"never read").to_parquet(tmp_path / "train.parquet")
    votes = read_votes(tmp_path / "train.parquet", "zoobot_gz2")
    assert (votes.tree, votes.source["kind"]) == (GZ2_SHORT, "count")
    np.testing.assert_array_equal(votes.votes, counts)
    assert GZ2_SHORT.check(votes.fractions) == []
    assert votes.catalog["id"].iloc[5] == str(OBJID + 5)
    assert votes.catalog["n_votes"].tolist() == [40] * 6


def expert_files(folder, spoil=lambda lines: lines):
    """One galaxy of the whole field with three experts, and three that are left out."""
    ticks = {
        (2, "deep2_1"): ["1 0 0 0 0", "1 1 0 0 0", "0 1 1 0 0"],
        (2, "deep2_2"): ["0 0 0 0 1", "0 0 0 1 0"],  # two experts are too few
        (4, "deep4_3"): ["1 0 0 0 0"] * 3,  # another mosaic
        (2, "wide2_4"): ["0 0 0 0 0"] * 3,  # nobody ticked anything
    }
    for name, content in experts_files(ticks, spoil).items():
        (folder / name).write_bytes(content)
    return folder / "table2.dat.gz", folder / "ReadMe"


def test_experts_of_candels(tmp_path):
    votes = read_expert_votes(*expert_files(tmp_path))
    assert votes.catalog["id"].tolist() == ["GDS_deep2_1"]
    columns = ["ra", "dec", "n_votes", "h_mag"]
    assert votes.catalog[columns].to_numpy().tolist() == [[53.12, -27.8, 3, 23.5]]
    np.testing.assert_allclose(votes.fractions, [[0.4, 0.4, 0.2, 0, 0]])
    assert votes.votes is None
    assert len(read_expert_votes(*expert_files(tmp_path), min_classifiers=2).catalog) == 2
    deep = read_expert_votes(*expert_files(tmp_path), depth=4)
    assert deep.fractions.to_numpy().tolist() == [[1, 0, 0, 0, 0]]


def test_experts_that_cannot_be_read(tmp_path):
    with pytest.raises(TableError, match=r"100.*it has 0"):
        read_expert_votes(*expert_files(tmp_path), min_classifiers=100)
    with pytest.raises(TableError, match="0 or 1"):
        read_expert_votes(*expert_files(tmp_path, lambda lines: [lines[0].replace(" 1 ", " 7 ")]))
    table, readme = expert_files(tmp_path)
    table.write_bytes(table.read_bytes()[:60])
    with pytest.raises(TableError, match=r"table2\.dat\.gz.*ReadMe"):
        read_expert_votes(table, readme)
    table, readme = expert_files(tmp_path)
    readme.write_text("something else")
    with pytest.raises(TableError, match=r"table2\.dat\.gz.*ReadMe"):
        read_expert_votes(table, readme)


# ---- what is wrong is counted with its reason, or refused


@pytest.mark.parametrize(
    ("row", "column", "value", "reason"),
    [
        (3, "iauname", "J000001", "came before"),
        (2, "iauname", "", "no identifier"),
        (0, "ra", 361.5, "sky"),
        (1, "dec", -91.0, "sky"),
        (4, "smooth-or-featured_smooth_fraction", 1.4, "outside 0 to 1"),
        (4, "smooth-or-featured_smooth_fraction", -0.2, "outside 0 to 1"),
        (1, "smooth-or-featured_smooth_fraction", 0.999, "sum to 1"),
        (5, "disk-edge-on_no", -3, "number of votes"),
        (5, "disk-edge-on_no", 2.5, "number of votes"),
    ],
)
def test_wrong_rows_are_left_out_or_too_many(tmp_path, row, column, value, reason):
    table, counts = decals_table()
    table = table.astype({column: object})
    table.loc[row, column] = value
    path = written(tmp_path, table)
    with pytest.raises(TableError, match=f"1 of 6 .*{reason}.*{table['iauname'][row]}"):
        read_votes(path, "decals", "fraction")
    votes = read_votes(path, "decals", "fraction", max_wrong=0.2)
    kept = np.delete(np.arange(6), row)
    np.testing.assert_array_equal(votes.votes, counts[kept])
    assert len(votes.catalog) == len(votes.fractions) == 5
    (facts,) = (facts for why, facts in votes.source["left_out"].items() if reason in why)
    assert facts == {"rows": 1, "first": table["iauname"][row]}


def test_nobody_and_gaps_are_wrong_rows(tmp_path):
    table, _ = decals_table()
    first = [f"smooth-or-featured_{answer}_fraction" for answer in ("smooth", "artifact")]
    table = table.drop(columns=[name for name in table if name in DECALS.columns])
    table.loc[2, [name for name in table if name.startswith("smooth-or-featured")]] = np.nan
    table.loc[4, first] = np.nan
    table = table.drop(columns=[name for name in table if name.endswith("_debiased")])
    votes = read_votes(written(tmp_path, table), "decals", max_wrong=0.5)
    assert votes.votes is None
    assert [facts["first"] for facts in votes.source["left_out"].values()] == ["J000004", "J000002"]


def test_words_among_numbers_and_missing_columns(tmp_path):
    table, _ = decals_table()
    words = table.astype({"bar_no_debiased": object})
    words.loc[3, "bar_no_debiased"] = "many"
    with pytest.raises(TableError, match="many"):
        read_votes(written(tmp_path, words), "decals")
    with pytest.raises(TableError, match=r"debiased .*bar_no"):
        read_votes(written(tmp_path, table[[n for n in table if n[:6] != "bar_no"]]), "decals")
    with pytest.raises(TableError, match="iauname"):
        read_votes(written(tmp_path, table.drop(columns="iauname")), "decals")
    with pytest.raises(TableError, match=r"'gz3'.* gz2, decals, "):
        read_votes(written(tmp_path, table), "gz3")


def test_every_answer_of_the_numbered_columns_once():
    """Names of a few columns of Willett et al. 2013 and what they say."""
    for name, meaning in {
        "t01_smooth_or_features_a01_smooth_debiased": ("smooth-or-featured_smooth", "debiased"),
        "t02_edgeon_a05_no_weighted_fraction": ("disk-edge-on_no", "weighted_fraction"),
        "t08_odd_feature_a38_dust_lane_count": ("odd-feature_dust-lane", "count"),
        "t08_odd_feature_a24_merger_fraction": ("odd-feature_merger", "fraction"),
        "t11_arms_number_a37_cant_tell_count": ("spiral-arm-count_cant-tell", "count"),
        "t01_smooth_or_features_a01_smooth_flag": None,
        "t11_arms_number_a35_unknown_count": None,
        "total_votes": None,
    }.items():
        assert COLUMNS["gz2"].meaning(name) == meaning


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_weighted_votes_share_out_the_people_who_were_asked(seed):
    rng = np.random.default_rng(seed)
    people = rng.integers(1, 80, 5).astype(float)
    shares = rng.random((5, GZ2.n_answers))
    for columns in GZ2.slices.values():
        shares[:, columns] /= shares[:, columns].sum(axis=1, keepdims=True)
    fractions = pd.DataFrame(GZ2.to_cumulative(shares), columns=GZ2.published)
    catalog = pd.DataFrame({"id": list("abcde"), "n_votes": people})
    votes = weighted_votes(VoteTable(catalog, GZ2, None, fractions, {"table": "t"}))
    for question in GZ2.questions:
        led = votes[list(question.parents)].sum(axis=1) if question.parents else people
        share = shares[:, GZ2.slices[question.name]]
        np.testing.assert_allclose(
            votes[list(question.columns)], np.asarray(led)[:, None] * share, atol=1e-9
        )
    catalog.loc[3, "n_votes"] = np.nan
    with pytest.raises(TableError, match=r"1 of 5 .* d .*nan"):
        weighted_votes(VoteTable(catalog, GZ2, None, fractions, {"table": "t"}))


# ---- votes of a set of galaxies

N = 12


def galaxy_set(name="some_set", n=N, **tables):
    catalog = pd.DataFrame({"id": [f"g{i}" for i in range(n)], "file": "", "class_id": -1})
    return GalaxySet(name, catalog, tables=tables)


def numbers(tree, n=N, seed=0):
    values = np.random.default_rng(seed).integers(0, 40, (n, tree.n_answers))
    return pd.DataFrame(values, columns=tree.columns)


@pytest.fixture(scope="module")
def simulated():
    """Votes as the simulated survey keeps them: with names, for two trees."""
    truth = sample_galaxies(N, seed=3)
    names = {"id": [f"g{i}" for i in range(N)]}
    votes = {tree: volunteer_votes(truth, tree, "decals", seed=3) for tree in (DECALS, GZ2)}
    tables = {
        name: pd.DataFrame(votes[tree], columns=tree.columns).assign(**names)
        for name, tree in (("votes", GZ2), ("votes_decals", DECALS))
    }
    return galaxy_set("simulated", **tables), votes


@settings(deadline=None)
@given(rows=st.permutations(range(N)), n=st.integers(1, N))
def test_votes_follow_the_selection(simulated, rows, n):
    galaxies, votes = simulated
    some = galaxies.select(rows[:n])
    for name, tree in ((None, DECALS), ("decals", DECALS), ("gz2", GZ2)):
        found, values = votes_of(some, name)
        assert found is tree
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, votes[tree][list(rows[:n])])
    table = numbers(GZ2)  # row by row, without names
    some = galaxy_set(votes_gz2=table).select(rows[:n])
    np.testing.assert_array_equal(votes_of(some)[1], table.to_numpy()[list(rows[:n])])


@pytest.mark.parametrize("name", TREES)
def test_every_tree_by_its_table(name):
    table = numbers(TREES[name])[TREES[name].columns[::-1]]  # found by name, in the tree's order
    tree, votes = votes_of(galaxy_set(**{f"votes_{name}": table + 0.25}))
    assert tree is TREES[name]
    np.testing.assert_array_equal(votes, table[tree.columns] + 0.25)  # weighted: no whole numbers


def test_of_several_trees_decals_comes_first_and_then_gz2():
    tables = {f"votes_{name}": numbers(TREES[name]) for name in reversed(TREES)}
    assert votes_of(galaxy_set(**tables))[0] is DECALS
    del tables["votes_decals"]
    assert votes_of(galaxy_set(**tables))[0] is GZ2
    assert votes_of(galaxy_set(**tables), "gz_candels")[0] is TREES["gz_candels"]


def test_votes_that_are_not_there():
    kaggle = galaxy_set("kaggle_galaxy_zoo")
    kaggle.fractions = pd.DataFrame(0.5, index=range(N), columns=GZ2.published)
    with pytest.raises(ValueError, match=r"kaggle_galaxy_zoo .*fractions.* simulated \(gz2\)"):
        votes_of(kaggle)
    shares = galaxy_set("galaxy_zoo_1", fractions_gz1=numbers(TREES["gz1"]))
    with pytest.raises(ValueError, match=r"galaxy_zoo_1 .*fractions.* gz_decals \(decals\)"):
        votes_of(shares)
    with pytest.raises(ValueError, match=r"galaxy10_decals .*classes"):
        votes_of(galaxy_set("galaxy10_decals"))
    with pytest.raises(ValueError, match=r"'gz_candels'.* gz2"):
        votes_of(galaxy_set(votes_gz2=numbers(GZ2)), "gz_candels")
    with pytest.raises(KeyError, match="'gz3'"):
        votes_of(kaggle, "gz3")
    table = numbers(GZ2, N - 1).assign(id=[f"g{i}" for i in range(N - 1)])
    with pytest.raises(ValueError, match=r"1 of 12 .* g11"):
        votes_of(galaxy_set(votes_gz2=table))


def test_the_manifest_promises_votes_to_the_notebook_on_votes():
    for entry in load_manifest().datasets:
        for notebook in ("08_bayesian_votes", "09_honest_error_bars"):
            assert entry.has_votes or notebook not in entry.notebooks, entry.name
        assert entry.has_fractions or not entry.has_votes, entry.name


@pytest.mark.parametrize("votes", [-1.0, np.nan, np.inf, 1e300])
def test_impossible_votes_on_disk_are_refused(votes):
    catalog = pd.DataFrame({"id": ["a", "b"]})
    table = pd.DataFrame(1.0, index=range(2), columns=GZ2.columns)
    table.iloc[1, 3] = votes
    with pytest.raises(ValueError, match=r"1 of 2 galaxies.*b"):
        votes_of(GalaxySet("mine", catalog, tables={"votes_gz2": table}))
