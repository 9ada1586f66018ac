"""The schema of a network's arguments says what the network says."""

import inspect
import typing

import pytest

from galhelpers.models import ARCHITECTURES, Backbone, OdeBlock, VoteNet, build
from galhelpers.models.schemas import ARGUMENTS, GuptaNodeArguments
from galhelpers.ode.methods import TABLEAUS


def parameters(architecture):
    """Arguments of an architecture with their defaults, those that it hands on among them."""
    own = inspect.signature(ARCHITECTURES[architecture]).parameters
    handed_on = {"gupta_node": OdeBlock, "vote_ensemble": VoteNet, "fraction_net": Backbone}
    fixed = {"func"} | ({"outputs"} if architecture == "fraction_net" else set())
    if architecture in handed_on:
        own = own | dict(inspect.signature(handed_on[architecture]).parameters)
    kept = {k: p.default for k, p in own.items() if p.kind is not p.VAR_KEYWORD and k not in fixed}
    return {
        k: ... if default is inspect.Parameter.empty else default for k, default in kept.items()
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_names_and_defaults_are_those_of_the_network(architecture):
    schema = ARGUMENTS[architecture].model_fields
    expected = parameters(architecture)
    assert schema.keys() == expected.keys()
    for name, field in schema.items():
        assert field.is_required() == (expected[name] is ...)
        if name != "widths" and not field.is_required():
            assert field.default == expected[name]


def test_every_method_of_the_solver_may_be_named():
    methods = typing.get_args(GuptaNodeArguments.model_fields["method"].annotation)
    assert set(methods) == set(TABLEAUS)


@pytest.mark.parametrize(
    ("architecture", "arguments", "fact"),
    [
        ("resnet9000", {}, "there are linnet, convnet"),
        ("repaired_convnet", {}, "outputs"),
        ("repaired_convnet", {"outputs": 0}, "found 0"),
        ("small_resnet", {"widths": ()}, "widths"),
        ("vote_ensemble", {"tree": "gz2", "members": 10**9}, "1000000000"),
        ("backbone", {"name": "resnet18", "outputs": 2, "pretrained": True}, "pretrained"),
    ],
)
def test_build_takes_known_arguments_within_bounds_only(architecture, arguments, fact):
    with pytest.raises(ValueError, match=fact):
        build(architecture, **arguments)
