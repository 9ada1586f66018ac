"""Known networks with a new head: every one, and weights that are all there or refused."""

import copy
import json
import pickle
import types

import huggingface_hub.constants as hub
import numpy as np
import pytest
import timm
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.torch import save
from sklearn.datasets import load_sample_images
from torch import nn
from torchvision import models
from torchvision.transforms.functional import to_tensor

from galhelpers.learning.checkpoint import load_checkpoint, save_checkpoint
from galhelpers.models import Backbone, FractionNet, VoteEnsemble, VoteNet, backbone, build
from galhelpers.models.checkpoint_file import write_tensors
from galhelpers.models.pretrained import PACKAGED, TIMM, Weights, fill, load_encoder, read_weights
from galhelpers.trees import GZ2

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
PICTURES = {"size": 32, "crop": 0.5, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
WIDTHS = (4, 4, 8)

# Name, side of the pictures, features, stages with the head.
KNOWN = [
    ("resnet18", 32, 512, 6),
    ("resnet50", 32, 2048, 6),
    ("densenet121", 32, 1024, 7),
    ("efficientnet_b0", 32, 1280, 9),
    ("efficientnet_lite0", 32, 1280, 9),
    ("xception", 64, 2048, 15),
    ("small_resnet", 32, 128, 8),
]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def pictures(n=2, side=32):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1))


def shaken(net, seed=0):
    """The same network with statistics that are not those of a fresh one."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


def test_all_known_networks_are_tested():
    assert {name for name, *_ in KNOWN} == {"small_resnet", *TIMM}


@pytest.mark.parametrize(("name", "side", "features", "stages"), KNOWN)
def test_every_known_network_has_features_and_stages(name, side, features, stages):
    net = backbone(name, 3).eval()
    with torch.no_grad():
        x = pictures(side=side)
        encoded = net.encode(x)
        assert encoded.shape == (2, features) == (2, net.head.in_features)
        torch.testing.assert_close(net(x), net.head(encoded))
    assert net(x).shape == (2, 3)
    assert net.normalisation is None
    assert len(net.stages) == stages
    staged = [id(p) for stage in net.stages for p in stage]
    assert sorted(staged) == sorted(id(p) for p in net.parameters()), "each once"
    assert net.stages[-1] == list(net.head.parameters())
    # From the input to the head: the first stage sees the picture, the last but one the features.
    names = {id(p): name for name, p in net.named_parameters()}
    order = [min(list(names).index(id(p)) for p in stage) for stage in net.stages]
    assert order == sorted(order)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121", "efficientnet_b0"])
def test_files_with_torchvisions_names_give_torchvisions_features(tmp_path, name):
    theirs = shaken(models.get_model(name))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = backbone(name, 3, tmp_path / "weights.pth").eval()
    got, x = [], pictures()
    last = [module for module in theirs.modules() if isinstance(module, nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _, inputs: got.append(inputs[0]))
    with torch.no_grad():
        theirs(x)
        torch.testing.assert_close(ours.encode(x), got[0], rtol=1e-4, atol=1e-5)
    assert ours.normalisation is None, "a state dictionary does not say"
    # A file from before 2018 has no counters of batches.
    old = {k: v for k, v in theirs.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "weights.pth")
    again = backbone(name, 3, tmp_path / "weights.pth").eval()
    with torch.no_grad():
        assert torch.equal(again.encode(x), ours.encode(x))


def test_dropout_before_the_head_is_the_known_networks_or_our_own():
    assert backbone("efficientnet_b0", 2).dropout.p == 0.2
    assert backbone("resnet18", 2).dropout.p == 0
    assert backbone("small_resnet", 2, widths=WIDTHS).dropout.p == 0.2
    assert backbone("resnet18", 2, dropout=0.7).dropout.p == 0.7
    small = backbone("small_resnet", 2, widths=WIDTHS, dropout=0.5)
    x = pictures(8)
    assert torch.equal(small.eval().encode(x), small.eval().encode(x))
    small.train()
    for module in small.modules():
        module.training = not isinstance(module, nn.BatchNorm2d)
    assert torch.equal(small.encode(x), small.encode(x)), "none is left inside the encoder"
    assert not torch.equal(small(x), small(x))


def test_without_colour_the_order_of_the_colours_does_not_matter():
    torch.manual_seed(0)
    grey = backbone("resnet18", 2, colour=False).eval()
    seeing = copy.deepcopy(grey)
    seeing.colour = True
    x = pictures()
    with torch.no_grad():
        torch.testing.assert_close(grey(x), grey(x[:, [2, 0, 1]]))
        assert not torch.allclose(seeing(x), seeing(x[:, [2, 0, 1]]))


def trained(tmp_path, architecture, **arguments):
    torch.manual_seed(0)
    net = shaken(build(architecture, **arguments))
    votes = architecture.startswith("vote")
    path = save_checkpoint(
        tmp_path / f"{architecture}.safetensors", net, architecture=architecture,
        arguments=arguments, preprocessing=PICTURES | ({"passes": 2} if votes else {}),
        classes=net.tree.columns if votes else list("abcdefg"[: arguments["outputs"]]),
        task="votes" if votes else "classes",
    )  # fmt: skip
    return net, path


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("small_resnet", {"outputs": 5, "widths": WIDTHS}),
        ("vote_net", {"tree": "decals", "encoder": "small", "widths": WIDTHS}),
        ("vote_ensemble", {"members": 2, "tree": "decals", "encoder": "small", "widths": WIDTHS}),
        ("backbone", {"name": "small_resnet", "outputs": 4, "widths": WIDTHS}),
    ],
)
def test_a_checkpoint_of_the_course_gives_its_encoder_and_normalisation(
    tmp_path, architecture, arguments
):
    net, path = trained(tmp_path, architecture, **arguments)
    torch.manual_seed(1)
    ours = backbone("small_resnet", 2, path, widths=WIDTHS).eval()
    first = net.members[0] if isinstance(net, VoteEnsemble) else net
    with torch.no_grad():
        assert torch.equal(ours.encode(pictures()), first.encode(pictures()))
    assert ours.normalisation == (PICTURES["mean"], PICTURES["std"])
    assert ours.start.endswith(f"{architecture}.safetensors")
    with pytest.raises(ValueError, match=r"size mismatch for .*stem\.weight"):
        backbone("small_resnet", 2, path)  # of another width
    with pytest.raises(ValueError, match="no weights for small_resnet"):
        backbone("small_resnet", 2, "imagenet")


def test_an_efficientnet_that_learned_votes_without_colour(tmp_path):
    net, path = trained(tmp_path, "vote_net", tree="gz2", colour=False)
    with pytest.raises(ValueError, match="colour=False"):
        backbone("efficientnet_b0", 2, path)
    ours = backbone("efficientnet_b0", 2, path, colour=False).eval()
    with torch.no_grad():
        assert torch.equal(ours.encode(pictures()), net.encode(pictures()))
    with pytest.raises(ValueError, match=r'Missing key.*"conv1\.weight"'):
        backbone("resnet18", 2, path, colour=False)


@pytest.mark.parametrize(("name", "side"), [known[:2] for known in KNOWN])
def test_a_backbone_is_rebuilt_from_its_checkpoint_alone(tmp_path, name, side):
    torch.manual_seed(0)
    known = tmp_path / "known.pth"
    torch.save(shaken(backbone(name, 2)).encoder.state_dict(), known)
    net = backbone(name, 3, known, dropout=0.3).eval()
    assert net.start.endswith("known.pth")
    known.unlink()
    # A name for the weights to start from is left out of the checkpoint.
    for number, given in enumerate((net.arguments, net.arguments | {"weights": str(known)})):
        path = save_checkpoint(
            tmp_path / f"{number}.safetensors", net, architecture="backbone", arguments=given,
            preprocessing=PICTURES, classes=list("abc"),
        )  # fmt: skip
        loaded = load_checkpoint(path, torch.device("cpu"))
        assert same(loaded.model.state_dict(), net.state_dict())
        assert loaded.model.dropout.p == 0.3
        assert loaded.model.normalisation == (PICTURES["mean"], PICTURES["std"])
        assert loaded.model.start.endswith(path.name)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    expected = (torch.tensor(pixels) / 255 - torch.tensor(PICTURES["mean"])[:, None, None]) / (
        torch.tensor(PICTURES["std"])[:, None, None]
    )
    with torch.no_grad():
        torch.testing.assert_close(loaded.predict(pixels), net(expected).softmax(1))


def rewrite(path, state, **metadata):
    """Write a checkpoint again with other contents, and a hash that fits them."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | metadata
    write_tensors(path, metadata, state)


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("backbone", {"name": "efficientnet_b0", "outputs": 3}),
        ("vote_net", {"tree": "decals"}),
        ("vote_ensemble", {"members": 2, "tree": "decals"}),
    ],
)
def test_checkpoints_with_torchvisions_names_of_efficientnet_can_still_be_read(
    tmp_path, architecture, arguments
):
    net, path = trained(tmp_path, architecture, **arguments)
    theirs = models.efficientnet_b0().state_dict()
    names = dict(zip(timm.create_model("efficientnet_b0").state_dict(), theirs, strict=True))
    state = {}
    for name, value in net.state_dict().items():
        before, inside, layer = name.rpartition("encoder.")
        state[before + inside + names.get(layer, layer)] = value
    # As one with torchvision's network inside would have been saved.
    assert any(name.endswith("encoder.features.1.0.block.0.0.weight") for name in state)
    assert not any("conv_stem" in name for name in state)
    rewrite(path, state)
    old = load_checkpoint(path, torch.device("cpu"))
    assert same(old.model.state_dict(), net.state_dict())


@pytest.mark.parametrize(
    ("stranger", "named"),
    [
        ({"pretrained": True}, "pretrained"),
        ({"pretrained": True, "pretrained_cfg": {"url": "HERE/stolen.pth"}}, "pretrained"),
        ({"pretrained": True, "pretrained_cfg_overlay": {"hf_hub_id": "some/where"}}, "pretrained"),
        ({"checkpoint_path": "HERE/stolen.pth"}, "checkpoint_path"),
        ({"weights": "imagenet"}, "weights"),
        ({"widths": [4, 8]}, "widths"),
        ({"name": "hf-hub:some/where"}, "hf-hub:some/where"),
        ({"name": "local-dir:/etc"}, "local-dir:/etc"),
        ({"name": "tf_efficientnet_lite0"}, "tf_efficientnet_lite0"),
        ({"outputs": "many"}, "many"),
    ],
    ids=str,
)
def test_a_strangers_checkpoint_does_not_make_the_program_fetch_a_file(
    tmp_path, weights_hub, stranger, named
):
    """Arguments come from the file: none of them reaches a library that would act on them."""
    net = backbone("efficientnet_lite0", 2)
    path = save_checkpoint(
        tmp_path / "stranger.safetensors", net, architecture="backbone",
        arguments=net.arguments, preprocessing=PICTURES, classes=["a", "b"],
    )  # fmt: skip
    arguments = json.dumps(net.arguments | stranger).replace("HERE", weights_hub.address)
    rewrite(path, net.state_dict(), arguments=arguments)
    with pytest.raises(ValueError, match=named):
        load_checkpoint(path, torch.device("cpu"))
    assert not [path for _, path in weights_hub.asked if not path.startswith("/api/")]


def test_whatever_somebody_put_behind_the_features_is_left_out(tmp_path):
    torch.manual_seed(0)
    theirs = shaken(timm.create_model("resnet18", num_classes=7))
    torch.save(theirs.state_dict(), tmp_path / "tuned.pth")
    ours = backbone("resnet18", 2, tmp_path / "tuned.pth")
    assert torch.equal(ours.encoder.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)


def test_weights_that_do_not_fit_change_nothing():
    torch.manual_seed(0)
    net = timm.create_model("resnet18")
    encoder = backbone("resnet18", 2).encoder
    before = copy.deepcopy(encoder.state_dict())
    for change, name in (
        ("missing", "layer4.1.bn2.weight"),  # the last one: all others would be copied by then
        ("further", "layer5.0.conv1.weight"),
        ("shape", "layer4.1.conv2.weight"),
    ):
        state = {name: value + 1 for name, value in net.state_dict().items()}
        if change == "missing":
            del state[name]
        else:
            state[name] = torch.zeros(512, 512, 1, 1)
        with pytest.raises(ValueError, match=name):
            fill(encoder, Weights("these", state))
        assert same(encoder.state_dict(), before)


def test_files_that_hold_no_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        backbone("resnet18", 2, tmp_path / "absent.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    (tmp_path / "code.pth").write_bytes(pickle.dumps(types.SimpleNamespace(weights=1), protocol=2))
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("bad.safetensors", "code.pth", "list.pth"):
        with pytest.raises(ValueError, match=name):
            backbone("resnet18", 2, tmp_path / name)
    with pytest.raises(ValueError, match=r"'resnet19'.*small_resnet, resnet18"):
        backbone("resnet19", 2)
    with pytest.raises(ValueError, match="widths"):
        Backbone("resnet18", 2, widths=WIDTHS)


def test_a_random_start_says_so():
    net = backbone("resnet18", 2)
    assert net.start == "random"
    assert net.normalisation is None


def test_imagenets_weights_are_fetched_once(weights_hub, monkeypatch):
    torch.manual_seed(3)
    theirs = timm.create_model("resnet18")
    place = "/timm/resnet18.tv_in1k/resolve/main/model.safetensors"
    weights_hub.files[place] = save(theirs.state_dict())
    net = backbone("resnet18", 2, "imagenet")
    assert net.normalisation == IMAGENET
    assert net.start == "imagenet"
    assert torch.equal(net.encoder.conv1.weight, theirs.conv1.weight)
    for offline in (False, True):
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", offline)
        again = backbone("resnet18", 2, "imagenet")
        assert same(again.encoder.state_dict(), net.encoder.state_dict())
    assert weights_hub.asked.count(("GET", place)) == 1


def test_imagenets_weights_that_cannot_be_fetched_are_an_error(weights_hub, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"resnet18\.tv_in1k"):
        backbone("resnet18", 2, "imagenet")  # the hub has no such file
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=r"resnet18\.tv_in1k"):
        backbone("resnet18", 2, "imagenet")
    with pytest.raises(FileNotFoundError, match=r"efficientnet_b0\.ra_in1k"):
        load_encoder(VoteNet("decals"), "imagenet")


def test_vote_net_and_backbone_load_the_same(tmp_path):
    torch.save(shaken(timm.create_model("efficientnet_b0")).state_dict(), tmp_path / "b0.pth")
    votes = VoteNet("decals")
    load_encoder(votes, tmp_path / "b0.pth")
    ours = backbone("efficientnet_b0", 2, tmp_path / "b0.pth")
    with torch.no_grad():
        x = pictures()
        assert torch.equal(votes.eval().encode(x), ours.eval().encode(x))


def test_imagenets_weights_that_are_installed_know_pictures():
    """Which ImageNet class the sample pictures of two libraries have, by the whole network."""
    given = read_weights("efficientnet_lite0", "imagenet")
    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(given.state)
    palace, flower = (Image.fromarray(one) for one in load_sample_images().images)
    officer = Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False))
    for picture, number in ((palace, 698), (flower, 985), (officer, 652)):
        seen = to_tensor(ImageOps.fit(picture, (224, 224), Image.Resampling.BICUBIC))
        mean, std = (torch.tensor(values)[:, None, None] for values in given.normalisation)
        with torch.no_grad():
            assert net(((seen - mean) / std)[None]).argmax() == number


def test_installed_weights_reach_the_encoder_as_they_are():
    ours = backbone("efficientnet_lite0", 2, "imagenet").eval()
    theirs = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    state = read_weights("efficientnet_lite0", "imagenet").state
    theirs.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier.")})
    with torch.no_grad():
        x = pictures(side=64)
        assert torch.equal(ours.encode(x), theirs(x))
    assert ours.start == "imagenet"
    assert ours.normalisation == ([0.5] * 3, [0.5] * 3)


def test_a_package_of_weights_that_is_not_there_or_damaged(tmp_path, monkeypatch):
    monkeypatch.setitem(PACKAGED, "efficientnet_lite0", "weights_in_a_package")
    with pytest.raises(FileNotFoundError, match="weights_in_a_package"):
        backbone("efficientnet_lite0", 2, "imagenet")
    folder = tmp_path / "weights_in_a_package"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('its code ran')")
    (folder / "models" / "lite0-57934424.pth").write_bytes(b"not what it was")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileNotFoundError, match="SHA-256"):
        backbone("efficientnet_lite0", 2, "imagenet")


def test_fractions_of_a_known_network_obey_the_tree():
    net = shaken(FractionNet("small_resnet", widths=WIDTHS))
    with torch.no_grad():
        net.head.weight.mul_(20)
        shown = pictures(5) * torch.arange(5).view(5, 1, 1, 1)
        given = net(shown)
    assert given.shape == (5, 37)
    assert not GZ2.check(given.double().numpy(), atol=1e-5)
    assert given.std(dim=0).max() > 0.01
    again = build("fraction_net", name="small_resnet", widths=WIDTHS).eval()
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(shown), given)
    with pytest.raises(ValueError, match="outputs"):
        build("fraction_net", name="small_resnet", outputs=5)


def test_fractions_start_from_the_encoder_of_another_network(tmp_path):
    start = shaken(backbone("small_resnet", 3, widths=WIDTHS))
    file = save_checkpoint(
        tmp_path / "start.safetensors", start, architecture="backbone", arguments=start.arguments,
        preprocessing=PICTURES, classes=list("abc"),
    )  # fmt: skip
    net = FractionNet("small_resnet", widths=WIDTHS)
    fill(net.encoder, read_weights("small_resnet", file))
    assert same(net.encoder.state_dict(), start.encoder.state_dict())
