"""Pictures can be drawn on another device: nothing is left behind on the CPU.

Most machines that run the tests have no GPU. ``Elsewhere`` stands in for one: its tensors hold
their values in main memory but claim to lie on another device, and like a GPU's they refuse to meet
those of the CPU. A ``device=`` that somebody forgets fails here as it would on a GPU.
"""

import importlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from galhelpers.survey import TELESCOPES, linear_images, render, sample_galaxies

AWAY = "meta"  # the one device besides the CPU that torch has everywhere
_COPIES = (torch.ops.aten._to_copy, torch.ops.aten.copy_)
_TAKE_INDICES = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)


class Away(torch.Tensor):
    """A tensor that says it lies elsewhere; ``inner`` holds its values."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), dtype=inner.dtype, device=AWAY,
            storage_offset=inner.storage_offset(),
        )  # fmt: skip

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} was called outside of Elsewhere")


class Elsewhere(TorchDispatchMode):
    """Runs what is asked of the other device on the CPU, but keeps the two apart."""

    def __enter__(self):
        self._maker = _TensorsAreMadeHere()
        self._maker.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._maker.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        away = any(isinstance(t, Away) for t in tensors)
        packet = func.overloadpacket
        if away and packet not in _COPIES:
            # As on a GPU: single numbers may come along, and indices may stay where they are.
            met = tensors[:1] + tensors[-1:] if packet in _TAKE_INDICES else tensors
            left = [t for t in met if not isinstance(t, Away) and t.dim() > 0]
            if left:
                raise RuntimeError(f"{func}: a {tuple(left[0].shape)} tensor is on the CPU")
        if kwargs.get("device") is not None:
            away = torch.device(kwargs["device"]).type == AWAY
            kwargs["device"] = "cpu"
        args_here, kwargs_here = tree_map(_inner, (args, kwargs))
        out = func(*args_here, **kwargs_here)
        if func._schema.is_mutable:
            return args[0]  # changed in place
        return (
            tree_map(lambda t: Away(t) if isinstance(t, torch.Tensor) else t, out) if away else out
        )


class _TensorsAreMadeHere(TorchFunctionMode):
    """Numbers given to ``torch.tensor`` for ``AWAY`` would be forgotten: made here, then moved."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.tensor and kwargs.get("device") is not None:
            return func(*args, **{**kwargs, "device": "cpu"}).to(kwargs["device"])
        return func(*args, **kwargs)


def _inner(tensor):
    return tensor.inner if isinstance(tensor, Away) else tensor


@pytest.fixture
def one_thread(monkeypatch):
    """Modes of torch hold in the thread that entered them."""
    module = importlib.import_module("galhelpers.survey.render")
    monkeypatch.setattr(module, "_run", lambda take, jobs: [take(job) for job in jobs])


@pytest.fixture(scope="module")
def truth():
    """Galaxies of all kinds: features that few have are drawn in branches of their own."""
    sky = sample_galaxies(2000, seed=3)
    odd = sky[sky["odd"].isin(["merger", "ring", "dust-lane", "lens-or-arc"])]
    plain = sky[(sky["odd"] == "none") & sky["kind"].isin(["smooth", "spiral"])]
    some = pd.concat([odd.groupby("odd").head(1), plain.groupby("kind").head(1)])
    assert len(some) == 6
    return some


def test_the_stand_in_keeps_devices_apart():
    with Elsewhere():
        here, away = torch.ones(3), torch.full((3,), 2.0, device=AWAY)
        assert away.device.type == AWAY
        assert here.device.type == "cpu"
        with pytest.raises(RuntimeError, match="on the CPU"):
            here + away
        with pytest.raises(RuntimeError, match="on the CPU"):
            away *= here
        with pytest.raises(RuntimeError, match="on the CPU"):
            torch.stack([away, here])
        with pytest.raises(RuntimeError, match="numpy"):
            away.numpy()
        assert (here.to(AWAY) + away * torch.tensor(1.0)).cpu().tolist() == [3, 3, 3]
        away[np.array([1])] += torch.tensor([5.0], device=AWAY)
        assert away.cpu().tolist() == [2, 7, 2]


def test_pictures_are_drawn_on_the_device_that_is_asked_for(one_thread, truth):
    on_cpu = render(truth, size=64)
    with Elsewhere():
        away = render(truth, size=64, device=AWAY)
    assert away.device.type == "cpu"
    assert torch.equal(on_cpu, away)


def test_images_too_and_in_frames_of_another_width(one_thread, truth):
    framed = {"size": 32, "field_of_view": 20.0}
    on_cpu = linear_images(truth, "hst", **framed)
    with Elsewhere():
        away = linear_images(truth, "hst", **framed, device=AWAY)
    assert torch.equal(on_cpu, away)


def test_a_trail_a_seam_and_an_edge_are_drawn_there_too(one_thread, truth):
    spoilt = replace(TELESCOPES["sdss"], name="spoilt", trails=1.0, seams=1.0, edges=1.0)
    on_cpu = linear_images(truth.head(3), spoilt, 32)
    with Elsewhere():
        away = linear_images(truth.head(3), spoilt, 32, device=AWAY)
    assert torch.equal(on_cpu, away)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_what_the_cpu_does(truth):
    on_cpu, on_gpu = (linear_images(truth, size=64, device=name) for name in ("cpu", "cuda"))
    brightest = on_cpu.amax((2, 3), keepdim=True)
    assert ((on_gpu - on_cpu).abs() < 1e-4 * brightest).all()
    pictures = [render(truth, size=64, device=name).int() for name in ("cpu", "cuda")]
    # A value next to a rounding step may fall to its other side, and JPEG spread it.
    apart = (pictures[0] - pictures[1]).abs()
    assert float((apart > 2).float().mean()) < 0.01
