"""An image service of our own on 127.0.0.1: SDSS cutouts and radii, Legacy Surveys, and faults.

::

    with SkyServer() as sky:
        monkeypatch.setenv("GALHELPERS_URL_SDSS", sky.url)
        monkeypatch.setenv("GALHELPERS_URL_LEGACY", sky.url)
        sky.fault(ra, dec, "503")  # once; then the picture comes
        sky.fault(ra, dec, "html", forever=True)

It speaks ImgCutout/getjpeg, viewer/cutout.jpg, and the cross-identification that astroquery asks
for radii.
"""

import collections
import csv
import io
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

N_PICTURES = 8


def jpeg(pixels: np.ndarray, quality: int = 90) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def galaxy(size: int, seed: int) -> np.ndarray:
    """A galaxy of sorts on a noisy sky, uint8 (size, size, 3)."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:size, :size] - size / 2) / size
    light = np.exp(-np.hypot(x, y * (1 + seed % 3)) / 0.06)[..., None] * [200, 180, 140]
    return np.clip(light + rng.normal(12, 4, (size, size, 3)), 0, 255).astype(np.uint8)


class SkyServer:
    """A threaded server; `requests` counts what was asked for, ``times`` when."""

    def __init__(self):
        self.requests = collections.Counter()
        self.times = []
        self.queries = []
        self.retry_after = "0"
        self.objects = []  # rows of (ra, dec, petroR90_r) that the cross-identification knows
        self.table_faults = []
        self.sent_for_nothing = 0  # bytes of the faults that have no end
        self._faults = {}
        self._lock = threading.Lock()
        self._pictures = {}
        sky = self

        class Handler(_Handler):
            server_sky = sky

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients may hang up whenever they like
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @staticmethod
    def key(ra, dec):
        return f"{float(ra):.4f} {float(dec):.4f}"

    def fault(self, ra, dec, *kinds, forever=False):
        """Answer with faults at a position, one after the other, then properly (or for ever)."""
        self._faults[self.key(ra, dec)] = (collections.deque(kinds), forever)

    def fault_now(self, key):
        with self._lock:
            kinds, forever = self._faults.get(key, ((), False))
            if not kinds:
                return ""
            return kinds[0] if forever else kinds.popleft()

    def picture(self, ra, dec, size):
        """What is answered for a position: one of a few, made once."""
        if size not in self._pictures:
            self._pictures[size] = [jpeg(galaxy(size, seed)) for seed in range(N_PICTURES)]
        return self._pictures[size][round(float(ra) * 1e4 + float(dec) * 1e4) % N_PICTURES]

    def note(self, key, query):
        with self._lock:
            self.requests[key] += 1
            self.times.append((time.monotonic(), key))
            self.queries.append(query)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, as they do with the real ones
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer
    server_sky = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if "x_results" in parts.path.lower():
            rows = [{"name": name} for name in ("ra", "dec", "petroR90_r")]
            return self.answer(json.dumps([{"Rows": rows}]).encode(), "application/json")
        if not parts.path.endswith(("/ImgCutout/getjpeg", "/cutout.jpg")):
            return self.answer(b"no such page", "text/plain", 404)
        key = self.server_sky.key(query["ra"], query["dec"])
        self.server_sky.note(key, query)
        return self.cutout(query, key)

    def cutout(self, query, key):
        sky = self.server_sky
        size = int(query.get("size") or query["width"])
        kind = sky.fault_now(key)
        good = sky.picture(query["ra"], query["dec"], size)
        if kind == "drop":
            self.answer(good[: len(good) // 2], "image/jpeg", length=len(good))
            self.close_connection = True
            return None
        if kind in ("endless", "drip"):
            return self.without_end(kind)
        if kind == "404 footprint":
            reason = "NOT FOUND. Requested (ra, dec) is outside the SDSS footprint."
            return self.answer(b"", "text/plain", 404, reason=reason)
        if kind.isdigit():
            extra = {"Retry-After": sky.retry_after} if kind == "429" else {}
            return self.answer(b"<h1>Trouble</h1>", "text/html", int(kind), extra=extra)
        contents = {
            "html": lambda: b"<style>p{}</style><h1>SkyServer</h1><p>Down for maintenance</p>",
            "nothing": lambda: b"",
            "truncated": lambda: good[: len(good) // 2],
            "empty": lambda: jpeg(np.full((size, size, 3), 32, np.uint8)),
            "white": lambda: jpeg(np.full((size, size, 3), 255, np.uint8)),
            "wrong size": lambda: jpeg(galaxy(size // 2, 0)),
            "grey": lambda: jpeg(galaxy(size, 0)[..., 0]),
        }
        return self.answer(contents.get(kind, lambda: good)(), "image/jpeg")

    def without_end(self, kind):
        """600 MB, or a few bytes now and then; until the client hangs up."""
        self.close_connection = True
        self.answer(b"", "image/jpeg", length=600 << 20)
        piece = b"x" if kind == "drip" else bytes(1 << 20)
        for _ in range(600):
            self.wfile.write(piece)
            self.wfile.flush()
            self.server_sky.sent_for_nothing += len(piece)
            time.sleep(0.02 if kind == "drip" else 0)

    def do_POST(self):
        """Cross-identification: positions are uploaded, the nearest objects come back."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sky = self.server_sky
        sky.requests["crossid"] += 1
        fields = dict(re.findall(r'name="(\w+)"\r\n\r\n(.*?)\r\n--', body, re.S))
        upload = re.search(r'name="upload".*?\r\n\r\n(.*?)\r\n--', body, re.S)[1]
        fault = sky.table_faults.pop(0) if sky.table_faults else ""
        if fault.isdigit():
            return self.answer(b"busy", "text/plain", int(fault))
        if fault:
            return self.answer(b"<h1>Down for maintenance</h1>", "text/html")
        columns = re.findall(r"(?<!\()p\.(\w+)", fields["uquery"].split("FROM")[0])
        out = io.StringIO()
        out.write("#Table1\n")
        writer = csv.writer(out)
        writer.writerow([*columns, "type"])
        for line in upload.splitlines()[1:]:
            _, ra, dec = line.split()
            reach = float(fields["radius"]) / 60  # arcmin, as astroquery sends it
            for row in sky.objects:
                east = (row[0] - float(ra)) * np.cos(np.radians(row[1]))
                if np.hypot(east, row[1] - float(dec)) <= reach:
                    known = dict(zip(("ra", "dec", "petroR90_r"), row, strict=True))
                    writer.writerow([*(known[name] for name in columns), "GALAXY"])
        return self.answer(out.getvalue().encode(), "text/plain")

    def answer(self, body, kind, status=200, reason=None, length=None, extra=None):
        self.send_response(status, reason)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
