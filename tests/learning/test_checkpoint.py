import json
import pickle

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from galhelpers.data.augment import dihedral_views
from galhelpers.learning.checkpoint import load_checkpoint, save_checkpoint
from galhelpers.models import build

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


def test_wrong_images_are_refused(tmp_path):
    save(tmp_path / "model.safetensors")
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"\(n, 3, 16, 16\), got uint8 of shape \(1, 3, 8, 8\)"):
        checkpoint.predict(np.zeros((1, 3, 8, 8), np.uint8))


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(ValueError, match="not a checkpoint of this course"):
        load_checkpoint(path)
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="should carry the format"):
        load_checkpoint(path)


def test_a_pickle_is_never_run(tmp_path):
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(b"\x80\x04cposix\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_header_is_readable_text(tmp_path):
    save(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        header = file.metadata()
    assert json.loads(header["classes"]) == list("abcde")
