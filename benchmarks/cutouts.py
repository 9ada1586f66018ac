"""What a cutout costs us: CPU time and memory of 20,000 from a server on this computer.

Run it from the course folder, on a machine that does nothing else::

    python benchmarks/cutouts.py

The server has a process of its own and sends pictures that it made beforehand, so that what is
counted, CPU time of the asking process, is ours: request, verification of the picture (decoded as a
whole), and its file. Beside it a plain loop: one ``requests`` session, one thread, the answer
written to a file without a look at it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
GROWTH_MB = 60
"""The largest resident memory may grow by so much, whatever the number of galaxies."""


def measure(kind: str, n: int, size: int, url: str, folder: Path) -> dict[str, float]:
    """CPU and wall milliseconds a cutout, and growth of the largest memory in MB."""
    import resource

    import numpy as np
    import pandas as pd

    os.environ["GALHELPERS_URL_SDSS"] = url
    from galhelpers.data.web.cutouts import cutout_params, cutout_url, fetch_cutouts
    from galhelpers.data.web.services import open_session

    rows = np.arange(n)
    table = pd.DataFrame({"id": [f"g{row}" for row in rows], "ra": 10 + rows / 1000,
                          "dec": -5 + rows / 1000})  # fmt: skip
    settings = {"size": size, "pixel_scale": 0.4, "per_second": np.inf, "progress": False}
    # What the first call of anything costs is no part of the rate.
    fetch_cutouts(table.head(50), folder / "warm", **settings)

    def peak() -> float:
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest / (1 << 20 if sys.platform == "darwin" else 1 << 10)

    before, cpu, wall = peak(), time.process_time(), time.perf_counter()
    if kind == "fetch_cutouts":
        report = fetch_cutouts(table, folder / "ours", **settings)
        assert report.done == n
    else:
        (folder / "plain").mkdir()
        base = cutout_url("sdss")
        with open_session() as session:
            for row in table.itertuples():
                params = cutout_params("sdss", row.ra, row.dec, 0.4, size)
                content = session.get(base, params=params, timeout=60).content
                (folder / "plain" / f"{row.id}.jpg").write_bytes(content)
    return {
        "cpu": 1000 * (time.process_time() - cpu) / n,
        "wall": 1000 * (time.perf_counter() - wall) / n,
        "growth": peak() - before,
    }


def serve() -> None:
    from tests.data.web.sky_server import SkyServer

    with SkyServer() as sky:
        print(sky.url, flush=True)
        sys.stdin.read()  # until the other side is done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve()
    if args.part:
        kind, n, size, url, folder = json.loads(args.part)
        print(json.dumps(measure(kind, n, size, url, Path(folder))))
        return None
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'':24}{'cutouts':>8}{'px':>5}{'CPU ms':>8}{'wall ms':>9}{'growth MB':>11}")
    few = max(1, args.n // 10)
    parts = [
        ("plain requests loop", few, 64),
        ("fetch_cutouts", few, 64),
        ("fetch_cutouts", args.n, 64),
        ("plain requests loop", few, 424),
        ("fetch_cutouts", few, 424),
    ]
    me = [sys.executable, __file__]
    server = subprocess.Popen(
        [*me, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    grown = []
    try:
        url = server.stdout.readline().strip()
        for kind, n, size in parts:
            with tempfile.TemporaryDirectory() as folder:
                part = json.dumps([kind, n, size, url, folder])
                out = subprocess.run([*me, "--part", part], check=True, capture_output=True)
            found = json.loads(out.stdout)
            grown.append(found["growth"])
            row = f"{kind:24}{n:8,}{size:5}{found['cpu']:8.2f}{found['wall']:9.2f}"
            print(f"{row}{found['growth']:11.1f}", flush=True)
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()
    if max(grown) > GROWTH_MB:
        sys.exit(f"Memory grew by {max(grown):.0f} MB; expected no more than {GROWTH_MB}.")


if __name__ == "__main__":
    main()
