"""Weights of torchvision's networks, from a server of our own."""

import http.server
import threading
from functools import partial

import pytest
import torch


class Counting(http.server.SimpleHTTPRequestHandler):
    asked: list

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def serve_weights(tmp_path, monkeypatch):
    """Give a function that puts a file in the place of torchvision's, with an empty cache.

    It takes torchvision's entry and a file, and gives the place in the cache and a list of the
    paths asked for so far.
    """
    servers = []

    def serve(weights, file):
        handler = type("Handler", (Counting,), {"asked": []})
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(handler, directory=str(file.parent))
        )
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "cache"))
        url = f"http://127.0.0.1:{server.server_port}/{file.name}"
        monkeypatch.setattr(weights, "_value_", type(weights.value)(url, weights.transforms, {}))
        return tmp_path / "cache" / "checkpoints" / file.name, handler.asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
