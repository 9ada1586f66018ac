"""Galaxy Morphology with Deep Learning: the small package behind the notebooks.

Floors, each importing only downward: what is known (``trees``, ``published``, ``profiles``), the
``data``, the ``models``, the ``learning``, the ``views`` and the ``course`` that runs them all.
"""

from importlib.metadata import version

__version__ = version("galhelpers")
