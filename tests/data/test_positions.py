"""Tables of positions: the columns of many publishers, and an order that stays."""

import pandas as pd
import pytest
from astropy.table import Table

from galhelpers.data.sources.positions import in_stable_order, read_positions

ROWS = pd.DataFrame({"id": [587722952767439001, 2], "ra": [10.5, 359.9], "dec": [-1.0, 2.5]})


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"id": "objID", "ra": "RA", "dec": "DEC"},
        {"id": "dr7objid", "ra": "RAJ2000", "dec": "DEJ2000"},
        {"id": "GalaxyID", "ra": "_RAJ2000", "dec": "_DEJ2000"},
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet", ".xml"])
def test_many_names_and_formats(tmp_path, names, suffix):
    path = tmp_path / f"mine{suffix}"
    table = ROWS.rename(columns=names).assign(petroR90_r=[4.0, 5.0])
    if suffix == ".csv":
        table.to_csv(path, index=False)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        Table.from_pandas(table).write(path, format="votable" if suffix == ".xml" else "fits")
    read = read_positions(path)
    # As text: 587722952767439001 is not a number that a float can hold.
    assert list(read["id"]) == ["587722952767439001", "2"]
    assert list(read["ra"]) == [10.5, 359.9]
    assert list(read["petro_r90"]) == [4.0, 5.0]


def test_what_is_missing_is_named(tmp_path):
    ROWS.drop(columns="dec").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"should have a column dec or .*; it has id, ra\."):
        read_positions(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match=r"no table .*b\.csv"):
        read_positions(tmp_path / "b.csv")


def test_the_first_hundred_are_among_the_first_thousand():
    many = pd.DataFrame({"id": [str(i) for i in range(2000)]})
    order = list(in_stable_order(many, 0)["id"])
    assert sorted(order, key=int) == list(many["id"])
    assert order != list(many["id"])
    # Rows that come later do not change the order of the others.
    few = list(in_stable_order(many.head(500), 0)["id"])
    assert few == [name for name in order if int(name) < 500]
    assert list(in_stable_order(many, 1)["id"]) != order
