"""Galaxy Morphology with Deep Learning: the small package behind the notebooks.

Floors, each importing only downward (``lint-imports`` holds it): ``paths`` and ``threads``; what is
known (``trees``, ``published``, ``profiles``); the ``survey`` and ``ode``; ``data``, ``models`` and
``views``; ``learning``; the ``exercises``; the ``course`` that runs them all.
"""

from importlib.metadata import version

from galhelpers.threads import bound_spinning

__version__ = version("galhelpers")

# Torch reads this when it is loaded, so no other module of the package may come first.
bound_spinning()
