"""What a cutout costs us, and a job of 20,000 cutouts of which 1 % go wrong.

Run it from the course folder, on a machine that does nothing else::

    python benchmarks/cutouts.py

The server has a process of its own and sends pictures that it made beforehand, so that what is
counted, CPU time of the asking process, is ours: request, verification of the picture (decoded as a
whole), and its file. Beside it a plain loop: one ``requests`` session, one thread, the answer
written to a file without a look at it.

In the job with faults every hundredth position is in trouble: a busy server or a broken connection
once, or an error page, an empty or half a picture, a wrong size or a place outside the survey for
ever. Afterwards every good picture must be on disk as it was sent, and every other galaxy listed.
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

PASSING = ("503", "429", "drop")
FOR_EVER = ("html", "empty", "truncated", "wrong size", "404 footprint", "grey")
N = 20_000


def positions(n: int, with_faults: bool):
    """Give a table of n galaxies; those with faults lie in a part of the sky of their own."""
    import numpy as np
    import pandas as pd

    rows = np.arange(n)
    names = [f"g{row}" for row in rows]
    dec = (20 if with_faults else -5) + rows / 1000
    return pd.DataFrame({"id": names, "ra": 10 + rows / 1000, "dec": dec})


def faults(n: int) -> dict[int, tuple[str, bool]]:
    """Kind of fault, and whether it lasts, by row of the table."""
    found = {}
    for i, row in enumerate(range(50, n, 100)):
        kinds = FOR_EVER if i % 2 else PASSING
        found[row] = (kinds[i // 2 % len(kinds)], kinds is FOR_EVER)
    return found


def measure(kind: str, n: int, size: int, url: str, folder: Path) -> dict[str, float]:
    """CPU and wall milliseconds a cutout, and growth of the largest memory in MB."""
    import resource

    os.environ["GALHELPERS_URL_SDSS"] = url
    from galhelpers.data.cutouts import SERVICES, fetch_cutouts
    from galhelpers.data.downloads import open_session

    table = positions(n, kind == "with faults")
    settings = {"size": size, "pixel_scale": 0.4, "per_second": 1e9}
    # What the first call of anything costs is no part of the rate.
    fetch_cutouts(positions(50, False), folder / "warm", **settings)

    def peak() -> float:
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest / (1 << 20 if sys.platform == "darwin" else 1 << 10)

    before, cpu, wall = peak(), time.process_time(), time.perf_counter()
    if kind == "plain requests loop":
        (folder / "plain").mkdir()
        with open_session() as session:
            for row in table.itertuples():
                params = {"ra": row.ra, "dec": row.dec, "scale": 0.4, "width": size, "height": size}
                answer = session.get(url + SERVICES["sdss"].path, params=params, timeout=60)
                (folder / "plain" / f"{row.id}.jpg").write_bytes(answer.content)
    else:
        report = fetch_cutouts(table, folder / "ours", **settings)
    cost = {
        "cpu": 1000 * (time.process_time() - cpu) / n,
        "wall": 1000 * (time.perf_counter() - wall) / n,
        "growth": peak() - before,
    }
    if kind != "plain requests loop":
        check(table, report, folder / "ours", size, faults(n) if kind == "with faults" else {})
    return cost


def check(table, report, folder: Path, size: int, wrong: dict[int, tuple[str, bool]]) -> None:
    """Every good picture is there as it was sent, every other galaxy is listed with a reason."""
    from tests.data.sky_server import SkyServer

    import pandas as pd

    bad = {f"g{row}" for row, (_, lasts) in wrong.items() if lasts}
    assert (report.done, report.failed) == (len(table) - len(bad), len(bad)), report
    if bad:
        listed = pd.read_csv(folder / "failures.csv", dtype=str)
        assert set(listed["id"]) == bad
        assert listed["reason"].str.len().gt(0).all()
    sent = SkyServer().picture
    for row in table.itertuples():
        file = folder / "images" / f"{row.id}.jpg"
        if row.id in bad:
            assert not file.exists(), row
        else:
            assert file.read_bytes() == sent(f"{row.ra:.6f}", f"{row.dec:.6f}", size), row


def serve(n: int) -> None:
    from tests.data.sky_server import SkyServer

    with SkyServer() as sky:
        table = positions(n, True)
        for row, (kind, lasts) in faults(n).items():
            sky.fault(table["ra"][row], table["dec"][row], kind, forever=lasts)
        print(sky.url, flush=True)
        sys.stdin.read()  # until the other side is done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=N)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.n)
    if args.part:
        kind, n, size, url, folder = json.loads(args.part)
        print(json.dumps(measure(kind, n, size, url, Path(folder))))
        return None
    from galhelpers.threads import usable_cores

    print(f"{platform.platform()}, {usable_cores()} cores, Python {platform.python_version()}")
    print(f"{'':24}{'cutouts':>8}{'px':>5}{'CPU ms':>8}{'wall ms':>9}{'growth MB':>11}")
    few = max(1, args.n // 10)
    parts = [
        ("plain requests loop", few, 64),
        ("fetch_cutouts", few, 64),
        ("with faults", args.n, 64),
        ("plain requests loop", few, 424),
        ("fetch_cutouts", few, 424),
    ]
    me = [sys.executable, __file__, "--n", str(args.n)]
    server = subprocess.Popen(
        [*me, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    grown = []
    try:
        url = server.stdout.readline().strip()
        for kind, n, size in parts:
            with tempfile.TemporaryDirectory() as folder:
                part = json.dumps([kind, n, size, url, folder])
                out = subprocess.run([*me, "--part", part], check=True, stdout=subprocess.PIPE)
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
