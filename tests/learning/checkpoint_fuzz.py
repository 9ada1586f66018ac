"""Spoil checkpoints at random, for half a minute: each is usable or refused in one line.

While one is read, nothing may go to the network, start a process or write. It runs in a process of
its own: an audit hook stays for good, and so does a limit of memory.
"""

import json
import os
import string
import sys
import tempfile
import warnings
from pathlib import Path
from unicodedata import category

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galhelpers.learning.checkpoint import CheckpointError, load_checkpoint
from tests.learning.small_checkpoints import ARGUMENTS_OF, Parts, blank, parts, write

FORBIDDEN = ("socket.", "subprocess.", "urllib.", "http.", "ftplib.", "shutil.", "pickle.")
FORBIDDEN += ("os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile")
FORBIDDEN += ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod")
watching, acts, outcomes = False, [], {"used": 0, "refused": 0}


def watch(event, arguments):
    if not watching:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 0b11
    if writes or event.startswith(FORBIDDEN):
        acts.append((event, arguments))
        raise PermissionError(event)


def check(path):
    """Read one file: the property."""
    global watching
    watching = True
    try:
        checkpoint = load_checkpoint(path, torch.device("cpu"))
        table = checkpoint.classify(blank(checkpoint))
    except CheckpointError as error:
        message = str(error)
        odd = {category(letter) for letter in message} & {"Cc", "Cs", "Zl", "Zp"}
        assert not odd, repr(message)
        assert path.name in message
        assert len(message) < 1500
        outcomes["refused"] += 1
    else:
        assert table.shape == (1, 1 + len(checkpoint.columns))
        assert list(table) == ["class_name", *checkpoint.columns]
        assert len(set(table)) == table.shape[1]
        assert all(name.isprintable() and name[0] not in "=+-@" for name in table)
        if checkpoint.task == "classes":
            assert (table.iloc[0, 1:].sum() - 1) < 1e-4 or table["class_name"][0] == ""
        outcomes["used"] += 1
    finally:
        watching = False
    assert not acts, acts


VALID = {name: parts(name) for name in ARGUMENTS_OF}
URL = "http://127.0.0.1:9/stolen.pth"
NASTY = [
    None, True, False, 0, 1, -1, 2, 3, 5, 8, 64, 1024, 14000, 10**5, 10**9, 10**12, 10**400, 0.5,
    1.0, 2.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), "", "64", "x", "imagenet", "\0",
    "=cmd|' /C calc'!A0", "<script>", "a\nb", "\u202e", "\x1b[2J", "../../etc/passwd", "/dev/zero",
    URL, "hf-hub:some/where", "local-dir:/etc", "small", "gz2", "resnet18", "aca", "dopri5", [], {},
    [[]], [None], [1], [1, 1, 1], [0, 0, 0], [4, 4], [4096] * 12, ["a", "a"], {"url": URL},
    "a" * 10**5,
]  # fmt: skip
FOREIGN = [
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "url", "cache_dir", "checkpoint_path",
    "weights", "path", "file", "hf_hub_id", "features_only", "scriptable", "no_jit", "device",
    "dtype", "num_classes", "in_chans", "global_pool", "self", "func", "features", "members",
    "tree", "name", "passes", "factors", "views", "__class__", "\ud800",
]  # fmt: skip
WAYS = ["other", "text", "cut", "gone", "deep", "twice"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
values = st.sampled_from(NASTY) | anything
FIELDS = [*VALID["linnet"].fields, "format", "sha256", "hook"]


@st.composite
def spoiled_value(draw, value):
    """Another value in place of one: another, one inside changed, one more, or one less."""
    if isinstance(value, dict) and value and draw(st.integers(0, 19)):
        names = st.sampled_from(sorted(value))
        other = dict(value)
        how = draw(st.sampled_from(["inside", "inside", "inside", "inside", "more", "less"]))
        if how == "inside":
            name = draw(names)
            other[name] = draw(spoiled_value(value[name]))
        elif how == "more":
            other[draw(st.sampled_from(FOREIGN) | st.text(max_size=8))] = draw(values)
        else:
            del other[draw(names)]
        return other
    if isinstance(value, list) and value and draw(st.integers(0, 2)):
        place = draw(st.integers(0, len(value) - 1))
        changed = [draw(spoiled_value(value[place]))] if draw(st.booleans()) else []
        return value[:place] + changed + value[place + 1 :]
    if isinstance(value, int | float) and not isinstance(value, bool) and draw(st.integers(0, 3)):
        return draw(st.sampled_from([-1, 2, 2, 3, 1000])) * value / draw(st.sampled_from([1, 4]))
    if isinstance(value, str) and draw(st.booleans()):
        return draw(st.sampled_from([value + "s", value.upper(), f"{value}\n", f"={value}"]))
    return draw(values)


@st.composite
def spoiled_texts(draw):
    """A valid checkpoint with one to three of its texts replaced."""
    made = VALID[draw(st.sampled_from(sorted(VALID)))]
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        field = draw(st.sampled_from(FIELDS))
        other = VALID[draw(st.sampled_from(sorted(VALID)))]
        how = draw(st.sampled_from(["value"] * 6 + WAYS))
        text = made.about.get(field, "null")
        if how == "value":
            try:
                text = json.dumps(draw(spoiled_value(json.loads(text))))
            except (ValueError, OverflowError, RecursionError):
                text = draw(st.text(max_size=20))
        elif how == "other":
            text = other.about.get(field)
        elif how == "text":
            text = draw(st.text(alphabet=string.printable, max_size=30))
        elif how == "cut":
            text = text[: draw(st.integers(0, len(text)))]
        elif how == "deep":
            depth = draw(st.sampled_from([150, 250, 990, 100_000]))
            text = "[" * depth + "]" * depth
        elif how == "twice":
            text = '{"a": 1, ' * draw(st.integers(0, 1)) + '"a": 2}'
        else:
            text = None
        made = made.but(**{field: text})
    return made


@st.composite
def spoiled_tensors(draw):
    """A valid checkpoint with one of its tensors renamed, reshaped, of another type or strange."""
    made = VALID[draw(st.sampled_from(sorted(set(VALID) - {"timm"})))]
    name = draw(st.sampled_from(sorted(made.tensors)))
    tensors = dict(made.tensors)
    value = tensors.pop(name)
    how = draw(st.sampled_from(["gone", "renamed", "type", "shape", "fill", "fill all", "more"]))
    number = draw(st.sampled_from([0.0, 1e38, -1e38, float("nan"), float("inf"), 1e4]))
    if how == "renamed":
        tensors[draw(st.sampled_from(["../../evil", "", "x\n", name.upper()]))] = value
    elif how == "type":
        kinds = [torch.float64, torch.float16, torch.int8, torch.bool, torch.bfloat16]
        tensors[name] = value.to(draw(st.sampled_from(kinds)))
    elif how == "shape":
        tensors[name] = draw(
            st.sampled_from([value.reshape(-1)[:0], value[None], value.reshape(-1)])
        )
    elif how == "fill":
        tensors[name] = torch.full_like(value, number if value.is_floating_point() else 7)
    elif how == "fill all":
        tensors = {
            k: torch.full_like(v, number) if v.is_floating_point() else v
            for k, v in made.tensors.items()
        }
    elif how == "more":
        tensors |= {name: value, "more": torch.zeros(3)}
    return Parts(made.about, {k: v.contiguous() for k, v in tensors.items()})


@st.composite
def spoiled_bytes(draw):
    """The bytes of a valid file, with some of them changed, left out, or put in twice."""
    content = WHOLE[draw(st.sampled_from(sorted(WHOLE)))]
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        # The header is small and says all: half of the changes go there.
        most = draw(st.sampled_from([16, 2000, len(content) - 1]))
        place = draw(st.integers(0, min(most, len(content) - 1)))
        how = draw(st.sampled_from(["bit", "bytes", "cut", "less", "twice"]))
        if how == "bit":
            changed = bytes([content[place] ^ 1 << draw(st.integers(0, 7))])
            content = content[:place] + changed + content[place + 1 :]
        elif how == "bytes":
            changed = draw(st.binary(min_size=1, max_size=8))
            content = content[:place] + changed + content[place + len(changed) :]
        elif how == "cut":
            content = content[: max(1, place)]
        else:
            length = draw(st.integers(1, 40))
            piece = content[place : place + length] * (2 if how == "twice" else 0)
            content = content[:place] + piece + content[place + length :] or b"\0"
    return content


def run(examples):
    """Try all three kinds; ``examples`` of the texts, fewer of the others."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "spoiled.safetensors"
    how = {"derandomize": True, "database": None, "deadline": None}
    how["suppress_health_check"] = list(HealthCheck)

    @settings(max_examples=examples, **how)
    @given(spoiled_texts(), st.integers(0, 9))
    def of_texts(made, number):
        try:
            write(path, made, signed=number > 0)
        except (UnicodeEncodeError, ValueError):
            return  # no file can hold it
        check(path)

    @settings(max_examples=examples // 3, **how)
    @given(spoiled_tensors())
    def of_tensors(made):
        check(write(path, made))

    @settings(max_examples=examples // 2, **how)
    @given(spoiled_bytes())
    def of_bytes(content):
        path.write_bytes(content)
        check(path)

    for one in (of_texts, of_tensors, of_bytes):
        one()
        print(one.__name__, outcomes)
        assert outcomes["used"] > 5 or one is of_bytes  # the hash covers nearly all of a file
        assert outcomes["refused"] > examples // 5
        outcomes.update(used=0, refused=0)
    path.unlink()
    folder.rmdir()  # it is empty, or this is an error


def limit_memory(more):
    """Let this process take so many bytes more than it has now."""
    import resource

    import psutil

    most = psutil.Process().memory_info().vms + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the note on files without a hash
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as warm:
        WHOLE = {}
        for name, made in VALID.items():
            place = write(Path(warm, "valid.safetensors"), made)
            check(place)  # which imports what it needs
            if name != "timm":
                WHOLE[name] = place.read_bytes()
    outcomes.update(used=0, refused=0)
    sys.addaudithook(watch)
    if os.name == "posix" and sys.platform != "darwin":
        limit_memory(2 * 2**30)
    run(int(sys.argv[1]))
