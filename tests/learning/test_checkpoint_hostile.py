"""Checkpoints that are damaged, contradict themselves, or come from somebody who means harm."""

import json
import os
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from galhelpers.learning import checkpoint as module
from galhelpers.learning.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from galhelpers.models import build
from galhelpers.models.checkpoint_file import MOST_BYTES, MOST_HEADER
from galhelpers.paths import UserError
from tests.learning.small_checkpoints import ARGUMENTS_OF, Parts, blank, parts, write

CPU = torch.device("cpu")
NET, NODE, SMALL, LITE = (
    parts(n) for n in ("repaired_convnet", "gupta_node", "small_resnet", "timm")
)
VOTES, FRACTIONS, LINNET = (parts(n) for n in ("vote_ensemble", "repaired_convnet_37", "linnet"))


@pytest.fixture
def refuse(tmp_path, monkeypatch):
    """Expect one line with some facts; no network is built of what the schema refuses."""

    def expect(made, *facts, built=False, name="spoiled.safetensors"):
        path = tmp_path / name
        if isinstance(made, Parts):
            write(path, made)
        elif isinstance(made, bytes):
            path.write_bytes(made)
        if not built:
            monkeypatch.setattr(module, "build", lambda *_, **__: pytest.fail("it was built"))
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path, CPU)
        message = str(caught.value)
        assert "\n" not in message
        for fact in (name, *facts):
            assert fact in message
        return message

    return expect


@pytest.mark.parametrize("name", ARGUMENTS_OF)
def test_every_architecture_can_be_read_and_classifies(tmp_path, name):
    checkpoint = load_checkpoint(write(tmp_path / "net.safetensors", parts(name)), CPU)
    table = checkpoint.classify(blank(checkpoint))
    assert list(table) == ["class_name", *checkpoint.columns]
    assert table.shape == (1, 1 + len(checkpoint.columns))
    state = checkpoint.model.state_dict()
    assert all(torch.equal(value, state[k]) for k, value in parts(name).tensors.items())


def test_nothing_in_texts_or_tensors_or_bytes_ends_in_another_error_or_an_act(course):
    """Half a minute of random damage, in a process that may not write, connect or start others."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.learning.checkpoint_fuzz", "1500"],
        cwd=course, capture_output=True, text=True, timeout=900,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(course)},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


# Arguments that reach a library ------------------------------------------------------------------


@pytest.mark.parametrize(
    "stranger",
    [
        {"pretrained": True},
        {"pretrained": True, "pretrained_cfg": {"url": "URL"}, "cache_dir": "site-packages"},
        {"pretrained": True, "pretrained_cfg": {"url": "URL"}, "cache_dir": "/site-packages"},
        {"pretrained_cfg": {"url": "URL"}},
        {"pretrained_cfg_overlay": {"hf_hub_id": "some/where"}},
        {"weights": "imagenet"},
        {"weights": "secret.pth"},
        {"checkpoint_path": "/etc/passwd"},
        {"drop_path_rate": 0.1},
        {"features_only": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("made", [LITE, NET, VOTES], ids=["backbone", "convnet", "votes"])
def test_arguments_that_load_download_or_name_a_path(refuse, made, stranger):
    refuse(made.changed("arguments", **stranger), next(iter(stranger)))


@pytest.mark.parametrize(
    "name", ["hf-hub:some/where", "local-dir:/etc", "tf_efficientnet_lite0", "../evil", ""]
)
def test_names_of_networks_that_are_not_the_courses(refuse, name):
    refuse(LITE.changed("arguments", name=name), "no backbone", name, built=True)
    refuse(VOTES.changed("arguments", encoder=name), "no encoder", name, built=True)


# Sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "field", "name", "value"),
    [
        *((NET, "arguments", "outputs", v) for v in (-5, 0, 5.5, 10**12, "5", None, True, [5])),
        *((NET, "arguments", "widths", v) for v in ([], [0], [-1, 2], [10**5], "44", [4.0], 8, {})),
        (NET, "arguments", "widths", [4] * 1000),
        *((VOTES, "arguments", "members", v) for v in (0, -1, 10**9, 2.0)),
        (VOTES, "arguments", "dropout", -0.1),
        (SMALL, "arguments", "blocks", 10**6),
        (SMALL, "arguments", "dropout", 1.5),
        (LINNET, "arguments", "size", 14000),
        (LINNET, "arguments", "image_size", 14000),
        (LINNET, "arguments", "channels", 10**9),
        *((NODE, "arguments", "tolerance", v) for v in (0, -1, 1e-300, "small")),
        (NODE, "arguments", "step_size", 1e-9),
        (NODE, "arguments", "method", "dopri8"),
        (NODE, "arguments", "gradient", ["aca"]),
        *((NET, "preprocessing", "size", v) for v in (0, -3, "64", 1, 16.0, 10**6, None, True)),
        *((NET, "preprocessing", "crop", v) for v in (0, 2, "x", 1e-300, -1, None)),
        *((NET, "preprocessing", "std", v) for v in ([0, 0, 0], [0.2] * 2, [1e-300] * 3, 0.2)),
        *(
            (NET, "preprocessing", "mean", v)
            for v in ([0.1] * 2, [0.1] * 4, None, [1e9] * 3, "abc")
        ),
        *((NET, "preprocessing", "views", v) for v in (0, "8", -1, 10**9, 2, [8])),
        *((VOTES, "preprocessing", "passes", v) for v in (0, -1, 10**9, "3", None, 2.5)),
        (VOTES, "preprocessing", "views", 8),
        (VOTES, "preprocessing", "factors", [1.0]),
        (VOTES, "preprocessing", "factors", [-1.0, 2.0]),
        (VOTES, "preprocessing", "weights", [[0.5] * 10]),
        (VOTES, "preprocessing", "weights", [[0.5] * 9, [0.5] * 9]),
        (VOTES, "preprocessing", "weights", [[0.9] * 10, [0.9] * 10]),
        (NET, "preprocessing", "passes", 5),
    ],
    ids=lambda v: str(v)[:30],
)
def test_values_out_of_bounds_or_of_another_type(refuse, made, field, name, value):
    refuse(made.changed(field, **{name: value}), name)


def test_layers_that_are_too_wide_for_pictures_of_this_size(refuse):
    wide = NET.changed("arguments", widths=[4096, 4]).changed("preprocessing", size=1024)
    refuse(wide, "4096", "1024")


def test_large_pictures_go_through_a_network_in_small_batches(tmp_path):
    checkpoint = load_checkpoint(write(tmp_path / "n.safetensors", NET), CPU)
    assert checkpoint._batch_size == 256
    checkpoint.preprocessing["size"] = 1024
    assert checkpoint._batch_size == 16


@pytest.mark.parametrize("gradient", ["aca", "adjoint", "direct"])
def test_weights_that_a_solver_cannot_follow_end_soon(refuse, gradient):
    """A fast change at a small tolerance: refused after a number of steps, not after hours."""
    wild = NODE.tensors | {"features.func.norm2.weight": torch.full((64,), 1e4)}
    made = NODE.changed("arguments", gradient=gradient, tolerance=1e-8)
    message = refuse(Parts(made.about, wild), "gupta_node", "16 x 16", built=True)
    assert "1000 steps" in message.replace(",", "") or "1000>=1000" in message


# Texts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[], {}, None, "x", 3, {"size": 16}])
def test_preprocessing_of_another_kind(refuse, value):
    refuse(NET.but(preprocessing=json.dumps(value)), "preprocessing")


@pytest.mark.parametrize("field", sorted(NET.fields))
@pytest.mark.parametrize(
    ("text", "fact"),
    [
        (None, "found none"),
        ("", "JSON"),
        ("{'a': 1}", "JSON"),
        ("[" * 100_000, "recursion"),
        ("[" * 300 + "]" * 300, "recursion"),
        ('{"a": NaN}', "JSON"),
        ('{"a": -Infinity}', "JSON"),
        ('{"a": 1, "a": 1}', "twice"),
        ('{"a": 1e999}', "found"),
        ('"' + "x" * 300_000 + '"', "300,002"),
        ("1" * 5000, "JSON"),
    ],
    ids=lambda v: str(v)[:12],
)
def test_fields_that_are_missing_or_no_json(refuse, field, text, fact):
    refuse(NET.but(**{field: text}), field, fact)


def test_a_long_text_is_refused_without_delay(refuse):
    """Words from elsewhere are cleaned before they are shown; that may not take their square."""
    start = time.process_time()
    for text in ("a" * 150_000, "a://" * 40_000):
        refuse(NET.but(architecture=json.dumps(text)), "aaaaa" if text[1] == "a" else "a://")
    assert time.process_time() - start < 5  # it was 18 seconds each


def test_fields_that_nobody_knows(refuse):
    refuse(NET.but(hook='"import os"'), "hook")


@pytest.mark.parametrize("task", ["foo", "Classes", "", ["classes"], None, "classer"])
def test_tasks_that_do_not_exist(refuse, task):
    refuse(NET.but(task=json.dumps(task)), "task")


@pytest.mark.parametrize(
    ("made", "task"),
    [(NET, "votes"), (NET, "fractions"), (VOTES, "classes"), (FRACTIONS, "classes")],
)
def test_tasks_that_the_network_is_not_for(refuse, made, task):
    refuse(made.but(task=json.dumps(task)), "task", made.fields["task"])


@pytest.mark.parametrize(
    "name",
    [
        "=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "<script>", "a\nb", "a\tb", "\tb", "", " a",
        "a ", "a\x1b[2J", "a\u202eb", "a\u200bb", "x" * 101, "\x00",
    ],
)  # fmt: skip
def test_class_names_that_are_not_harmless(refuse, name):
    refuse(NET.but(classes=json.dumps(["a", "b", name])), "classes.2")


@pytest.mark.parametrize(
    "classes", [None, 3, {}, [], [1, 2, 3], [["a"], "b", "c"], ["a", "b", "a"], "abc", [None] * 3]
)
def test_classes_that_are_no_list_of_different_names(refuse, classes):
    refuse(NET.but(classes=json.dumps(classes)), "classes")


@pytest.mark.parametrize("classes", [["a", "b"], list("abcd")])
def test_another_number_of_classes_than_the_network_gives(refuse, classes):
    refuse(NET.but(classes=json.dumps(classes)), str(len(classes)), "found 3", built=True)


def test_classes_of_votes_and_fractions_are_the_answers_of_their_tree(refuse):
    for made in (VOTES, FRACTIONS):
        names = made.fields["classes"]
        refuse(made.but(classes=json.dumps(names[::-1])), "classes")
        refuse(made.but(classes=json.dumps(names[:-1])), "classes")


def test_names_with_letters_of_any_language_digits_and_spaces_are_good(tmp_path):
    names = ["Elíptica", "渦巻銀河", '3 arms, (barred) "SB" = x']
    path = write(tmp_path / "n.safetensors", NET.but(classes=json.dumps(names)))
    assert load_checkpoint(path, CPU).columns == [f"p_{name}" for name in names]


def test_a_network_that_cannot_take_pictures_of_its_own_size(refuse):
    refuse(LINNET.changed("preprocessing", size=32), "linnet", "32 x 32", built=True)
    grey = parts("convnet").changed("arguments", channels=1)
    refuse(grey, "conv1.weight", "(10, 1, 4, 4)", built=True)


def test_a_format_of_another_version(refuse):
    for text in ("galhelpers-3", "", None, "pt"):
        refuse(NET.but(format=text), "format", "galhelpers-2")


# Tensors and bytes -------------------------------------------------------------------------------


def test_one_bit_of_the_weights_or_of_the_texts(refuse, tmp_path):
    whole = write(tmp_path / "whole.safetensors", NET).read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    places = [start, start + 1001, len(whole) - 1, whole.index(b"kind 1"), whole.index(b"0.2,")]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1
        refuse(bytes(flipped), "SHA-256")


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda t: {"../../../evil": torch.zeros(1)} | t, ("1 foreign", "../../../evil")),
        (
            lambda t: {f"x.{k}": v for k, v in t.items()},
            ("missing", "foreign", "features.0.weight"),
        ),
        (lambda t: {}, ("14 missing",)),
        (lambda t: SMALL.tensors, ("missing", "foreign")),
        (lambda t: t | {"head.1.bias": torch.zeros(4)}, ("head.1.bias", "(4,)")),
        (lambda t: t | {"head.1.bias": torch.zeros(3).double()}, ("head.1.bias", "float64")),
        (lambda t: t | {"head.1.bias": torch.zeros(0)}, ("head.1.bias", "(0,)")),
    ],
)
def test_tensors_of_another_network(refuse, change, facts):
    assert len(NET.tensors) == 14
    message = refuse(Parts(NET.about, change(NET.tensors)), *facts, built=True)
    assert len(message) < 500


def test_files_of_other_kinds(refuse, tmp_path):
    refuse(None, "no such file", name="none.safetensors")
    (tmp_path / "folder").mkdir()
    refuse(None, "folder", name="folder")
    for content in (b"", b"x", b"\x80\x04cposix\nsystem\n", b"<html>" * 99, b"PK\x03\x04" * 9):
        refuse(content, "safetensors")
    refuse((MOST_HEADER + 1).to_bytes(8, "little") + b"{" * 99, "safetensors")
    refuse((20).to_bytes(8, "little") + b"[" * 20, "safetensors")
    whole = write(tmp_path / "whole.safetensors", NET).read_bytes()
    for length in (7, 9, 500, len(whole) - 1):
        refuse(whole[:length], "safetensors")
    save_file({"w": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    refuse(None, "format", name="foreign.safetensors")
    with pytest.raises(CheckpointError, match="null"):
        load_checkpoint("a\0b", CPU)
    with pytest.raises(CheckpointError, match="too long"):
        load_checkpoint("a" * 5000, CPU)


def test_a_header_longer_than_any_network_needs(refuse):
    header = json.dumps({"__metadata__": {"a": "x" * MOST_HEADER}}).encode()
    refuse(len(header).to_bytes(8, "little") + header, "safetensors")


@pytest.mark.skipif(os.name != "posix", reason="pipes and sparse files of POSIX")
def test_endless_and_huge_files(refuse, tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    refuse(None, "device", name="pipe.safetensors")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    refuse(None, "device", name="zero.safetensors")
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    refuse(None, name="loop.safetensors")
    with (tmp_path / "sparse.safetensors").open("wb") as file:
        file.truncate(60 * MOST_BYTES)
    refuse(None, f"{60 * MOST_BYTES:,}", name="sparse.safetensors")


def test_it_is_an_error_that_a_command_shows_as_it_is():
    assert issubclass(CheckpointError, UserError)
    assert issubclass(CheckpointError, ValueError)


# Files of earlier versions, and what is never written ---------------------------------------------


def test_a_file_of_an_earlier_version_is_read_with_a_warning(tmp_path):
    old = NET.but(format="galhelpers-1")
    path = write(tmp_path / "old.safetensors", old, signed=False)
    with pytest.warns(UserWarning, match=r"old\.safetensors.*hash"):
        checkpoint = load_checkpoint(path, CPU)
    assert len(checkpoint.classify(blank(checkpoint))) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_checkpoint(write(path, NET), CPU)
    # Who takes the hash away does not get round it.
    with pytest.raises(CheckpointError, match="sha256"):
        load_checkpoint(write(path, NET, signed=False), CPU)
    with pytest.raises(CheckpointError, match="widths"):
        load_checkpoint(write(path, old.changed("arguments", widths=[]), signed=False), CPU)


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [
        ({"classes": ["a", "b"]}, "found 3"),
        ({"classes": ["a", "b", "=c"]}, "=c"),
        ({"preprocessing": {}}, "mean"),
        ({"task": "votes"}, "votes"),
        ({"arguments": {"outputs": 3, "widths": [4, 8]}}, "features"),
        ({"arguments": {"outputs": 3, "widths": [4, 4], "pretrained": True}}, "pretrained"),
        ({"architecture": "resnet9000"}, "resnet9000"),
        ({"provenance": {"n": np.int64(3)}}, "provenance"),
        ({"provenance": {"accuracy": float("nan")}}, "provenance"),
        ({"provenance": {"log": "x" * 300_000}}, "provenance"),
    ],
)
def test_a_checkpoint_that_could_not_be_read_is_never_written(tmp_path, wrong, fact):
    path = tmp_path / "mine.safetensors"
    path.write_text("an earlier one")
    right = {k: v for k, v in NET.fields.items() if k != "architecture"}
    model = build("repaired_convnet", **right["arguments"])
    with pytest.raises(CheckpointError, match=rf"mine\.safetensors(?s:.)*{fact}"):
        save_checkpoint(path, model, **({"architecture": "repaired_convnet"} | right | wrong))
    assert path.read_text() == "an earlier one"
    assert list(tmp_path.iterdir()) == [path]


def test_saving_and_reading_draw_no_random_numbers(tmp_path):
    """Else the results of a run would depend on what it keeps."""
    fields = NET.fields
    model = build("repaired_convnet", **fields["arguments"])
    before = torch.get_rng_state()
    load_checkpoint(save_checkpoint(tmp_path / "n.safetensors", model, **fields), CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_breaks_down_later_is_one_line_too(tmp_path):
    checkpoint = load_checkpoint(write(tmp_path / "v.safetensors", VOTES), CPU)
    with torch.no_grad():
        for parameter in checkpoint.model.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(CheckpointError, match=r"vote_ensemble.*16 x 16"):
        checkpoint.classify(blank(checkpoint))
