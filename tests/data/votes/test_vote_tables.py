"""Vote tables: real ones give fractions that obey the tree, wrong ones name their rows."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from galhelpers.data.catalogs import select_five_classes
from galhelpers.data.votes.catalogue_files import degrees
from galhelpers.data.votes.vote_tables import LAYOUTS, VoteTableError, read_table, read_votes
from galhelpers.trees import CANDELS, DECALS, DECALS_DR12, GZ1, GZ2, GZ2_SHORT, GZ_CANDELS

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


def decals_table(tree=DECALS, n=6, seed=0):
    counts = walk(tree, n, seed=seed)
    shares = shares_of(tree, counts)
    table = pd.DataFrame(counts, columns=tree.columns)
    for i, name in enumerate(tree.columns):
        table[f"{name}_fraction"], table[f"{name}_debiased"] = shares[:, i], shares[:, i]
    table["smooth-or-featured_total-votes"] = 40
    positions = {"ra": np.linspace(1, 300, n), "dec": np.linspace(-60, 60, n), "petro_th90": 4.5}
    return table.assign(iauname=[f"J{i:06d}" for i in range(n)], **positions), counts


def written(tmp_path, table, name="votes.csv"):
    table.to_csv(tmp_path / name, index=False)
    return tmp_path / name


# ---- real tables


def test_stripe_82_of_willett(real_data):
    votes = read_votes(real_data / STRIPE82, "gz2")
    assert len(votes.catalog) == 19_761
    assert votes.catalog["id"].iloc[0] == "8647474690312307154"  # more digits than a float has
    assert votes.units == {"ra": "deg", "dec": "deg", "n_votes": "volunteers"}
    assert votes.votes.iloc[0][["smooth-or-featured_smooth", "bar_yes"]].tolist() == [10, 2]
    # Debiased answers of question 1 do not sum to 1: 0.21770866, 0.77512515, 0.017106274.
    total = 0.21770866 + 0.77512515 + 0.017106274
    assert votes.fractions["Class1.1"].iloc[0] == pytest.approx(0.21770866 / total)
    edge_on = 0.037736088 / (0.037736088 + 0.96211624) * 0.77512515 / total
    assert votes.fractions["Class2.1"].iloc[0] == pytest.approx(edge_on)
    assert votes.source["renormalised"]["smooth-or-featured"] == 8805
    assert not votes.fractions.isna().to_numpy().any()
    # Rows that break the tree are exactly those in which nobody answered a question.
    asked = GZ2.asked(votes.fractions)
    for i, (question, columns) in enumerate(GZ2.slices.items()):
        sums = votes.fractions.iloc[:, columns].sum(axis=1).to_numpy()
        wrong = np.abs(sums - asked[:, i]) > 1e-9
        assert wrong.sum() == votes.source["unanswered"].get(question, 0) < 6
        assert (sums[wrong] == 0).all()


def test_kinds_of_stripe_82_agree_where_they_must(real_data):
    plain = read_votes(real_data / STRIPE82, "gz2", kind="fraction")
    counted = read_votes(real_data / STRIPE82, "gz2", kind="count")
    difference = np.abs(plain.fractions.to_numpy() - counted.fractions.to_numpy())
    # Three decimals at each level; the weight of some volunteers is below 1 in one of the two.
    assert np.median(difference) < 0.001
    assert np.quantile(difference, 0.99) < 0.05
    pd.testing.assert_frame_equal(plain.votes, counted.votes)


def test_hart_and_the_classes_of_kaggle(real_data):
    path = real_data / "gz2_votes" / "labels.csv"
    votes = read_votes(path, "gz2")
    published = pd.read_csv(path)
    assert votes.votes is None  # the table has no counts
    assert votes.catalog["id"].tolist() == published["asset_id"].astype(str).tolist()
    # One row has no debiased number for four questions that were answered.
    assert votes.source["stood_in"]["has-spiral-arms"] == 1
    classes = select_five_classes(votes.fractions)
    in_kaggle = published["kaggle_id_same_bytes"].notna().to_numpy()
    kaggle = published["kaggle_five_class"].fillna(-1).to_numpy(int)
    both = in_kaggle & (kaggle >= 0) & (classes >= 0)
    # Other debiasing, so fewer get a class; where both have one, they agree.
    assert both.sum() > 50
    assert (classes[both] == kaggle[both]).mean() > 0.9


def test_objids_that_went_through_floats_are_refused(real_data):
    with pytest.raises(VoteTableError, match=r"lost digits: 5.877229822937664e\+17"):
        read_table(real_data / "gz2_votes" / "labels.csv", ["dr7objid"])


def test_table_with_one_question_says_what_is_missing(real_data):
    path = real_data / "catalogs" / "gz_decals_dr5_panoptes_votes.csv.gz"
    with pytest.raises(VoteTableError) as error:
        read_votes(path, "decals", kind="fraction")
    text = str(error.value)
    assert "nothing on disk-edge-on, has-spiral-arms, bar, " in text
    assert "smooth-or-featured," not in text.split("nothing on")[1].split("lacks")[0]
    assert "lacks 31 of the columns" in text
    with pytest.raises(VoteTableError, match=r"debiased \(closest: smooth-or-featured_smooth"):
        read_votes(path, "decals")


def test_real_rows_of_kaggle_and_of_the_candels_experts(real_data):
    kaggle = read_votes(
        real_data / "gz2_native" / "training_solutions_rev1_first3rows.csv", "kaggle"
    )
    assert kaggle.catalog["id"].iloc[0] == "100008"
    assert kaggle.fractions["Class11.6"].iloc[0] == 0.325512248
    assert GZ2.check(kaggle.fractions) == []
    experts = read_votes(
        real_data / "candels_stamps" / "CANDELS_labels_kartaltepe15.csv", "candels_experts"
    )
    assert (len(experts.catalog), experts.tree) == (7567, CANDELS)
    assert experts.fractions.iloc[0].tolist() == [0.4, 0, 0, 0.6, 0]


# ---- the shape, from every layout and every format


@pytest.mark.parametrize(("layout", "tree"), [("decals", DECALS), ("decals_dr12", DECALS_DR12)])
def test_decals(tmp_path, layout, tree):
    table, counts = decals_table(tree)
    votes = read_votes(written(tmp_path, table), layout)
    assert tree.check(votes.fractions) == []
    np.testing.assert_array_equal(votes.votes, counts)
    np.testing.assert_allclose(votes.conditional, shares_of(tree, counts))
    assert votes.catalog["petro_r90"].tolist() == [4.5] * 6
    assert votes.units["petro_r90"] == "arcsec"
    assert votes.catalog["n_votes"].tolist() == [40] * 6


def test_decals_without_debiased_numbers_takes_plain_ones_and_says_so(tmp_path):
    table, counts = decals_table()
    table.loc[[1, 4], [f"{name}_debiased" for name in DECALS.columns]] = np.nan
    table.loc[2, ["bar_strong_debiased", "bar_weak_debiased", "bar_no_debiased"]] = 1.0, 0.5, 0.5
    votes = read_votes(written(tmp_path, table), "decals")
    assert votes.catalog["debiased"].tolist() == [True, False, True, True, False, True]
    conditional = votes.conditional.to_numpy()
    np.testing.assert_allclose(conditional[[1, 4]], shares_of(DECALS, counts)[[1, 4]])
    np.testing.assert_allclose(conditional[2, DECALS.slices["bar"]], [0.5, 0.25, 0.25])
    assert votes.source["renormalised"] == {"bar": 1}


def test_posteriors_have_no_votes(tmp_path):
    table, _ = decals_table()
    shares = np.random.default_rng(1).random((6, 34))
    for columns in DECALS.slices.values():
        shares[:, columns] /= shares[:, columns].sum(axis=1, keepdims=True)
    names = [f"{name}_fraction" for name in DECALS.columns]
    table = pd.DataFrame(shares, columns=names).assign(iauname=table["iauname"])
    votes = read_votes(written(tmp_path, table), "decals_auto")
    assert votes.votes is None
    np.testing.assert_allclose(votes.fractions, DECALS.to_cumulative(shares))


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
    assert votes.catalog["published_class"].tolist() == ["uncertain", "spiral"]
    assert votes.votes is None
    assert GZ1.check(votes.fractions, atol=1e-12) == []  # published: 1.001
    assert votes.source["format"] == "csv (gzip)"


def candels_table():
    counts = walk(GZ_CANDELS)
    shares = np.nan_to_num(shares_of(GZ_CANDELS, counts)).round(6)
    columns = {}
    tasks = (0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16)
    for task, (question, at) in zip(tasks, GZ_CANDELS.slices.items(), strict=True):
        stem = f"t{task:02d}_{question.replace('-', '_')}"
        columns[f"{stem}_count"] = counts[:, at].sum(axis=1)
        for i, answer in enumerate(GZ_CANDELS.question(question).answers):
            name = f"{stem}_a{i}_{answer.replace('-', '_')}"
            columns[f"{name}_frac"] = columns[f"{name}_weighted_frac"] = shares[:, at][:, i]
    table = pd.DataFrame(columns)
    return table.assign(ID=[f"COS_{i}" for i in range(6)], num_classifications=40), counts


def test_galaxy_zoo_candels_has_counts_of_tasks_only(tmp_path):
    table, counts = candels_table()
    votes = read_votes(written(tmp_path, table), "gz_candels")
    assert (votes.source["kind"], votes.tree) == ("weighted_fraction", GZ_CANDELS)
    plain = read_votes(written(tmp_path, table), "gz_candels", kind="fraction")
    np.testing.assert_array_equal(plain.votes, counts)
    assert GZ_CANDELS.check(plain.fractions) == []


@pytest.mark.parametrize("kind", ["weighted_fraction", "fraction"])
def test_galaxy_zoo_candels_uses_the_kind_asked_for(tmp_path, kind):
    table, counts = candels_table()
    name = "t00_smooth_or_featured_a0_smooth_weighted_frac"
    other = "t00_smooth_or_featured_a1_features_weighted_frac"
    table[[name, other]] = table[[other, name]].to_numpy()
    votes = read_votes(written(tmp_path, table), "gz_candels", kind=kind)
    expected = counts[:, 1 if kind == "weighted_fraction" else 0] / 40
    np.testing.assert_allclose(votes.fractions["smooth-or-featured_smooth"], expected, atol=1e-6)


def hub_columns(tree, survey):
    renamed = {
        "features-or-disk": "featured-or-disk",
        "star-or-artifact": "artifact",
    }
    names = []
    for question in tree.questions:
        for answer in question.answers:
            q, a = question.name, answer
            if tree is GZ2_SHORT:
                a = renamed.get(a, a)
                if (q, a) == ("bulge-size", "none"):
                    a = "no"
                if (q, a) == ("how-rounded", "completely"):
                    a = "round"
                if q == "edge-on-bulge":
                    q, a = "bulge-shape", {"rounded": "round", "none": "no-bulge"}.get(a, a)
            names.append(f"{q}{survey}_{a}")
    return names


@pytest.mark.parametrize(
    ("survey", "tree"), [("-gz2", GZ2_SHORT), ("-dr12", DECALS_DR12), ("-candels", GZ_CANDELS)]
)
def test_hugging_face_says_its_survey_by_its_columns(tmp_path, survey, tree):
    counts = walk(tree)
    table = pd.DataFrame(counts, columns=hub_columns(tree, survey)).assign(
        id_str=[f"{OBJID + i}" for i in range(6)], image=b"never read"
    )
    table.to_parquet(tmp_path / "train.parquet")
    votes = read_votes(tmp_path / "train.parquet", "hugging_face")
    assert (votes.tree, votes.source["surveys"]) == (tree, [survey.strip("-")])
    np.testing.assert_array_equal(votes.votes, counts)
    assert tree.check(votes.fractions) == []
    assert votes.catalog["id"].iloc[5] == str(OBJID + 5)


def test_hugging_face_adds_campaigns_of_one_tree_and_leaves_the_rest_out(tmp_path):
    five, eight, old = walk(DECALS, 6), walk(DECALS, 6, seed=1), walk(DECALS_DR12, 6)
    five[[0, 5]] = 0
    eight[5] = 0
    old[:5] = 0  # the last galaxy was in the old campaign only
    parts = [
        pd.DataFrame(five, columns=hub_columns(DECALS, "-dr5")).replace(0, np.nan),
        pd.DataFrame(eight, columns=hub_columns(DECALS, "-dr8")),
        pd.DataFrame(old, columns=hub_columns(DECALS_DR12, "-dr12")),
    ]
    table = pd.concat(parts, axis=1).assign(id=[f"J{i}" for i in range(6)])
    table.to_parquet(tmp_path / "evo.parquet")
    votes = read_votes(tmp_path / "evo.parquet", "hugging_face")
    assert votes.source["surveys"] == ["dr5", "dr8"]
    np.testing.assert_array_equal(votes.votes, (five + eight)[:5])
    assert votes.source["left_out"]["without_votes"] == 1
    assert votes.source["rows"] == 6


@pytest.mark.parametrize("form", ["csv", "csv.gz", "fits", "fits.gz", "parquet", "vot"])
def test_every_format_gives_the_same(tmp_path, form):
    table, counts = decals_table()
    table = table.assign(iauname=[f"J{i}.1+02" for i in range(6)], objid=OBJID + np.arange(6))
    path = tmp_path / f"votes.{form}"
    if form.startswith("csv"):
        table.to_csv(path, index=False)
    elif form == "parquet":
        table.to_parquet(path)
    else:
        Table.from_pandas(table).write(path, format="votable" if form == "vot" else "fits")
    votes = read_votes(path, "decals")
    np.testing.assert_array_equal(votes.votes, counts)
    np.testing.assert_allclose(votes.fractions, DECALS.to_cumulative(shares_of(DECALS, counts)))
    assert votes.catalog["id"].tolist() == table["iauname"].tolist()
    ids = read_table(path, ["objid"])
    assert ids["objid"].tolist() == [str(OBJID + i) for i in range(6)]
    assert list(ids.columns) == ["objid"]


def test_degrees_of_odd_texts():
    column = pd.Series(["-00:00:36", "", None, "x:y:z", "12:30:00"])
    expected = [-0.01, np.nan, np.nan, np.nan, 12.5]
    np.testing.assert_allclose(degrees(column, hours=False), expected)
    np.testing.assert_allclose(degrees(pd.Series([1.5, -2.0]), hours=True), [1.5, -2.0])


# ---- what is wrong is refused, with its rows


def spoil(table, row, column, value):
    return table.astype({column: object}).assign(
        **{column: [value if i == row else old for i, old in enumerate(table[column])]}
    )


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (3, "iauname", "J000001", r"line 5 \(id J000001\): the identifier is repeated"),
        (2, "iauname", "", r"line 4 \(id \): no identifier in iauname"),
        (0, "ra", 361.5, r"line 2 \(id J000000\): the position ra 361.5, dec -60 is not on"),
        (1, "dec", -91.0, r"line 3 .*dec -91 is not on the sky"),
        (4, "bar_weak_debiased", 1.4, r"line 6 .*bar_weak is 1.4, expected 0 to 1"),
        (4, "bar_weak_debiased", -0.2, r"line 6 .*bar_weak is -0.2, expected 0 to 1"),
        (5, "disk-edge-on_no", -3, r"line 7 .*votes for disk-edge-on_no is -3"),
        (5, "disk-edge-on_no", 2.5, r"line 7 .*votes for disk-edge-on_no is 2.5"),
        (2, "merging_none", 99, r"line 4 .*people answered merging, but only \d+ were led"),
    ],
)
def test_wrong_rows_are_named_or_left_out(tmp_path, row, column, value, message):
    table, counts = decals_table()
    path = written(tmp_path, spoil(table, row, column, value))
    with pytest.raises(VoteTableError, match=message) as error:
        read_votes(path, "decals")
    assert "1 of 6 rows are wrong" in str(error.value)
    votes = read_votes(path, "decals", on_error="drop")
    kept = np.delete(np.arange(6), row)
    np.testing.assert_array_equal(votes.votes, counts[kept])
    assert len(votes.catalog) == len(votes.fractions) == 5
    assert votes.source["left_out"]["rows"] == 1
    assert re.search(message, votes.source["left_out"]["examples"][0])


def posteriors(tmp_path, spoilt):
    shares = shares_of(DECALS, walk(DECALS, people=4000))
    table = pd.DataFrame(shares, columns=[f"{name}_fraction" for name in DECALS.columns])
    table["iauname"] = [f"J{i}" for i in range(6)]
    spoilt(table)
    return written(tmp_path, table)


def test_sums_that_disagree_with_the_tree(tmp_path):
    def spoilt(table):
        table.loc[3, "has-spiral-arms_yes_fraction"] += 0.05

    with pytest.raises(VoteTableError, match=r"line 5 .*has-spiral-arms sum to 1.05, expected 1"):
        read_votes(posteriors(tmp_path, spoilt), "decals_auto")


def test_nan_where_people_were_asked(tmp_path):
    def one(table):
        table.loc[3, "bar_no_fraction"] = np.nan

    with pytest.raises(VoteTableError, match=r"line 5 \(id J3\): bar_no has no number"):
        read_votes(posteriors(tmp_path, one), "decals_auto")

    def whole_question(table):
        merging = [name for name in table if name.startswith("merging")]
        table.loc[2, merging] = np.nan  # smooth and featured galaxies are asked: most

    with pytest.raises(VoteTableError, match=r"line 4 \(id J2\): merging has no number"):
        read_votes(posteriors(tmp_path, whole_question), "decals_auto")


def test_kaggle_sums_follow_the_parent(tmp_path):
    counts = walk(GZ2, people=1000)
    table = pd.DataFrame(GZ2.to_cumulative(shares_of(GZ2, counts)), columns=GZ2.published)
    table.insert(0, "GalaxyID", 100_000 + np.arange(6))
    assert GZ2.check(read_votes(written(tmp_path, table), "kaggle").fractions) == []
    table.loc[4, "Class3.1"] += 0.01
    with pytest.raises(VoteTableError, match=r"line 6 \(id 100004\): the answers of bar sum to"):
        read_votes(written(tmp_path, table), "kaggle")


def test_five_rows_are_shown_of_many(tmp_path):
    table, _ = decals_table(n=30)
    with pytest.raises(VoteTableError) as error:
        read_votes(written(tmp_path, table.assign(ra=400.0)), "decals")
    assert str(error.value).count("(id ") == 5
    assert "30 of 30 rows" in str(error.value)
    assert "and 25 more" in str(error.value)


def test_words_among_numbers(tmp_path):
    table, _ = decals_table()
    path = written(tmp_path, spoil(table, 3, "bar_no_debiased", "many"))
    with pytest.raises(VoteTableError, match=r"numbers in bar_no_debiased, found 'many' in line 5"):
        read_votes(path, "decals")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"PK\x03\x04 rest", "is a zip archive"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (b"", "is empty"),
        (b"abc\0def", "is no text"),
    ],
)
def test_what_is_no_table(tmp_path, content, message):
    (tmp_path / "votes.csv").write_bytes(content)
    with pytest.raises(VoteTableError, match=message):
        read_votes(tmp_path / "votes.csv", "decals")


def test_cut_off_gzip_is_broken(tmp_path):
    table, _ = decals_table(n=200)
    whole = gzip.compress(table.to_csv(index=False).encode())
    (tmp_path / "votes.csv.gz").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(VoteTableError, match=r"broken.*Fetch it again"):
        read_votes(tmp_path / "votes.csv.gz", "decals")


def test_unknown_layouts_and_tables_without_votes(tmp_path):
    path = written(tmp_path, pd.DataFrame({"id": ["a"], "ra": [1.0]}))
    with pytest.raises(VoteTableError, match=r"Layouts: kaggle, gz2, .*hugging_face"):
        read_votes(path, "gz3")
    with pytest.raises(VoteTableError, match="none of the vote columns of Hugging Face"):
        read_votes(path, "hugging_face")
    with pytest.raises(VoteTableError, match=r"lacks 1 of the columns.*\n  iauname"):
        read_votes(path, "decals")


def test_every_layout_names_every_answer_once():
    for layout in LAYOUTS.values():
        for names in layout.kinds.values():
            assert len(names) == len(set(names)) == layout.tree.n_answers
