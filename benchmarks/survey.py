"""Galaxies per second of the simulated survey, and beside it GalSim on scenes of the same kind.

Run it from the course folder, on a machine that does nothing else::

    python benchmarks/survey.py

Every measurement has a process of its own, so that memory and threads of one do not reach the next.

- *speed*: ``render`` for the SDSS at 64, 128 and 424 px, with as many threads as torch finds cores;
- *growth*: CPU time a galaxy and the largest memory for ever more galaxies at 64 px. The pictures
  themselves grow (12 kB each); what the drawing needs in addition must not;
- *GalSim* (Rowe et al. 2015, A&C 10, 121), where it is installed: one thread, CPU time, the same
  galaxies, frames and grids of pixels. A bulge (Sersic, n in steps of 0.5, which GalSim tabulates
  once), an exponential disk, a Moffat PSF and noise in three bands. Ours draws in addition arms,
  bars, rings, dust and companions, neighbours, artefacts, the colour picture and JPEG; its time is
  given with and without them.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from galhelpers.threads import usable_cores

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
TARGETS = {64: 150, 128: 30, 424: 3}
"""Galaxies a second on two cores."""
LINEAR = 1.25  # a galaxy among many may cost so much more than one among few
MEMORY_KB = 64  # a galaxy, of which 12 is the picture
N_GALSIM = 48


def speed(size: int, n: int, threads: int) -> dict[str, float]:
    """Seconds, of the wall clock and of CPUs, for n pictures."""
    from galhelpers.survey import render, sample_galaxies

    import torch

    torch.set_num_threads(threads)
    render(sample_galaxies(2 * threads, seed=1), "sdss", size)  # first calls of anything
    truth = sample_galaxies(n, seed=2)
    wall, cpu = time.perf_counter(), time.process_time()
    render(truth, "sdss", size)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def growth(n: int, size: int) -> dict[str, float]:
    """CPU seconds and growth of the largest resident memory, in kB, for n pictures."""
    import resource

    from galhelpers.survey import render, sample_galaxies

    def peak() -> float:
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest / 1024 if sys.platform == "darwin" else largest

    render(sample_galaxies(50, seed=1), "sdss", size)
    truth = sample_galaxies(n, seed=2)
    before, cpu = peak(), time.process_time()
    render(truth, "sdss", size)
    return {"cpu": time.process_time() - cpu, "memory": peak() - before}


def ours(size: int, n: int) -> dict[str, float]:
    """CPU seconds of one thread: whole pictures, and only galaxy, PSF and noise."""
    from galhelpers.survey import render, sample_galaxies
    from galhelpers.survey.light import draw_galaxy
    from galhelpers.survey.telescopes import TELESCOPES

    import torch

    torch.set_num_threads(1)
    render(sample_galaxies(4, seed=1), "sdss", size)
    truth = sample_galaxies(n, seed=2)
    start = time.process_time()
    render(truth, "sdss", size)
    whole = time.process_time() - start
    start = time.process_time()
    _bare(truth, TELESCOPES["sdss"], size, draw_galaxy)
    return {"whole": whole, "bare": time.process_time() - start}


def _bare(truth, scope, size: int, draw_galaxy) -> None:
    """Galaxies, PSF and noise, drawn in groups as ``render`` does."""
    from galhelpers.survey.galaxies import generator
    from galhelpers.survey.optics import add_noise, blur
    from galhelpers.survey.render import _fields, _grid, _jobs

    import numpy as np
    import torch

    fields = _fields(truth, None)
    grids = np.array([_grid(field, scope, size) for field in fields])
    for grid, rows in _jobs(grids):
        part = truth.iloc[rows]
        pixel = torch.tensor(fields[rows] / grid, dtype=torch.float32)
        light = draw_galaxy(part, scope, grid, pixel)
        draws = [generator(0, "sky", int(i)) for i in part["id"]]
        light = blur(light, pixel, scope, torch.zeros((len(part), 7)))
        add_noise(light, draws, (pixel**2).view(-1, 1, 1, 1), scope)


def galsim_scenes(size: int, n: int) -> dict[str, float]:
    """CPU seconds of GalSim for galaxies of bulge and disk, PSF and noise, in three bands."""
    from galhelpers.survey import sample_galaxies
    from galhelpers.survey.light import R90_PER_RE
    from galhelpers.survey.render import _fields, _grid
    from galhelpers.survey.telescopes import TELESCOPES, band_offsets

    import galsim
    import numpy as np

    scope = TELESCOPES["sdss"]
    truth = sample_galaxies(n + 4, seed=2)
    fields = _fields(truth, None)
    random = galsim.BaseDeviate(1)
    psfs = [galsim.Moffat(scope.psf_beta, fwhm=scope.psf_fwhm * r) for r in scope.psf_ratios]
    # Larger transforms than GalSim allows by default, for galaxies that fill hundreds of pixels.
    settings = galsim.GSParams(maximum_fft_size=16384)

    def flux(row, part: str) -> np.ndarray:
        colours = (np.array(row[f"{colour}_{part}"]) for colour in ("g_r", "r_i"))
        return 10 ** (-0.4 * (row.mag + band_offsets(*colours, scope.bands) - 22.5))

    def draw(row, field: float) -> None:
        grid = _grid(field, scope, size)
        pixel = field / grid
        n_bulge = float(np.clip(round(2 * row.sersic_n) / 2, 1.0, 4.0))
        radius = max(row.petro_r90 * row.bulge_r90 / R90_PER_RE, 0.1)
        bulge = galsim.Sersic(n_bulge, half_light_radius=radius, gsparams=settings)
        disk = galsim.Exponential(half_light_radius=row.petro_r90 / R90_PER_RE, gsparams=settings)
        disk = disk.shear(q=max(row.axis_ratio, 0.2), beta=row.pa * galsim.degrees)
        bulge = bulge.shear(q=row.bulge_axis_ratio, beta=row.pa * galsim.degrees)
        share = row.bulge_fraction
        fluxes = share * flux(row, "bulge"), (1 - share) * flux(row, "disk")
        for band, psf in enumerate(psfs):
            # A component without light takes no time.
            parts = [
                component.withFlux(float(light[band]))
                for component, light in zip((bulge, disk), fluxes, strict=True)
                if light[band] > 0
            ]
            scene = galsim.Convolve(galsim.Sum(parts), psf, gsparams=settings)
            image = scene.drawImage(nx=grid, ny=grid, scale=pixel, dtype=np.float32)
            sigma = scope.sky_noise[band] * pixel / scope.pixel_scale
            image.addNoise(galsim.GaussianNoise(random, sigma))
            assert np.isfinite(image.array).all()

    rows = [(truth.iloc[i], float(field)) for i, field in enumerate(fields)]
    for row, field in rows[:4]:  # fills GalSim's tables of Sersic profiles
        draw(row, field)
    start = time.process_time()
    for row, field in rows[4:]:
        draw(row, field)
    return {"cpu": time.process_time() - start}


JOBS = {"speed": speed, "growth": growth, "ours": ours, "galsim": galsim_scenes}


def run(job: str, one_thread: bool = True, **arguments: int) -> dict[str, float]:
    """Do a job in a fresh process."""
    environment = dict(os.environ)
    if one_thread:
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE), "--job", job, json.dumps(arguments)],
        capture_output=True, text=True, env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{job} {arguments} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table in Markdown."""
    for cells in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(cells) + " |", flush=True)
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--quick", action="store_true", help="fewer galaxies: a rough idea")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(TARGETS))
    options = parser.parse_args()
    if options.job:
        name, arguments = options.job
        print(json.dumps(JOBS[name](**json.loads(arguments))))
        return 0

    part = 4 if options.quick else 1
    print(f"{platform.machine()}, {options.threads} threads, Python {platform.python_version()}\n")
    missed, rows = [], []
    for size in options.sizes:
        n = max(8, {64: 1600, 128: 400}.get(size, 60) // part)
        seconds = run("speed", size=size, n=n, threads=options.threads)
        rate, target = n / seconds["wall"], TARGETS.get(size)
        if target and rate < target:
            missed.append(f"{size} px: {rate:.1f} galaxies/s, target {target}")
        cpu = f"{1000 * seconds['cpu'] / n:.1f}"
        rows.append([f"{size} px", str(n), f"{rate:.1f}", str(target or ""), cpu])
    table(["picture", "galaxies", "galaxies/s", "target", "CPU ms a galaxy"], rows)

    counts = [count // part for count in (100, 400, 1600)]
    try:
        grown = [run("growth", n=n, size=64) for n in counts]
    except SystemExit as error:  # Windows has no module resource
        if "No module named 'resource'" not in str(error):
            raise
        print("Memory and growth: not measured, this system has no module `resource`.\n")
    else:
        costs = [g["cpu"] / n for g, n in zip(grown, counts, strict=True)]
        table(
            ["galaxies at 64 px", "CPU ms a galaxy", "largest memory grows by, MB"],
            [
                [str(n), f"{1000 * cost:.2f}", f"{g['memory'] / 1024:.1f}"]
                for n, cost, g in zip(counts, costs, grown, strict=True)
            ],
        )
        if costs[-1] > LINEAR * costs[0]:
            missed.append(f"cost grows faster than the galaxies: {costs[-1] / costs[0]:.2f} times")
        # Between the largest two: the first galaxies fill batches.
        extra = (grown[-1]["memory"] - grown[-2]["memory"]) / (counts[-1] - counts[-2])
        if extra > MEMORY_KB:
            missed.append(f"memory: {extra:.0f} kB a galaxy, at most {MEMORY_KB} expected")

    try:
        import galsim

        print(f"GalSim {galsim.__version__}, one thread on both sides, CPU ms a galaxy:\n")
    except ImportError:
        print("GalSim is not installed (it does not run on Windows): left out.")
    else:
        rows = []
        for size in options.sizes:
            n = max(8, N_GALSIM // part)
            theirs = run("galsim", size=size, n=n)["cpu"] / n
            mine = run("ours", size=size, n=n)
            whole, bare = mine["whole"] / n, mine["bare"] / n
            ratio = [f"{theirs / whole:.1f}", f"{theirs / bare:.1f}"]
            rows.append([f"{size} px", *(f"{1000 * t:.1f}" for t in (theirs, whole, bare)), *ratio])
        table(
            ["picture", "GalSim", "ours, whole pictures", "ours, galaxy + PSF + noise",
             "GalSim / whole", "GalSim / part"],
            rows,
        )  # fmt: skip
    for line in missed:
        print(f"MISSED: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
