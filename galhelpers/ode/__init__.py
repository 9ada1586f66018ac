"""Ordinary differential equations whose right-hand side is a network, and their gradients."""

from galhelpers.ode.aca import odeint_aca
from galhelpers.ode.function import SolverError
from galhelpers.ode.gradients import odeint
from galhelpers.ode.methods import StepMemory
from galhelpers.ode.search import Statistics

__all__ = ["SolverError", "Statistics", "StepMemory", "odeint", "odeint_aca"]
