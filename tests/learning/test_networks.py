"""The trained networks of the course: each is what its card says, and damage is noticed."""

import re
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from galhelpers.data.augment import to_float
from galhelpers.data.images import load_images, read_image
from galhelpers.learning import network_check, networks
from galhelpers.learning.checkpoint import load_checkpoint
from galhelpers.learning.experiment import score_of
from galhelpers.learning.losses import vote_loss
from galhelpers.learning.make_networks import splits_of
from galhelpers.learning.metrics import proportion
from galhelpers.learning.network_check import check_score, new_check
from galhelpers.learning.networks import (
    Card,
    Check,
    card,
    cards,
    facts_of,
    load_network,
    network_file,
    write_card,
)
from galhelpers.learning.recipes import NETWORKS
from galhelpers.learning.samples import join, read_sample
from galhelpers.paths import UserError
from galhelpers.survey import cumulative_fractions, sample_galaxies, volunteer_votes
from galhelpers.trees import GZ2
from tests.learning.small_networks import KINDS, SHOWN, card_of, make, put

CPU = torch.device("cpu")
MOST_BYTES = 20_000_000
NAMES = list(cards())
SOME = 400
REAL = {  # and the galaxies of another survey that it is judged on
    name: [network.judged] if network.judged else []
    for name, network in NETWORKS.items()
    if (network.judged or network.samples[0]).dataset != "simulated"
}


# The networks that come with the course ------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_card_agrees_with_the_file(name):
    facts, said = facts_of(network_file(name)), dict(card(name))
    assert {field: said[field] for field in facts} == facts
    assert said["start"] in ("nothing", *NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_score_on_the_simulated_survey_is_found_again(name):
    check = card(name).check
    assert check is not None
    assert check.metric == network_check.METRICS[card(name).task]
    # Another processor may round one galaxy across a border, and no more.
    margin = {"accuracy": 1.5 / check.n, "RMSE": 1e-3, "nats": 0.02}[check.metric]
    found = check_score(load_network(name, CPU), check)
    assert found == pytest.approx(check.value, abs=margin)


@pytest.mark.parametrize("name", [n for n in NAMES if n in REAL])
def test_the_score_on_its_real_galaxies_is_found_again(name, real_data):
    """On its test part, or on some of it: then no further away than chance brings it."""
    network, said, trained = NETWORKS[name], card(name), load_network(name, CPU)
    galaxies = join([read_sample(s, real_data) for s in (REAL[name] or network.samples)])
    rows = np.arange(len(galaxies)) if REAL[name] else splits_of(network, galaxies)[said.seed].test
    some = np.random.default_rng(0).permutation(rows)[:SOME]
    shown = {field: trained.preprocessing[field] for field in ("size", "crop")}
    pixels = load_images([galaxies.files[row] for row in some], progress=False, **shown).pixels
    found, _ = score_of(trained, pixels, galaxies.targets[some].numpy())
    metric = "accuracy" if said.task == "classes" else "nats"
    value = said.splits[said.seed][metric] if said.splits else said.scores[metric].value
    if len(some) == len(rows):
        assert found[metric] == pytest.approx(
            value, abs=1.5 / SOME if metric == "accuracy" else 0.02
        )
    else:
        chance = proportion(round(found[metric] * SOME), SOME, level=0.9999)
        assert chance.low <= value <= chance.high


def test_every_file_has_a_card_and_all_are_small(course):
    files = list((course / "networks").glob("*.safetensors"))
    assert {file.stem for file in files} == set(NAMES)
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES


# How they are kept ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A course with two networks; tests that spoil it work on a copy."""
    root = tmp_path_factory.mktemp("course")
    put(root / "networks", "sorts", "five")
    put(root / "networks", "votes_of_people", "votes")
    return root / "networks"


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    folder = tmp_path / "networks"
    folder.mkdir()
    for file in made.glob("[!.]*"):
        (folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(networks, "course_root", lambda: tmp_path)
    return folder


def test_a_network_is_loaded_by_its_name(folder):
    assert list(cards()) == ["sorts", "votes_of_people"]
    network = load_network("sorts", CPU)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 16, 16), np.uint8)
    expected = load_checkpoint(folder / "sorts.safetensors", CPU).predict(pixels)
    assert torch.equal(network.predict(pixels), expected)
    assert network.classes == card("sorts").classes


@pytest.mark.parametrize("kind", KINDS)
def test_facts_of_every_kind_of_network(tmp_path, kind):
    file = make(tmp_path, "a", kind)
    facts = facts_of(file)
    tree = {"fractions": "gz2", "votes": "gz2", "decals": "decals"}
    assert facts["classes"] == tree.get(kind, list(KINDS[kind][2]))
    assert facts["parameters"] == sum(
        p.numel() for p in load_checkpoint(file, CPU).model.parameters()
    )
    assert facts["preprocessing"].size == 16
    assert facts["preprocessing"].crop == 0.5
    assert facts["preprocessing"].views == (1 if facts["task"] == "votes" else 8)
    assert facts["bytes"] == len(file.read_bytes())


def test_one_changed_bit_is_refused(folder):
    file = folder / "sorts.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    expected = card("sorts").sha256[:12]
    with pytest.raises(UserError, match=rf"{expected}\.\.\., found .*git checkout .*sorts\.saf"):
        load_network("sorts")
    file.unlink()
    with pytest.raises(UserError, match=r"is missing.*galhelpers train sorts"):
        load_network("sorts")


def test_another_network_under_the_name_is_refused(folder):
    make(folder, "another", "five").replace(folder / "sorts.safetensors")
    with pytest.raises(UserError, match="has changed"):
        network_file("sorts")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sort", "'sort'. Did you mean sorts? Trained networks: sorts, votes_of_people."),
        ("VOTES_OF_GALAXIES", "Did you mean votes_of_people?"),
        ("x" * 100 + "\n\x1b[31m", "Trained networks: sorts, votes_of_people."),
        ("../sorts", "There is no trained network '../sorts'"),
    ],
)
def test_an_unknown_name_is_told_the_known_ones(folder, name, said):
    for function in (card, network_file, load_network):
        with pytest.raises(UserError, match=re.escape(said)) as error:
            function(name)
        assert str(error.value).isprintable()


def change(**fields):
    """Give the text of cards in which the first has other fields; None leaves one out."""

    def changed(text):
        entries = yaml.safe_load(text)
        entry = entries["sorts"] | fields
        entries["sorts"] = {key: value for key, value in entry.items() if value is not None}
        return yaml.dump(entries)

    return changed


SCORE = {"part": "test", "value": 0.9, "low": 0.8, "high": 0.95, "n": 5, "how": "3 splits"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[: len(text) // 2], r"networks\.yaml.*git checkout"),
        (lambda text: "a: [" * 20, "not valid YAML"),
        (lambda text: "a: 2026-13-45", "not valid YAML"),
        (lambda text: "\udcff", "not valid YAML"),
        (lambda text: "", "valid dictionary"),
        (lambda text: "- sorts", "valid dictionary"),
        (lambda text: "Sorts of galaxies: {}", "pattern"),
        (change(seed=None), r"sorts\.seed: Field required"),
        (change(colour="red"), r"sorts\.colour: Extra inputs"),
        (change(parameters=-3), r"sorts\.parameters.*greater than 0"),
        (change(parameters=10**400), r"sorts\.parameters.*less than"),
        (change(licence="\x1b[2J"), r"sorts\.licence.*can be printed"),
        (change(sha256="abc"), r"sorts\.sha256"),
        (change(scores={}), r"sorts\.scores"),
        (change(scores={"accuracy": SCORE | {"low": 0.91}}), r"low <= value <= high, found 0\.91"),
        (change(scores={"accuracy": SCORE | {"how": "a guess"}}), r"accuracy\.how"),
        (change(scores={"accuracy": SCORE | {"high": float("inf")}}), r"accuracy\.high.*finite"),
        (change(confusion=[[1, 2], [3, 4]]), r"expected 5 rows and columns.*found \[2\]"),
        (change(classes="gz2"), "list of names"),
        (change(task="votes", classes="gz9"), r"expected a tree of .*gz2.*found 'gz9'"),
        (change(not_for=[]), "not_for"),
    ],
)
def test_damaged_cards_are_told_in_one_line(folder, spoil, said):
    file = folder / "networks.yaml"
    file.write_text(spoil(file.read_text("utf-8")), "utf-8", "surrogateescape")
    with pytest.raises(UserError, match=said) as error:
        cards()
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_without_cards_it_is_said_where_they_should_be(folder):
    (folder / "networks.yaml").unlink()
    with pytest.raises(UserError, match=r"networks\.yaml.*there is no such file"):
        load_network("sorts")


def test_a_card_is_added_or_replaced_and_the_others_stay(folder):
    file, before = folder / "networks.yaml", cards()
    write_card("third", before["sorts"], file)
    changed = card_of(folder / "sorts.safetensors", cpu_minutes=99.0, not_for=["Größe über 1″."])
    write_card("sorts", changed, file)
    assert list(cards()) == ["sorts", "votes_of_people", "third"]
    assert cards() == before | {"sorts": changed, "third": before["sorts"]}
    lines = file.read_text("utf-8").splitlines()
    assert lines[0].startswith("#")
    assert "  - [100, 1, 2, 3, 4]" in lines
    assert "  - Größe über 1″." in lines
    assert max(map(len, lines)) <= 100


def test_cards_in_a_folder_of_the_users_own(folder, tmp_path):
    mine = tmp_path / "mine" / "networks.yaml"
    write_card("sorts", card("sorts"), mine)
    assert cards(mine) == {"sorts": card("sorts")}


@pytest.mark.parametrize("name", ["", "Sorts", "a/b", "1st", "a\nb", "x" * 41])
def test_a_name_that_is_none_changes_nothing(folder, name):
    file = folder / "networks.yaml"
    before = file.read_bytes()
    with pytest.raises(UserError, match="small letters, digits"):
        write_card(name, card("sorts"), file)
    assert file.read_bytes() == before


def test_a_damaged_file_of_cards_is_not_written_over(folder):
    file, this = folder / "networks.yaml", card("sorts")
    file.write_text("sorts: {seed: 1}")
    with pytest.raises(UserError, match=r"sorts\."):
        write_card("other", this, file)
    assert file.read_text() == "sorts: {seed: 1}"


def test_a_card_cannot_be_changed(folder):
    with pytest.raises(ValidationError, match="frozen"):
        card("sorts").seed = 4


# The score on the simulated survey -----------------------------------------------------------


def test_the_same_network_has_the_same_score(folder):
    for name in cards():
        this = card(name)
        assert check_score(load_network(name, CPU), this.check) == pytest.approx(
            this.check.value, abs=1e-4
        )


def always(network, chosen):
    """Let a network for classes give one class, whatever it sees."""
    with torch.no_grad():
        network.model.head.weight.zero_()
        network.model.head.bias.copy_(torch.eye(len(network.classes))[chosen])
    return network


@pytest.mark.parametrize("kind", ["five", "spirals", "rings"])
def test_the_share_of_each_class_is_the_score_of_its_name(tmp_path, kind):
    network = load_checkpoint(make(tmp_path, "a", kind), CPU)
    scores = []
    for chosen in range(len(network.classes)):
        check = new_check(always(network, chosen), "decals", n=40, seed=5)
        scores.append(check.value)
        assert (check.metric, check.n, check.telescope) == ("accuracy", 40, "decals")
    assert sum(scores) == pytest.approx(1)
    assert min(scores) >= 0.05


def test_votes_are_scored_as_the_loss_scores_them(tmp_path):
    for kind, telescope in (("votes", "sdss"), ("decals", "decals")):
        network = load_checkpoint(make(tmp_path, kind, kind), CPU)
        check = new_check(network, telescope, n=5, seed=8)
        truth, files = network_check._pictures("any", 5, 8, telescope)
        pixels = torch.tensor(np.stack([read_image(file, 16, 0.5) for file in files]))
        tree = network.model.tree
        votes = torch.tensor(volunteer_votes(truth, tree, telescope, seed=8), dtype=torch.float64)
        prepare = partial(to_float, mean=SHOWN["mean"], std=SHOWN["std"])
        with torch.inference_mode():  # one pass, no dropout: the mixture is one distribution
            loss = vote_loss(network.model.eval()(prepare(pixels)).double(), votes, tree)
        assert check.metric == "nats"
        assert check.value == pytest.approx(float(loss), rel=1e-4)


def test_fractions_are_scored_by_their_error(tmp_path):
    network = load_checkpoint(make(tmp_path, "a", "fractions"), CPU)
    check = new_check(network, n=8, seed=4)
    truth = sample_galaxies(8, 4)
    votes = cumulative_fractions(volunteer_votes(truth, GZ2, "sdss", seed=4))
    _, files = network_check._pictures("any", 8, 4, "sdss")
    given = network.predict(np.stack([read_image(file, 16, 0.5) for file in files])).numpy()
    assert check.metric == "RMSE"
    assert check.value == pytest.approx(np.sqrt(np.mean((given - votes) ** 2)), abs=1e-5)


def test_classes_that_simulated_galaxies_do_not_have(tmp_path):
    network = load_checkpoint(make(tmp_path, "a", "moods"), CPU)
    assert new_check(network) is None
    check = Check(metric="accuracy", value=0.5, n=5, seed=0, telescope="sdss")
    with pytest.raises(ValueError, match="got glad, sad"):
        check_score(network, check)
    assert Card.model_validate(dict(card_of(tmp_path / "a.safetensors"))).check is None
