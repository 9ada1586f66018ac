"""Ordinary differential equations whose right-hand side is a network, and their gradients."""

from galhelpers.ode.aca import odeint_aca
from galhelpers.ode.gradients import odeint
from galhelpers.ode.methods import StepMemory
from galhelpers.ode.search import SolverError, Statistics

__all__ = ["SolverError", "Statistics", "StepMemory", "odeint", "odeint_aca"]
