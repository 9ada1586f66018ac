"""A service and its storage: web servers on 127.0.0.1, each in a thread of its own."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def start_servers(*handlers: type[BaseHTTPRequestHandler]) -> list[ThreadingHTTPServer]:
    """Start a server for each kind of handler, at a port that is free."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in handlers]
    for server in servers:
        server.daemon_threads = True
        # Visitors who leave in the middle are part of the plan.
        server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return servers


def stop_servers(servers: list[ThreadingHTTPServer]) -> None:
    """Stop them and free their ports."""
    for server in servers:
        server.shutdown()
        server.server_close()


def send_body(handler: BaseHTTPRequestHandler, body: bytes, fault: Any = None) -> None:
    """Send the body of an answer, whole or with a fault.

    ``("drop", n)`` breaks off after n bytes; ``("slow", s)`` waits s seconds after each 64 kB.
    """
    try:
        if fault and fault[0] == "drop":
            handler.wfile.write(body[: fault[1]])
            handler.close_connection = True
            return
        for at in range(0, len(body), 65536):
            handler.wfile.write(body[at : at + 65536])
            if fault and fault[0] == "slow":
                time.sleep(fault[1])
    except ConnectionError:  # the visitor left
        handler.close_connection = True
