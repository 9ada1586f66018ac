"""Encoders of networks for votes that start from weights: used when named, and never half."""

import pytest
import torch
from torchvision.models import efficientnet_b0

from galhelpers.learning.checkpoint import save_checkpoint
from galhelpers.models import VoteEnsemble, VoteNet
from galhelpers.models.checkpoint_file import write_tensors
from galhelpers.models.pretrained import at_hand, load_encoder

SMALL = {"tree": "decals", "encoder": "small", "widths": (4, 4, 8)}
PICTURES = {"size": 16, "crop": 1, "mean": [0.1] * 3, "std": [0.2] * 3}


def net(seed, **options):
    torch.manual_seed(seed)
    return VoteNet(**(SMALL | options))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


def test_a_state_dictionary_fills_the_encoder_and_leaves_the_head(tmp_path):
    trained, new = net(0), net(1, tree="gz2")  # another tree: only the head differs
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    head = {name: value.clone() for name, value in new.head.state_dict().items()}
    load_encoder(new, tmp_path / "weights.pth")
    assert same(new.encoder.state_dict(), trained.encoder.state_dict())
    assert same(new.head.state_dict(), head)


@pytest.mark.parametrize("architecture", ["vote_net", "vote_ensemble"])
def test_a_checkpoint_of_the_course(tmp_path, architecture):
    torch.manual_seed(0)
    ensemble = architecture == "vote_ensemble"
    trained = VoteEnsemble(2, **SMALL) if ensemble else VoteNet(**SMALL)
    path = save_checkpoint(
        tmp_path / "net.safetensors",
        trained,
        architecture=architecture,
        arguments=SMALL | ({"members": 2} if ensemble else {}),
        preprocessing=PICTURES | {"passes": 1},
        classes=trained.tree.columns,
        task="votes",
    )
    new = net(1)
    load_encoder(new, path)
    first = trained.members[0] if ensemble else trained
    assert same(new.encoder.state_dict(), first.encoder.state_dict())


def test_torchvisions_names(tmp_path):
    torch.manual_seed(0)
    theirs = efficientnet_b0()
    torch.save(theirs.state_dict(), tmp_path / "b0.pth")
    ours = VoteNet("decals", "efficientnet_b0")
    load_encoder(ours, tmp_path / "b0.pth")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = theirs.eval().avgpool(theirs.features(x)).flatten(1)
        torch.testing.assert_close(ours.eval().encode(x), expected, rtol=1e-4, atol=1e-6)


def test_weights_that_do_not_fit_are_refused_and_nothing_is_changed(tmp_path):
    torch.save(net(0, widths=(4, 4, 6)).state_dict(), tmp_path / "other.pth")
    new = net(1)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    with pytest.raises(ValueError, match=r"other\.pth.*size mismatch"):
        load_encoder(new, tmp_path / "other.pth")
    assert same(new.state_dict(), before)
    for content in ({}, [1, 2], {"stem.weight": 1}):
        torch.save(content, tmp_path / "none.pth")
        with pytest.raises(ValueError, match=r"none\.pth"):
            load_encoder(new, tmp_path / "none.pth")
    assert same(new.state_dict(), before)


def test_damaged_or_hostile_starts_are_refused_and_nothing_is_changed(tmp_path):
    """The hash of a checkpoint counts here too, and what it says of its pictures is checked."""
    path = save_checkpoint(
        tmp_path / "start.safetensors", net(0), architecture="vote_net", arguments=SMALL,
        preprocessing=PICTURES | {"passes": 1}, classes=net(0).tree.columns, task="votes",
    )  # fmt: skip
    whole, new = path.read_bytes(), net(1)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"start\.safetensors.*SHA-256"):
        load_encoder(new, path)
    for text in ("[]", '{"mean": [1], "std": 3}', "[" * 100_000, '{"mean": 1, "mean": 1}', "{"):
        write_tensors(path, {"preprocessing": text}, net(0).state_dict())
        with pytest.raises(ValueError, match=r"start\.safetensors.*preprocessing"):
            load_encoder(new, path)
    for content in (b"", b"\x80\x02}q\x00.", b"PK\x03\x04" + b"\0" * 99, b"\x80\x02K\x01\x85."):
        (tmp_path / "start.pth").write_bytes(content)
        with pytest.raises(ValueError, match=r"start\.pth"):
            load_encoder(new, tmp_path / "start.pth")
    assert same(new.state_dict(), before)


def test_a_missing_file_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors.*Notebook 10 writes"):
        load_encoder(net(0), tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match=r"'b0'.*small, efficientnet_b0"):
        VoteNet("decals", "b0")


def test_weights_at_hand(tmp_path, monkeypatch):
    """Lite0's are a package; others are there once timm has fetched them, and nobody is asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert at_hand("efficientnet_lite0")
    assert not at_hand("small_resnet")
    assert not at_hand("resnet18")
    fetched = tmp_path / "models--timm--resnet18.tv_in1k"
    (fetched / "refs").mkdir(parents=True)
    (fetched / "refs" / "main").write_text("0" * 40)
    (fetched / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (fetched / "snapshots" / ("0" * 40) / "model.safetensors").write_bytes(b"")
    assert at_hand("resnet18")
