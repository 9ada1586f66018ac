"""What the first cell of every notebook sets up."""

import json
from typing import Any

import torch

from galhelpers.course.memory import keep_freed_memory
from galhelpers.course.results import write_metrics
from galhelpers.data.dataset import load_dataset
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.images import CachedImages, load_images
from galhelpers.data.simulated import FRAME, Survey, load_simulated, survey_folder
from galhelpers.learning.checkpoint import Checkpoint
from galhelpers.learning.metrics import Interval
from galhelpers.learning.networks import load_network
from galhelpers.paths import (
    atomic_write,
    default_data_root,
    default_out,
    image_cache,
    user_path,
    writable,
)
from galhelpers.profiles import get_profile, read_seed


class Lesson:
    """One notebook's run: its profile, its galaxies, and the folder for what it makes.

    Making one fixes torch's random numbers and lets the process keep memory that it has freed,
    which training gains from. It touches no file: numbers and figures of an earlier run stay until
    the first number or figure of this one replaces all of them.

    Parameters
    ----------
    notebook
        Name of the notebook, such as ``01_votes``.
    profile, dataset, data_root, seed, out
        The notebook's parameters. ``data_root=""`` is the course's own ``data`` folder, ``out=""``
        is ``runs/interactive`` (:func:`galhelpers.paths.default_out`); ``~`` is the home folder.
        ``seed`` may be text, as ``papermill -r`` gives it: use ``lesson.seed``.
    """

    def __init__(
        self, notebook: str, profile: str, dataset: str, data_root: str, seed: int | str, out: str
    ) -> None:
        self.notebook, self.dataset, self.seed = notebook, dataset, read_seed(seed)
        self.profile = get_profile(profile)
        self.data_root = user_path(data_root) if data_root else None
        self.out = user_path(out) if out else default_out()
        self._metrics: dict[str, dict[str, Any]] = {}
        self._figures: list[str] = []
        torch.manual_seed(self.seed)
        keep_freed_memory()

    def load(self, dataset: str | None = None) -> GalaxySet:
        """Read the galaxies of this run, or those of another data set of the manifest.

        Another data set is looked for in the default data folder: ``data_root`` belongs to the
        run's own.

        Raises
        ------
        FileNotFoundError
            Where there are no galaxies, or none with a picture.
        """
        own = dataset is None or dataset == self.dataset
        name, root = (self.dataset, self.data_root) if own else (dataset or "", None)
        if name == "simulated":
            return self.simulated()
        galaxies = load_dataset(name, root, n=self.profile.n_simulated, seed=self.seed)
        if len(galaxies) and not (galaxies.catalog["file"] != "").any():
            raise FileNotFoundError(
                f"{name} has {len(galaxies):,} galaxies but no pictures yet. "
                f"`galhelpers fetch {name} --cutouts 2000` asks an image service for some "
                f"(galhelpers datasets {name} says what else there is)."
            )
        return galaxies

    def simulated(
        self,
        telescope: str = "sdss",
        n: int | None = None,
        size: int = FRAME,
        seed: int | None = None,
    ) -> GalaxySet:
        """Read the simulated survey as another telescope sees it; it is made where it is not yet.

        It lies in the run's own data folder where the run is on the simulated survey, else in the
        default one.

        Parameters
        ----------
        telescope
            Whose pictures the volunteers see: ``sdss``, ``decals``, ``des`` or ``hst``.
        n
            Number of galaxies; by default that of the profile.
        size
            Width and height of the pictures in pixels, 16 to 2048.
        seed
            Seed of the sky; by default that of the run.

        Raises
        ------
        ValueError
            For an unknown telescope or an impossible number.
        """
        own = self.data_root if self.dataset == "simulated" else None
        root = own or default_data_root()
        n = self.profile.n_simulated if n is None else n
        survey = Survey(n, self.seed if seed is None else seed, telescope, size)
        if not survey_folder(root, survey).is_dir():  # else it is read where it is, writable or not
            root = writable(root, "data")
        return load_simulated(root, *survey)

    def images(self, galaxies: GalaxySet, size: int, crop: float = 1.0) -> CachedImages:
        """Decode the images of galaxies, once: the pixels stay on disk for the next time.

        Parameters
        ----------
        size
            Side in pixels to reduce to.
        crop
            Central fraction of the field of view to keep.
        """
        return load_images(galaxies.files, size, crop, cache_dir=image_cache(), progress=False)

    def trained(self, name: str) -> Checkpoint:
        """Load a trained network that comes with the course; `galhelpers networks` lists them.

        Raises
        ------
        galhelpers.paths.UserError
            For an unknown name, and where the file is missing or has changed.
        """
        return load_network(name)

    def show(self, figure: Any, name: str, *, caption: str, alt: str) -> None:
        """Show a figure with its caption and a description for those who cannot see it."""
        from galhelpers.views.plots import show

        show(figure, f"{self.notebook}/{name}", caption=caption, alt=alt, out=self.out)
        if name not in self._figures:
            self._figures.append(name)
        # The report shows figures in this order: the times of files do not survive a copy.
        with atomic_write(self.out / "figures" / f"{self.notebook}.json") as file:
            file.write_text(json.dumps(self._figures, indent=1), "utf-8")

    def record(self, name: str, value: float | Interval, **facts: Any) -> None:
        """Write down a headline metric for the report; a name given again replaces.

        ``facts`` as in :func:`galhelpers.course.results.write_metrics`.
        """
        run = {"dataset": self.dataset, "profile": self.profile.name, "seed": self.seed}
        if isinstance(value, Interval):
            facts |= {"low": value.low, "high": value.high, "n": value.n}
            value = value.value
        facts = {key: fact.item() if hasattr(fact, "item") else fact for key, fact in facts.items()}
        self._metrics[name] = {"name": name, "value": float(value), **run, **facts}
        write_metrics(self.out, self.notebook, list(self._metrics.values()))
