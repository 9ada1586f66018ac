import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from galhelpers.data.augment import dihedral_views
from galhelpers.learning.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from galhelpers.models import build
from galhelpers.models.checkpoint_file import read_tensors, write_tensors
from galhelpers.trees import DECALS, GZ2

ROOT = Path(__file__).resolve().parents[2]

PREPROCESSING = {"size": 16, "crop": 0.5, "mean": [0.1, 0.1, 0.1], "std": [0.2, 0.2, 0.2]}


def save(path, **options):
    torch.manual_seed(0)
    arguments = {"outputs": 5, "widths": [8, 8]}
    model = build("repaired_convnet", **arguments).eval()
    facts = {"classes": list("abcde"), "provenance": {"notebook": "03"}} | options
    save_checkpoint(
        path, model, architecture="repaired_convnet", arguments=arguments,
        preprocessing=PREPROCESSING, **facts,
    )  # fmt: skip
    return model


def test_round_trip(tmp_path):
    model = save(tmp_path / "model.safetensors")
    checkpoint = load_checkpoint(tmp_path / "model.safetensors", torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 255, (7, 3, 16, 16), dtype=np.uint8)
    probabilities = checkpoint.predict(pixels)
    images = (torch.from_numpy(pixels) / 255 - 0.1) / 0.2
    torch.testing.assert_close(probabilities, model(images).softmax(1).detach())
    assert checkpoint.classes == list("abcde")
    assert checkpoint.preprocessing == PREPROCESSING
    assert checkpoint.provenance == {"notebook": "03"}


def test_the_same_network_gives_the_same_bytes(tmp_path):
    files = [tmp_path / f"{number}.safetensors" for number in range(5)]
    for file in files:
        save(file)
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], "pt") as file:
        assert file.metadata()["classes"] == '["a", "b", "c", "d", "e"]'


def test_predictions_are_averaged_over_views(tmp_path):
    torch.manual_seed(0)
    model = build("small_resnet", widths=[8, 8], blocks=1).eval()
    nn.init.normal_(model.features[0].conv2.weight)
    arguments = {"widths": [8, 8], "blocks": 1}
    pixels = np.random.default_rng(0).integers(0, 255, (5, 3, 16, 16), dtype=np.uint8)
    found = {}
    for views in (1, 8):
        path = save_checkpoint(
            tmp_path / f"{views}.safetensors", model, architecture="small_resnet",
            arguments=arguments, preprocessing=PREPROCESSING | {"views": views},
            classes=list("abcde"),
        )  # fmt: skip
        found[views] = load_checkpoint(path, torch.device("cpu")).predict(pixels)
    images = (torch.from_numpy(pixels) / 255 - 0.1) / 0.2
    with torch.no_grad():
        each = [model(view).softmax(1) for view in dihedral_views(images)]
    torch.testing.assert_close(found[1], each[0])
    torch.testing.assert_close(found[8], torch.stack(each).mean(0))
    assert not torch.allclose(found[1], found[8], atol=1e-4)


def test_classes_in_words_and_numbers(tmp_path):
    save(tmp_path / "model.safetensors")
    checkpoint = load_checkpoint(tmp_path / "model.safetensors", torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 255, (7, 3, 16, 16), dtype=np.uint8)
    table, expected = checkpoint.classify(pixels), checkpoint.predict(pixels).numpy()
    assert list(table) == ["class_name", "p_a", "p_b", "p_c", "p_d", "p_e"]
    assert np.array_equal(table.iloc[:, 1:], expected)
    assert table["class_name"].tolist() == ["abcde"[i] for i in expected.argmax(axis=1)]


@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf, 3e38])
def test_a_network_without_finite_answers_is_refused(tmp_path, weight):
    """A training that diverged leaves such weights. Their hash is right."""
    save(tmp_path / "model.safetensors")
    checkpoint = load_checkpoint(tmp_path / "model.safetensors", torch.device("cpu"))
    about, tensors = read_tensors(tmp_path / "model.safetensors")
    write_tensors(
        tmp_path / "model.safetensors",
        about,
        {k: v * weight if v.is_floating_point() else v for k, v in tensors.items()},
    )
    with pytest.raises(CheckpointError, match="NaN"):
        load_checkpoint(tmp_path / "model.safetensors")
    with torch.no_grad():
        list(checkpoint.model.parameters())[-1][2] = np.nan
    table = checkpoint.classify(np.zeros((1, 3, 16, 16), np.uint8))
    assert table["class_name"].tolist() == [""]
    assert table[checkpoint.columns].isna().all(axis=None)


def test_fractions_give_the_five_class_selection(tmp_path):
    """Whatever the picture is, this network says: featured, not edge-on, clear spiral arms."""
    model = build("repaired_convnet_37", widths=[8, 8])
    scores = torch.zeros(GZ2.n_answers)
    for name in ("Class1.2", "Class2.2", "Class4.1"):
        scores[GZ2.published.index(name)] = 5
    with torch.no_grad():
        *_, weight, bias = model.parameters()
        weight.zero_()
        bias.copy_(scores)
    save_checkpoint(
        tmp_path / "f.safetensors", model, architecture="repaired_convnet_37",
        arguments={"widths": [8, 8]}, preprocessing=PREPROCESSING, classes=GZ2.published,
        task="fractions",
    )  # fmt: skip
    pixels = np.zeros((2, 3, 16, 16), np.uint8)
    table = load_checkpoint(tmp_path / "f.safetensors").classify(pixels)
    assert table["class_name"].tolist() == ["spiral"] * 2
    assert list(table)[1:] == [f"p_{name}" for name in GZ2.published]


def test_wrong_images_are_refused(tmp_path):
    save(tmp_path / "model.safetensors")
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"\(n, 3, 16, 16\).*uint8.*\(1, 3, 8, 8\)"):
        checkpoint.predict(np.zeros((1, 3, 8, 8), np.uint8))


def test_a_pickle_is_never_run(tmp_path):
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(b"\x80\x04cposix\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(ValueError, match=r"bomb\.safetensors"):
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_header_is_readable_text(tmp_path):
    save(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        header = file.metadata()
    assert json.loads(header["classes"]) == list("abcde")


def votes_network(path, **preprocessing):
    torch.manual_seed(0)
    arguments = {"members": 2, "tree": "decals", "encoder": "small", "widths": (4, 4, 8)}
    model = build("vote_ensemble", **arguments)
    return save_checkpoint(
        path,
        model,
        architecture="vote_ensemble",
        arguments=arguments,
        preprocessing=PREPROCESSING | preprocessing,
        classes=DECALS.columns,
        task="votes",
    )


def test_a_network_for_votes_gives_their_distribution(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)
    plain = load_checkpoint(votes_network(tmp_path / "votes.safetensors", passes=6))
    posterior = plain.posterior(pixels)
    assert posterior.concentration.shape == (2 * 6, 5, 34)
    table = plain.classify(pixels)
    assert list(table) == ["class_name", *plain.columns]
    assert len(plain.columns) == 34 * 8 + 10
    with pytest.raises(ValueError, match=r"vote_ensemble.*posterior"):
        plain.predict(pixels)
    assert set(table["class_name"]) == {""}  # the five classes are Galaxy Zoo 2's
    column = DECALS.index("bar_no")
    assert np.allclose(table["bar_no_mean"], posterior.mean[:, column], atol=1e-6)
    assert np.allclose(table["bar_no_share"], posterior.shares[:, column], atol=1e-6)
    assert np.allclose(table["bar_asked"], posterior.asked[:, 3], atol=1e-6)
    low, high = (table[f"bar_no_{end}"].to_numpy() for end in ("q05", "q95"))
    assert np.allclose(posterior.cdf(np.tile(low[:, None], 34))[:, column], 0.05, atol=1e-4)
    assert np.allclose(posterior.cdf(np.tile(high[:, None], 34))[:, column], 0.95, atol=1e-4)
    variance = table["bar_no_aleatoric"] ** 2 + table["bar_no_epistemic"] ** 2
    assert np.allclose(variance, (posterior.aleatoric + posterior.epistemic)[:, column], atol=1e-6)
    # The share of all who say so cannot be larger than the share who are asked.
    assert (table["bar_no_share_q05"] < table["bar_no_share"]).all()
    assert (table["bar_no_share"] < table["bar_no_share_q95"]).all()


def test_the_calibration_of_a_network_for_votes_is_applied(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)
    plain = load_checkpoint(votes_network(tmp_path / "plain.safetensors", passes=3))
    # All weight on the factor 4: four times as sure, with the same expected shares.
    surer = votes_network(
        tmp_path / "surer.safetensors",
        passes=3,
        factors=[1.0, 4.0],
        weights=[[0.0] * 10, [1.0] * 10],
    )
    posterior, other = plain.posterior(pixels), load_checkpoint(surer).posterior(pixels)
    assert torch.allclose(other.concentration, 4 * posterior.concentration)
    assert np.allclose(other.mean, posterior.mean)


def test_other_networks_have_no_distribution(tmp_path):
    save(tmp_path / "net.safetensors")
    loaded = load_checkpoint(tmp_path / "net.safetensors")
    assert all(name.startswith("p_") for name in loaded.columns)
    side = loaded.preprocessing["size"]
    with pytest.raises(ValueError, match=r"repaired_convnet.*classes"):
        loaded.posterior(np.zeros((1, 3, side, side), dtype=np.uint8))


def test_weights_of_16_bits_take_half_the_room_and_answer_alike(tmp_path):
    torch.manual_seed(1)
    arguments = {"outputs": 5, "widths": [32, 64]}
    model = build("repaired_convnet", **arguments).eval()
    with torch.no_grad():
        for part in model.parameters():
            part.mul_(1.5)  # answers that differ from picture to picture
    found = {}
    for half in (False, True):
        path = save_checkpoint(
            tmp_path / f"{half}.safetensors", model, architecture="repaired_convnet",
            arguments=arguments, preprocessing=PREPROCESSING, classes=list("abcde"), half=half,
        )  # fmt: skip
        pixels = np.random.default_rng(0).integers(0, 255, (20, 3, 16, 16), dtype=np.uint8)
        pixels //= np.arange(1, 21, dtype=np.uint8)[:, None, None, None]
        checkpoint = load_checkpoint(path, torch.device("cpu"))
        assert {p.dtype for p in checkpoint.model.parameters()} == {torch.float32}
        found[half] = (path.stat().st_size, checkpoint.predict(pixels))
    assert found[True][0] < 0.6 * found[False][0]
    assert found[False][1].std(dim=0).max() > 0.01
    assert (found[True][1] - found[False][1]).abs().max() < 0.002


def test_a_refusal_names_notebooks_that_write_checkpoints(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "absent.safetensors")
    (named,) = re.findall(r"Notebooks (.+?) write checkpoints", str(caught.value))
    assert re.findall(r"\d+", named)
    for number in re.findall(r"\d+", named):
        (notebook,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        assert "save_checkpoint(" in notebook.read_text(encoding="utf8"), number
