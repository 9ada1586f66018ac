"""What can be chosen about fetching a data set, and the record of what was fetched."""

import datetime
from dataclasses import asdict, dataclass
from typing import Any

from galhelpers.data.manifest import DatasetEntry
from galhelpers.paths import UserError


@dataclass(frozen=True)
class Choices:
    """What can be chosen about a data set; each kind of data set has its own.

    Attributes
    ----------
    n, seed, telescope, size, balanced
        Simulated survey, as for ``load_simulated``; ``seed`` also draws galaxies for ``cutouts``.
    everything
        Fetch the optional files too.
    config, revision
        Part and commit of a Hugging Face repository.
    catalog
        Path of a table with positions, for an image service.
    cutouts
        Number of galaxies to ask pictures for; None asks for all of ``catalog``.
    per_second
        Requests a second to an image service, at most.
    mosaic
        Path of a FITS image of the CANDELS field, to cut stamps from.
    """

    n: int = 4000
    seed: int = 0
    telescope: str = "sdss"
    size: int = 424
    balanced: bool = False
    everything: bool = False
    config: str = ""
    revision: str = ""
    catalog: str = ""
    cutouts: int | None = None
    per_second: float = 5.0
    mosaic: str = ""


# What each kind of data set does not look at is refused, so that nobody believes it was used.
_SKY = {"n", "telescope", "size", "balanced"}
_HUB = {"config", "revision"}
_SERVICE = {"cutouts", "per_second"}
_USED = {
    "simulated": _SKY | {"seed"},
    "kaggle": {"everything"},
    "files": {"everything", "mosaic", "seed"} | _SERVICE,
    "hugging_face": _HUB,
    "cutouts": {"catalog"} | _SERVICE,
}


def checked_choices(entry: DatasetEntry, choices: dict[str, Any]) -> Choices:
    """Refuse choices that there are not, that are impossible, or that this data set ignores."""
    defaults = asdict(Choices())
    unknown = sorted(set(choices) - set(defaults))
    if unknown:
        raise UserError(f"There is no choice {unknown[0]!r}. Choices: {', '.join(defaults)}.")
    used = _USED.get(entry.kind, set())
    idle = [name for name, value in choices.items() if value != defaults[name] and name not in used]
    if idle:
        option = {"everything": "all", "per_second": "per-second"}.get(idle[0], idle[0])
        raise UserError(
            f"{entry.name} has no use for --{option}. What it knows: "
            f"{', '.join(sorted(used)) or 'nothing'}."
        )
    wanted = Choices(**choices)
    if wanted.cutouts is not None and wanted.cutouts < 1:
        raise UserError(f"Expected --cutouts of 1 or more, got {wanted.cutouts}.")
    if not wanted.per_second > 0:
        raise UserError(f"Expected --per-second above 0, got {wanted.per_second:g}.")
    return wanted


def record_of(entry: DatasetEntry, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Write down where a data set comes from; stays with it on disk."""
    return {
        "dataset": entry.name,
        "title": entry.title,
        "where": str(entry.where),
        "files": files,
        "fetched": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": entry.licence,
        "citation": list(entry.citation),
    }
