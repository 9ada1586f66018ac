"""A Hugging Face Hub of our own on 127.0.0.1, with as much as its real client asks for.

Descriptions of a repository at a revision (with sizes and checksums), and files at a revision; a
large file is redirected to a storage at another address (here: another port), which must never see
the visitor's token.
"""

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tests.data.two_servers import send_body, start_servers, stop_servers


@dataclass
class FakeHub:
    """Use as a context manager; ``url`` is its address.

    Attributes
    ----------
    commits
        Files by name, by repository and full commit; those above 1,000 bytes count as large.
    refs
        Commit by repository and branch.
    token
        When set, only its bearer is let in.
    script, storage_script
        What the next requests get, one entry each: None (nothing special), a status,
        ``(status, headers)``, ``("drop", n)`` to break off after n bytes, ``("slow", seconds)`` to
        pause after each 64 kB, ``("body", b)`` to send ``b`` with status 200.
    seen
        Every request: (place, method, path, headers).
    """

    commits: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    refs: dict[tuple[str, str], str] = field(default_factory=dict)
    token: str | None = None
    script: deque[Any] = field(default_factory=deque)
    storage_script: deque[Any] = field(default_factory=deque)
    seen: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.blobs: dict[str, bytes] = {}
        handlers = (_Hub, _Storage)
        self._servers = start_servers(*(type("H", (h,), {"hub": self}) for h in handlers))
        self.url, self.storage = (f"http://127.0.0.1:{s.server_port}" for s in self._servers)
        return self

    def __exit__(self, *error: object) -> None:
        stop_servers(self._servers)

    def commit(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit, which the branch then points to; gives its name."""
        names = "".join(name + hashlib.sha1(files[name]).hexdigest() for name in sorted(files))
        commit = hashlib.sha1(names.encode()).hexdigest()
        self.commits[repo, commit] = files
        self.refs[repo, branch] = commit
        return commit

    def paths(self, place: str) -> list[str]:
        """Paths that were asked for at ``"hub"`` or ``"storage"``, in order."""
        return [path for where, _, path, _ in self.seen if where == place]


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    place: str
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        """Note the request, do what the script says, or what one asked for."""
        self.hub.seen.append((self.place, self.command, self.path, dict(self.headers)))
        script = self.hub.script if self.place == "hub" else self.hub.storage_script
        step = script.popleft() if script else None
        if isinstance(step, int):
            step = (step, {})
        if step and isinstance(step[0], int):
            self.answer(step[0], b'{"error": "scripted"}', step[1])
        else:
            self.serve(unquote(urlsplit(self.path).path), step)

    def serve(self, path: str, fault: Any) -> None:
        raise NotImplementedError

    def answer(self, status: int, body: bytes, headers: dict[str, str], fault: Any = None) -> None:
        if fault and fault[0] == "body":
            body = fault[1]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        send_body(self, body, fault)

    def send_file(self, content: bytes, headers: dict[str, str], fault: Any) -> None:
        wanted = self.headers.get("Range")
        start, status = 0, 200
        if wanted and self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
            start, status = int(wanted.removeprefix("bytes=").partition("-")[0]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(status, content[start:], {**headers, "Accept-Ranges": "bytes"}, fault)


class _Hub(_Handler):
    place = "hub"

    def serve(self, path: str, fault: Any) -> None:
        """Describe a repository, or give a file of it."""
        known = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        parts = path.strip("/").split("/")
        repo = "/".join(parts[2:4] if parts[0] == "api" else parts[1:3])
        if self.hub.token and not known:
            code = "GatedRepo" if "gated" in repo else "RepoNotFound"
            self.answer(401, b"{}", {"X-Error-Code": code})
            return
        revision = (parts[5] if len(parts) > 5 else "main") if parts[0] == "api" else parts[4]
        commit = self.hub.refs.get((repo, revision), revision)
        if not any(repo == name for name, _ in self.hub.commits):
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif (repo, commit) not in self.hub.commits:
            self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif parts[0] == "api" and "tree" in parts:
            listed = self.hub.commits[repo, commit].items()
            body = json.dumps([self.describe(*file) for file in listed]).encode()
            self.answer(200, body, {"Content-Type": "application/json"}, fault)
        elif parts[0] == "api":
            files = [self.describe(*file) for file in self.hub.commits[repo, commit].items()]
            body = json.dumps({"id": repo, "sha": commit, "siblings": files}).encode()
            self.answer(200, body, {"Content-Type": "application/json"}, fault)
        else:
            self.give(commit, self.hub.commits[repo, commit]["/".join(parts[5:])], fault)

    def describe(self, name: str, content: bytes) -> dict[str, Any]:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"type": "file", "path": name, "rfilename": name}
        entry |= {"size": len(content), "oid": blob, "blobId": blob}
        if len(content) > 1000:
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"size": len(content), "oid": sha256, "sha256": sha256}
            entry["lfs"]["pointerSize"] = 134
        return entry

    def give(self, commit: str, content: bytes, fault: Any) -> None:
        if len(content) <= 1000:
            tag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self.send_file(content, {"ETag": f'"{tag}"', "X-Repo-Commit": commit}, fault)
            return
        tag = hashlib.sha256(content).hexdigest()
        self.hub.blobs[tag] = content
        headers = {
            "Location": f"{self.hub.storage}/{tag}?Signature=only-for-you",
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{tag}"',
            "X-Linked-Size": str(len(content)),
        }
        self.answer(302, b"", headers)


class _Storage(_Handler):
    place = "storage"

    def serve(self, path: str, fault: Any) -> None:
        """Give a large file, or the rest of it."""
        tag = path.strip("/")
        self.send_file(self.hub.blobs[tag], {"ETag": f'"{tag}"'}, fault)
