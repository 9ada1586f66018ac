"""A web server on 127.0.0.1 that serves files and misbehaves as it is told.

    with FaultyServer() as server:
        url = server.serve("/a.zip", content, Fault(status=503), Fault(drop_after=1000))
        ...
        assert server.requests[2].headers["Range"] == "bytes=1000-"

Each request for a path meets the next of its faults; when they are used up, the path is served as
a good server does it, with ETag, Content-Length and Range.
"""

import hashlib
import http.server
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """What is unusual about one answer."""

    status: int | None = None  # this status, with ``body`` instead of the file
    body: bytes = b"no"
    headers: dict = field(default_factory=dict)  # added; a value of None takes one away
    content: bytes | None = None  # another file, by which length and ETag go
    drop_after: int | None = None  # close the connection after so many bytes of the body
    reset: bool = False  # ... with a TCP reset instead of an orderly end
    hold_after: int | None = None  # stop after so many bytes until server.release is set
    drip: float | None = None  # ... and until then send a byte each so many seconds
    silent: bool = False  # say nothing at all until server.release is set
    no_length: bool = False  # leave out Content-Length; the connection's end ends the body
    chunked: bool = False  # the same with Transfer-Encoding: chunked
    ignore_range: bool = False  # send all of it with 200
    raw: Iterable[bytes] | None = None  # these bytes, and nothing that HTTP asks for
    shift: int = 0  # answer a Range with a part that starts so many bytes later


@dataclass(frozen=True)
class Request:
    """What was asked for: all header names are in the case that the client used."""

    path: str
    headers: dict


class FaultyServer:
    """Serves ``files``; notes ``requests`` and ``bytes_sent``. A context manager."""

    def __init__(self, context: ssl.SSLContext | None = None):
        self.requests: list[Request] = []
        self.bytes_sent = 0  # of bodies of files
        self.release = threading.Event()
        self._files: dict[str, tuple[bytes, list[Fault], str]] = {}
        self._lock = threading.Lock()
        outer = self

        class Handler(_Handler):
            server_of = outer

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # a client that hangs up is part of the tests
        if context:
            self._http.socket = context.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "FaultyServer":
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()

    def serve(self, path: str, content: bytes, *faults: Fault, kind="application/octet-stream"):
        """Serve a file at a path; give its address."""
        self._files[path] = (content, list(faults), kind)
        return self.url + path

    def next_answer(self, path: str, headers: dict):
        with self._lock:
            self.requests.append(Request(path, headers))
            content, faults, kind = self._files.get(path.partition("?")[0], (None, [], ""))
            return content, faults.pop(0) if faults else Fault(), kind

    def ranges(self) -> list[str | None]:
        """Range headers of all requests, in order."""
        return [request.headers.get("Range") for request in self.requests]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: FaultyServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server_of
        content, fault, kind = server.next_answer(self.path, dict(self.headers))
        if fault.silent:
            server.release.wait(10)
            return self._hang_up()
        if fault.raw is not None:
            for piece in fault.raw:
                self.wfile.write(piece)
            return self._hang_up()
        if content is None or fault.status is not None:
            body = fault.body
            return self._send(fault.status or 404, {"Content-Length": len(body)}, body, fault)
        content = content if fault.content is None else fault.content
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {"Content-Type": kind, "ETag": etag, "Accept-Ranges": "bytes", **fault.headers}
        etag = headers["ETag"]
        start, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and not fault.ignore_range and self.headers.get("If-Range", etag) == etag:
            start = int(asked[1])
            if start >= len(content):
                headers["Content-Range"] = f"bytes */{len(content)}"
                return self._send(416, {**headers, "Content-Length": 0}, b"", fault)
            start += fault.shift
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if fault.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif not fault.no_length:
            headers["Content-Length"] = len(body)
        self._send(status, headers, body, fault)

    def _send(self, status, headers, body, fault):
        self.send_response(status)
        for name, value in {**headers, **fault.headers}.items():
            if value is not None:
                self.send_header(name, str(value))
        if fault.no_length or fault.drop_after is not None:
            self.close_connection = True
        self.end_headers()
        end = len(body) if fault.drop_after is None else fault.drop_after
        hold = end if fault.hold_after is None else fault.hold_after
        self._write(body[:hold], fault)
        if fault.drip is not None:
            late = time.monotonic() + 10
            while hold < end and time.monotonic() < late:
                if self.server_of.release.wait(fault.drip):
                    break
                self._write(body[hold : hold + 1], fault)
                hold += 1
        elif fault.hold_after is not None:
            self.server_of.release.wait(10)
        self._write(body[hold:end], fault)
        if fault.chunked and end == len(body):
            self.wfile.write(b"0\r\n\r\n")
        if fault.drop_after is not None:
            self._hang_up(fault.reset)

    def _write(self, data, fault):
        for i in range(0, len(data), 10_000):
            piece = data[i : i + 10_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if fault.chunked else piece)
            self.server_of.bytes_sent += len(piece)

    def _hang_up(self, reset=False):
        self.close_connection = True
        if reset:
            # SO_LINGER of no seconds: closing sends RST, and what was not yet read is lost
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def visible(folder: Path) -> list[str]:
    """Names in a folder that a reader would see, at any depth, sorted."""
    paths = (path.relative_to(folder) for path in Path(folder).rglob("*"))
    return sorted(
        path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)
    )
