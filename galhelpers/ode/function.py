"""The function that a learner brings to the solver, and what it must not do.

The solver evaluates it many times, and ``aca`` again on the way back. So it must give the same for
the same time and state, and leave the state alone. Most of this can be seen at the first
evaluation, which costs nothing more.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

Function = Callable[[Tensor, Tensor], Tensor]


class SolverError(RuntimeError):
    """An integration that cannot go on; the message says where, with which step and tolerance."""


def evaluate(func: Function, t: Tensor, y: Tensor) -> Tensor:
    """Give the slope of the state at a time, in the precision of the state.

    Raises
    ------
    ValueError
        When the function gives something else than a slope of this state, or changes the state.
    """
    before = version(y)
    value = func(t, y)
    if version(y) != before:
        raise ValueError(
            "The function changes its argument y in place (such as y += 1, y.mul_(2), y[0] = 0). "
            "The solver still needs it: compute a new tensor, or begin with y = y.clone()."
        )
    if not isinstance(value, Tensor):
        raise ValueError(
            f"The function should give the slope of the state, a tensor of shape {_tuple(y)}; it "
            f"gave {type(value).__name__}. Does it return its result?"
        )
    if value.shape != y.shape:
        raise ValueError(
            f"The function should give the shape of the state, {_tuple(y)}, it gave "
            f"{_tuple(value)}."
        )
    if value.is_complex() or value.device != y.device:
        raise ValueError(
            f"The function should give the slope of the state, a tensor of real numbers on "
            f"{y.device}; it gave {value.dtype} on {value.device}."
        )
    return value if value.dtype == y.dtype else value.to(y.dtype)


def evaluate_first(
    func: Function,
    t: Tensor,
    y: Tensor,
    known: Sequence[Tensor] | None = None,
    backward: bool = False,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Evaluate the function for the first time, on a copy of the state, and watch what it does.

    Parameters
    ----------
    func, t, y
        As in :func:`evaluate`.
    known
        Parameters of the function. When given, a graph is recorded that begins at the state.
    backward
        Whether somebody will go back through that graph; else it keeps no tensors, if that can be.

    Returns
    -------
    Tensor
        The state, where the graph begins.
    Tensor
        The slope.
    list of Tensor
        Leaves of the graph that are not ``known``: further tensors that need gradients.

    Raises
    ------
    ValueError
        When the function does not give the same again, and as :func:`evaluate`. It is asked twice
        only when it drew random numbers or changed a buffer.
    """
    place, found, before = y, list[Tensor](), _state(func, y.device)
    if known is None:
        value = evaluate(func, t, y.clone())
    else:
        with torch.enable_grad(), torch.autocast(**autocast_state(y.device.type)):
            place = y.detach().requires_grad_()
            start = place.clone()
            try:
                with (
                    nullcontext()
                    if backward
                    else saved_tensors_hooks(lambda _: None, lambda kept: kept)
                ):
                    value = evaluate(func, t, start)
            except TypeError:  # of torch, where the function goes back through its own graph
                value = evaluate(func, t, start)
            found = _other_leaves(value, start, [place, *known])
    if not torch.equal(before, _state(func, y.device)):
        with torch.no_grad():
            same = torch.equal(value, evaluate(func, t, y.clone()))
        if not same:
            raise ValueError(
                "The function does not give the same again for the same time and state: it draws "
                "random numbers, as dropout does, or changes its own buffers, as spectral_norm "
                "does in training. Then it has no solution, and each evaluation of the backward "
                "pass would be of another function. Leave that out, or call eval() on the layer."
            )
    return place, value, found


def autocast_state(device: str) -> dict[str, Any]:
    """Describe the caller's autocast; without its cache.

    The cache keeps low-precision copies of weights. In older versions of torch one that was made
    while nothing is recorded stands in for the weight later, where its gradient is wanted.
    """
    return {
        "device_type": device,
        "enabled": torch.is_autocast_enabled(device),
        "dtype": torch.get_autocast_dtype(device),
        "cache_enabled": False,
    }


def refuse_batch_statistics(func: Function) -> None:
    """Raise ValueError for layers in training mode that draw, or learn from each evaluation."""
    module = _module_of(func)
    for name, layer in () if module is None else module.named_modules():
        draws = isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0
        if layer.training and (draws or isinstance(layer, nn.modules.batchnorm._BatchNorm)):
            raise ValueError(
                f"Expected a function that gives the same at each evaluation; its layer {name!r} "
                f"({type(layer).__name__}, in training mode) does not: it draws random numbers, or "
                "keeps statistics of every evaluation. Take GroupNorm or LayerNorm, put dropout "
                "before or after the equation, or call eval() on the layer."
            )


def parameters_of(func: Function) -> list[Tensor]:
    """List the parameters that get gradients; ValueError for a function that is no module."""
    module = _module_of(func)
    if module is None:
        raise ValueError(
            f"Expected a torch.nn.Module, whose parameters get gradients, got {func!r}. For a "
            "plain function name them: params=[...], or params=[] when it has none."
        )
    return list(module.parameters())


def version(tensor: Tensor) -> int:
    """Count how often a tensor was changed in place, by whatever name."""
    return 0 if tensor.is_inference() else tensor._version


class Unchanged:
    """Sees in the backward pass whether a function is still what it was in the forward pass.

    It looks at the parameters and buffers of a module, and at the mode of its layers: when it is
    made, at the end of the forward pass (``settle``) and in the backward pass (``check``). Of a
    plain function it knows only the tensors to ``watch``.
    """

    def __init__(self, func: Function | None) -> None:
        self.func, self.named = func, dict[str, Tensor]()
        self.parts = self._look()

    def watch(self, tensors: Sequence[Tensor]) -> None:
        """Add tensors that must not change, whoever changes them."""
        self.named = {f"tensor {n} of params": tensor for n, tensor in enumerate(tensors)}
        self.parts |= {name: (tensor, version(tensor)) for name, tensor in self.named.items()}

    def settle(self) -> None:
        """Leave out what the function itself changes, such as a buffer that counts its calls."""
        now = self._look()
        self.parts = {
            name: part
            for name, part in self.parts.items()
            if name in self.named or not _differ(part, now.get(name))
        }

    def check(self, keeps: str) -> None:
        """Raise SolverError when it is another function now; ``keeps`` is a way to allow that."""
        now = self._look()
        changed = {name: part for name, part in self.parts.items() if _differ(part, now.get(name))}
        if not changed:
            return
        said, advice = list[str](), ""
        for name, (part, _) in changed.items():
            if isinstance(part, Tensor) and name in now and now[name][0] is part:
                said.append(f"{name} was changed in place")
                continue
            now_is = "is another tensor now" if isinstance(part, Tensor) else "has another mode now"
            said.append(f"{name} {now_is}")
            advice = f" Where that cannot be, {keeps} keeps what the backward pass needs."
        more = f"; and {len(said) - 3} more" if len(said) > 3 else ""
        raise SolverError(
            "The function was changed between the forward and the backward pass: "
            f"{'; '.join(said[:3])}{more}. Call backward() before optimizer.step(), before train() "
            "or eval(), and while replaced parameters (torch.func.functional_call) are in place."
            f"{advice}"
        )

    def _look(self) -> dict[str, tuple[Tensor | bool, int]]:
        """Give each part by name: a tensor and how often it was changed, or the mode of a layer."""
        parts: dict[str, tuple[Tensor | bool, int]] = {}
        module = None if self.func is None else _module_of(self.func)
        for name, layer in () if module is None else module.named_modules():
            parts[f"layer {name!r}"] = layer.training, 0
            for own in (layer._parameters, layer._buffers):
                for key, tensor in own.items():
                    if tensor is not None:
                        parts[f"{name}.{key}".lstrip(".")] = tensor, version(tensor)
        for name, tensor in self.named.items():
            parts[name] = tensor, version(tensor)
        return parts


def _differ(a: tuple[Tensor | bool, int], b: tuple[Tensor | bool, int] | None) -> bool:
    return b is None or a[0] is not b[0] or a[1] != b[1]


class Joined(nn.Module):
    """A function of several states, as one of a single long state."""

    def __init__(self, func: Callable[..., Sequence[Tensor]], parts: Sequence[Tensor]) -> None:
        super().__init__()
        kinds = [(part.dtype, part.device) if isinstance(part, Tensor) else None for part in parts]
        if not parts or None in kinds or len(set(kinds)) > 1:
            said = ", ".join(
                f"{part.dtype} on {part.device}"
                if isinstance(part, Tensor)
                else type(part).__name__
                for part in parts
            )
            raise ValueError(
                "Expected the states of a tuple as tensors of one precision on one device, got "
                f"({said})."
            )
        self.func, self.shapes = func, [part.shape for part in parts]
        self.owner = _module_of(func)  # of a bound method
        self.begins = [0, *accumulate(part.numel() for part in parts)]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Put states one after the other."""
        return torch.cat([part.reshape(-1) for part in parts])

    def split(self, y: Tensor) -> tuple[Tensor, ...]:
        """Take them apart again; dimensions before the last one stay first."""
        ends = zip(self.begins, self.begins[1:], self.shapes, strict=False)
        return tuple(y[..., a:b].reshape(*y.shape[:-1], *shape) for a, b, shape in ends)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """Give the slopes of all states in one."""
        values = self.func(t, self.split(y))
        given = values if isinstance(values, tuple | list) else []
        shapes = [value.shape if isinstance(value, Tensor) else None for value in given]
        if shapes != self.shapes:
            raise ValueError(
                f"The function should give a tuple of the slopes of {len(self.shapes)} states, of "
                f"shapes {[tuple(shape) for shape in self.shapes]}; it gave "
                f"{type(values).__name__} {[shape and tuple(shape) for shape in shapes]}."
            )
        return self.join(values)


def _other_leaves(value: Tensor, start: Tensor, known: Sequence[Tensor]) -> list[Tensor]:
    """Walk the graph of a value back to where it begins."""
    first = start.grad_fn
    assert first is not None
    ids, found = {id(tensor) for tensor in known}, list[Tensor]()
    seen = {first, None, *(tensor.grad_fn for tensor in known)}
    todo = [value.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found += [leaf] if id(leaf) not in ids else []
        elif node._sequence_nr() < first._sequence_nr():
            raise ValueError(
                "The function uses a tensor that was computed outside of it, by "
                f"{node.name()}, from others that need gradients. Name that tensor: params=[...]; "
                "or compute it inside the function; or detach() it."
            )
        else:
            todo += [before for before, _ in node.next_functions]
    return found


def _module_of(func: Callable[..., Any]) -> nn.Module | None:
    module = func if isinstance(func, nn.Module) else getattr(func, "__self__", None)
    return module if isinstance(module, nn.Module) else None


def _state(func: Function, device: torch.device) -> Tensor:
    """Give what changes when a function draws random numbers, or writes into its buffers."""
    module = _module_of(func)
    buffers = [] if module is None else [version(buffer) for buffer in module.buffers()]
    states = [torch.get_rng_state(), torch.tensor(buffers, device="cpu")]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def _tuple(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
