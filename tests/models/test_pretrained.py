"""Encoders that start from weights: used when named, and never half."""

import pytest
import torch
from torchvision.models import EfficientNet_B0_Weights, efficientnet_b0

from galhelpers.learning.checkpoint import save_checkpoint
from galhelpers.models import VoteEnsemble, VoteNet
from galhelpers.models.pretrained import load_encoder

SMALL = {"tree": "decals", "encoder": "small", "widths": (4, 4, 8)}


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
        arguments=SMALL,
        preprocessing={},
        classes=[],
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
    expected = theirs.eval().avgpool(theirs.features(x)).flatten(1)
    assert torch.allclose(ours.eval().encode(x), expected, atol=1e-6)


def test_weights_that_do_not_fit_are_refused_and_nothing_is_changed(tmp_path):
    torch.save(net(0, widths=(4, 4, 6)).state_dict(), tmp_path / "other.pth")
    new = net(1)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    with pytest.raises(ValueError, match=r"another encoder: .* is of shape .*, expected"):
        load_encoder(new, tmp_path / "other.pth")
    assert same(new.state_dict(), before)
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="is absent there"):
        load_encoder(new, tmp_path / "empty.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="Expected a dictionary of names and tensors"):
        load_encoder(new, tmp_path / "list.pth")


def test_a_missing_file_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights .*Notebooks 06 and 07 write"):
        load_encoder(net(0), tmp_path / "absent.safetensors")


@pytest.fixture
def imagenet(tmp_path, serve_weights):
    """A file of torchvision's name on a server of our own, and its place in an empty cache."""
    torch.manual_seed(3)
    file = tmp_path / "efficientnet_b0_test.pth"
    torch.save(efficientnet_b0().state_dict(), file)
    return file, serve_weights(EfficientNet_B0_Weights.IMAGENET1K_V1, file)[0]


def test_imagenets_weights_are_fetched_once_and_then_taken_from_the_cache(imagenet, monkeypatch):
    file, cached = imagenet
    # The hash in torchvision's own file name is checked; ours has none.
    monkeypatch.setattr(torch.hub, "HASH_REGEX", torch.hub.re.compile(r"(b0_test)"))
    new = VoteNet("decals", "efficientnet_b0")
    with pytest.raises(FileNotFoundError, match=r"ImageNet's weights are not in .*hash"):
        load_encoder(new, "imagenet")  # a file that is not what its name promises
    assert not cached.exists()
    cached.parent.mkdir(parents=True, exist_ok=True)
    file.rename(cached)
    load_encoder(new, "imagenet")
    expected = torch.load(cached, weights_only=True)
    assert torch.equal(new.encoder.features[0][0].weight, expected["features.0.0.weight"])


def test_imagenets_weights_without_a_network(imagenet):
    imagenet[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"could not be fetched .*put it there"):
        load_encoder(VoteNet("decals", "efficientnet_b0"), "imagenet")
    with pytest.raises(ValueError, match="There is no encoder"):
        VoteNet("decals", "b0")
