"""Class names of published data sets, and which of the course's five classes each one is."""

from galhelpers.data.catalogs import FIVE_CLASSES

GALAXY10_DECALS = (
    "Disturbed",
    "Merging",
    "Round Smooth",
    "In-between Round Smooth",
    "Cigar Shaped Smooth",
    "Barred Spiral",
    "Unbarred Tight Spiral",
    "Unbarred Loose Spiral",
    "Edge-on without Bulge",
    "Edge-on with Bulge",
)
"""Galaxy10 DECaLS, classes 0 to 9 (https://github.com/henrysky/Galaxy10).

The package astroNN calls class 3 "Smooth, Cigar shaped"; it is the in-between one, and class 4 is
the cigar-shaped one.
"""

GALAXY10_SDSS = (
    "Disk, Face-on, No Spiral",
    "Smooth, Completely round",
    "Smooth, in-between round",
    "Smooth, Cigar shaped",
    "Disk, Edge-on, Rounded Bulge",
    "Disk, Edge-on, Boxy Bulge",
    "Disk, Edge-on, No Bulge",
    "Disk, Face-on, Tight Spiral",
    "Disk, Face-on, Medium Spiral",
    "Disk, Face-on, Loose Spiral",
)
"""Galaxy10 SDSS, classes 0 to 9 (documentation of astroNN): another order than in DECaLS."""

GALAXY_MNIST = ("smooth_round", "smooth_cigar", "edge_on_disk", "unbarred_spiral")
"""GalaxyMNIST, classes 0 to 3 (https://github.com/mwalmsley/galaxy_mnist)."""

GZ_EVO_SUMMARY = (
    "smooth_round",
    "smooth_cigar",
    "unbarred_spiral",
    "edge_on_disk",
    "barred_spiral",
    "featured_without_bar_or_spiral",
)
"""Column ``summary`` of mwalmsley/gz_evo, in the order of its authors' own code."""

_ROUND, _BETWEEN, _CIGAR, _EDGE_ON, _SPIRAL = range(len(FIVE_CLASSES))
_NONE = -1

PUBLISHED_CLASSES: dict[str, tuple[str, ...]] = {
    "galaxy10_decals": GALAXY10_DECALS,
    "galaxy10_sdss": GALAXY10_SDSS,
    "galaxy_mnist": GALAXY_MNIST,
    "gz_evo": GZ_EVO_SUMMARY,
}
"""Published class names of each set, in the order of its class numbers."""

# Disturbed and merging galaxies, face-on discs without arms, and featured galaxies without bar or
# arms are none of the five. Bars make no difference: the five classes have one for all spirals.
_FIVE_OF: dict[str, tuple[int, ...]] = {
    "galaxy10_decals": (
        *(_NONE, _NONE),
        *(_ROUND, _BETWEEN, _CIGAR),
        *(_SPIRAL, _SPIRAL, _SPIRAL),
        *(_EDGE_ON, _EDGE_ON),
    ),
    "galaxy10_sdss": (
        _NONE,
        *(_ROUND, _BETWEEN, _CIGAR),
        *(_EDGE_ON, _EDGE_ON, _EDGE_ON),
        *(_SPIRAL, _SPIRAL, _SPIRAL),
    ),
    "galaxy_mnist": (_ROUND, _CIGAR, _EDGE_ON, _SPIRAL),
    "gz_evo": (_ROUND, _CIGAR, _SPIRAL, _EDGE_ON, _SPIRAL, _NONE),
}


def five_class_of(set_name: str, published_class: int | str) -> int:
    """Give the course's class for a class of a published data set.

    The publishers chose their classes by their own cuts on the votes, not by those of Zhu et al.
    2019: the classes mean the same kind of galaxy, their borders differ.

    Parameters
    ----------
    set_name
        ``"galaxy10_decals"``, ``"galaxy10_sdss"``, ``"galaxy_mnist"`` or ``"gz_evo"``.
    published_class
        Number of the class, counted from 0, or its name as published.

    Returns
    -------
    int
        0 to 4 in the order of ``FIVE_CLASSES``; -1 where none of the five fits.

    Raises
    ------
    KeyError
        For an unknown set.
    ValueError
        For a class that the set does not have.
    """
    number = _number(set_name, published_class)
    return _FIVE_OF[set_name][number]


def published_name(set_name: str, published_class: int) -> str:
    """Give the name that its publisher gave to a class; see ``five_class_of``."""
    number = _number(set_name, published_class)
    return PUBLISHED_CLASSES[set_name][number]


def _number(set_name: str, published_class: int | str) -> int:
    if set_name not in PUBLISHED_CLASSES:
        known = ", ".join(PUBLISHED_CLASSES)
        raise KeyError(f"No published classes of {set_name!r}. Sets with classes: {known}.")
    names = PUBLISHED_CLASSES[set_name]
    if isinstance(published_class, str) and published_class in names:
        published_class = names.index(published_class)
    if isinstance(published_class, str) or not 0 <= published_class < len(names):
        raise ValueError(
            f"{set_name} has the classes 0 to {len(names) - 1} ({'; '.join(names)}), "
            f"got {published_class!r}."
        )
    return int(published_class)
