"""A Kaggle of our own on 127.0.0.1: asks who you are and which rules you accepted, then redirects.

As at Kaggle, the file itself lies with a storage service at another address (here: another port),
whose link is signed and valid for one visitor; it must never see the visitor's credentials.
"""

import base64
import hashlib
import json
import uuid
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.data.two_servers import send_body, start_servers, stop_servers

MODIFIED = "Tue, 15 Mar 2022 12:00:00 GMT"


@dataclass
class FakeKaggle:
    """Use as a context manager; ``url`` is its address.

    Attributes
    ----------
    files
        Content by competition and name.
    users
        Key by user name; ``tokens`` are accepted as they are.
    rules
        Competitions whose rules were accepted.
    api_script, storage_script
        What the next requests get, one entry each: a status, ``(status, headers)``, ``("drop", n)``
        to break off after n bytes, ``("slow", seconds)`` to pause after each 64 kB, ``("body", b)``
        to send ``b`` with status 200, ``("cut", n)`` to announce and send only n bytes.
    seen
        Every request: (place, method, path, headers).
    """

    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    rules: set[str] = field(default_factory=set)
    api_script: deque[Any] = field(default_factory=deque)
    storage_script: deque[Any] = field(default_factory=deque)
    seen: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)
    signatures: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        handlers = (_Api, _Storage)
        self._servers = start_servers(*(type("H", (h,), {"kaggle": self}) for h in handlers))
        self.url, self.storage = (f"http://127.0.0.1:{s.server_port}" for s in self._servers)
        return self

    def __exit__(self, *error: object) -> None:
        stop_servers(self._servers)

    def ranges(self) -> list[str | None]:
        """Range headers of the requests to the storage, in order."""
        return [headers.get("Range") for place, _, _, headers in self.seen if place == "storage"]


class _Handler(BaseHTTPRequestHandler):
    kaggle: FakeKaggle
    place: str
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def note(self) -> None:
        self.kaggle.seen.append((self.place, self.command, self.path, dict(self.headers)))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, message: str, **headers: str) -> None:
        body = json.dumps({"code": status, "message": message}).encode()
        self.answer(status, body, Content_Type="application/json", **headers)

    def scripted(self, script: deque[Any]) -> Any:
        """Answer as the script says; give back a fault of the body, or True when all is done."""
        step = script.popleft() if script else None
        if isinstance(step, int):
            step = (step, {})
        if isinstance(step, tuple) and isinstance(step[0], int):
            self.refuse(step[0], "scripted", **step[1])
            return True
        return step


class _Api(_Handler):
    place = "api"

    def do_POST(self) -> None:
        """Serve the two calls that the client makes: who am I, and a file of a competition."""
        length = int(self.headers.get("Content-Length") or 0)
        asked = json.loads(self.rfile.read(length) or b"{}")
        self.note()
        if self.scripted(self.kaggle.api_script):
            return
        if not self.known():
            self.refuse(401, "Unauthenticated")
            return
        if self.path != "/v1/competitions.CompetitionApiService/DownloadDataFile":
            self.refuse(404, "Not found")
            return
        slug, name = asked["competitionName"], asked["fileName"]
        if slug not in self.kaggle.rules:
            self.refuse(403, "You must accept this competition's rules before you'll be able to...")
        elif (slug, name) not in self.kaggle.files:
            self.refuse(404, "Not found")
        else:
            signature = uuid.uuid4().hex
            self.kaggle.signatures.add(signature)
            place = f"{self.kaggle.storage}/{slug}/{name}?X-Goog-Signature={signature}"
            self.answer(302, Location=place)

    def known(self) -> bool:
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer":
            return value in self.kaggle.tokens
        if kind == "Basic":
            user, _, key = base64.b64decode(value).decode().partition(":")
            return bool(key) and self.kaggle.users.get(user) == key
        return False


class _Storage(_Handler):
    place = "storage"

    def do_GET(self) -> None:
        """Send a file, or the rest of it."""
        self.note()
        parts = urlsplit(self.path)
        if parse_qs(parts.query).get("X-Goog-Signature", [""])[0] not in self.kaggle.signatures:
            self.refuse(403, "signature")
            return
        fault = self.scripted(self.kaggle.storage_script)
        if fault is True:
            return
        _, slug, name = parts.path.split("/")
        content = self.kaggle.files[slug, name]
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start, kind = 0, "application/zip"
        if fault and fault[0] == "body":
            content, kind = fault[1], "text/html"
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range", tag) == tag:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        if fault and fault[0] == "cut":
            content = content[: fault[1]]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for header, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content) - start),
            "Accept-Ranges": "bytes",
            "ETag": tag,
            "Last-Modified": MODIFIED,
        }.items():
            self.send_header(header, value)
        self.end_headers()
        send_body(self, content[start:], fault)
