"""Submissions to Kaggle's Galaxy Zoo challenge, with real, tiny networks and real files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from galhelpers.course.cli import main
from galhelpers.course.kaggle import galaxy_ids
from galhelpers.course.predict_images import predict_images
from galhelpers.learning.checkpoint import save_checkpoint
from galhelpers.models import build
from galhelpers.paths import UserError
from galhelpers.trees import DECALS, GZ2

NORMALISATION = {"size": 16, "crop": 0.5, "mean": [0.1] * 3, "std": [0.2] * 3}


def write_network(folder: Path, architecture: str, steep: float = 1.0, **facts) -> Path:
    torch.manual_seed(0)
    arguments = facts.pop("arguments")
    network = build(architecture, **arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:  # no light stays no light
                parameter.mul_(steep)
    return save_checkpoint(
        folder / "network.safetensors", network, architecture=architecture, arguments=arguments,
        preprocessing=NORMALISATION | facts.pop("preprocessing", {}), **facts,
    )  # fmt: skip


SMALL = {"arguments": {"widths": (4, 4, 4, 4)}}
OF_DECALS = {"tree": "decals", "encoder": "small", "widths": (4, 4)}
FRACTIONS = SMALL | {"classes": GZ2.columns, "task": "fractions"}


@pytest.fixture
def network(tmp_path):
    return write_network(tmp_path, "repaired_convnet_37", **FRACTIONS)


@pytest.fixture
def images(tmp_path):
    """Pictures named as Kaggle's are; the order of the names is not that of the numbers."""
    for number in (100018, 99, 100037, 7):
        write_image(tmp_path / "images" / f"{number}.jpg", number)
    return tmp_path / "images"


def write_image(file: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def submit(network: Path, images: Path, **options):
    out = network.with_name("submission.csv")
    return predict_images(network, images, out, progress=False, form="kaggle", **options)


def test_a_submission_has_kaggles_columns_in_kaggles_order(network, images):
    out = network.with_name("submission.csv")
    command = ["predict", str(network), str(images), "--out", str(out), "--format", "kaggle"]
    assert main(command) == 0
    # The first line of all_zeros_benchmark.csv, written out.
    head = out.read_text().splitlines()[0]
    assert head.startswith("GalaxyID,Class1.1,Class1.2,Class1.3,Class2.1,Class2.2,Class3.1,")
    assert head.endswith(",Class10.3,Class11.1,Class11.2,Class11.3,Class11.4,Class11.5,Class11.6")
    assert head.count(",") == 37
    made = pd.read_csv(out)
    assert made["GalaxyID"].tolist() == [7, 99, 100018, 100037]
    table = predict_images(network, images, out.with_name("table.parquet"), progress=False).out
    table = pd.read_parquet(table).set_index("id").loc[["7", "99", "100018", "100037"]]
    # All digits of a 32-bit number.
    expected = table[[f"p_{answer}" for answer in GZ2.columns]].to_numpy()
    assert (made.iloc[:, 1:].to_numpy(np.float32) == expected).all()
    assert GZ2.check(made, atol=1e-5) == []


def test_a_network_for_votes_gives_its_shares(tmp_path, images):
    arguments = {"tree": "gz2", "encoder": "small", "widths": (4, 4, 8)}
    network = write_network(
        tmp_path, "vote_net", arguments=arguments, classes=GZ2.columns, task="votes",
        preprocessing={"passes": 2},
    )  # fmt: skip
    made = pd.read_csv(submit(network, images).out)
    assert list(made) == ["GalaxyID", *GZ2.published]
    assert GZ2.check(made, atol=1e-5) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"classes": GZ2.columns, "architecture": "repaired_convnet", "arguments": {"outputs": 37}},
        {"classes": DECALS.columns, "task": "votes", "architecture": "vote_net"}
        | {"preprocessing": {"passes": 2}, "arguments": OF_DECALS},
        {"classes": list("abcde"), "arguments": {"outputs": 5}},
    ],
)
def test_a_network_without_the_37_shares_is_refused(tmp_path, images, facts):
    facts = {"architecture": "repaired_convnet"} | facts
    network = write_network(tmp_path, facts.pop("architecture"), **facts)
    with pytest.raises(UserError, match=r"37 answers.*fractions\.safetensors"):
        submit(network, images)
    assert not list(tmp_path.glob("*submission*"))


@pytest.mark.parametrize(
    ("names", "fact"),
    [
        (["galaxy.jpg"], r"1 of 5 are not: galaxy\.jpg"),
        (["-5.jpg"], r"1 of 5 are not: -5\.jpg"),
        (["1.5.jpg"], r"1 of 5 are not: 1\.5\.jpg"),
        (["٣.jpg"], r"1 of 5 are not: ٣\.jpg"),
        (["1" * 19 + ".jpg"], r"1 of 5 are not: 1{19}"),
        (["north/7.jpg"], r"7\.jpg, north/7\.jpg"),
        (["007.jpg"], r"007\.jpg, 7\.jpg"),
        ([f"x{i}.jpg" for i in range(14)], r"14 of 18 are not: .* and 4 more"),
    ],
)
def test_a_name_that_is_no_galaxy_id_is_refused_before_the_work(network, images, names, fact):
    for name in names:
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes((images / "7.jpg").read_bytes())
    with pytest.raises(UserError, match=fact):
        submit(network, images)
    assert not list(network.parent.glob("*submission*"))


def test_the_name_of_a_file_comes_before_the_identifier_of_a_table():
    files = ["a/5.jpg", "b/x.jpg", "c\\4.jpg", "d/6"]
    listed = pd.DataFrame({"id": ["587722981741363294", " 7", "z", "z"], "file": files})
    assert galaxy_ids(listed).tolist() == [5, 7, 4, 6]


def test_a_submission_with_a_gap_is_not_written_and_continues_when_it_is_closed(network, images):
    whole = submit(network, images).out.read_bytes()
    good = (images / "99.jpg").read_bytes()
    (images / "99.jpg").write_bytes(good[:500])
    with pytest.raises(UserError, match=r"1 of 4 have none: 99\.jpg \(is damaged or cut short"):
        submit(network, images, part=2)
    assert network.with_name("submission.csv").read_bytes() == whole  # the earlier one
    (images / "99.jpg").write_bytes(good)
    done = submit(network, images, part=2)
    assert (done.status, done.out.read_bytes()) == (0, whole)
    assert not list(network.parent.glob("submission.csv.parts"))


def test_a_submission_without_numbers_is_not_written(tmp_path, images):
    dark = {"preprocessing": {"mean": [0.0] * 3}}
    network = write_network(tmp_path, "repaired_convnet_37", 1e30, **FRACTIONS, **dark)
    with pytest.raises(UserError, match=r"4 of 4 .*finite"):
        submit(network, images)
    assert not (tmp_path / "submission.csv").exists()


def test_a_submission_is_csv_and_there_is_no_third_format(network, images, tmp_path):
    with pytest.raises(UserError, match=r"end in \.csv, got 'p\.parquet'"):
        predict_images(network, images, tmp_path / "p.parquet", form="kaggle")
    with pytest.raises(UserError, match="table, kaggle, got 'json'"):
        predict_images(network, images, tmp_path / "p.csv", form="json")
