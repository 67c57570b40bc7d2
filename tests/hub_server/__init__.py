"""A Hub in memory, which the unmodified clients reach through `HF_ENDPOINT` (the API of huggingface_hub 2.4).

A file in LFS is a redirect to another host name that rejects tokens, as the storage of the Hub does, so that a test
notices a client that sends its token there. Not covered: xet, multipart uploads, pull requests, validation of cards.

    with HubServer() as hub:
        hub.add_user("ada", token="hf_ada", orgs={"mill": "write"})
        hub.fail(503, after=3, retry_after=0)            # the fourth request from now, once
        hub.cut(path="/commit/", received=100)           # the next commit, after 100 bytes: nothing is done
        hub.cut(path="/commit/")                         # the next commit: it is made, and the response is lost
        HfApi(endpoint=hub.endpoint, token="hf_ada").upload_folder(...)
        assert hub.files("ada/ferry", type="dataset")["README.md"] == ...
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from hub_server.api import handle
from hub_server.messages import HubError, Request, Response
from hub_server.repos import Hub

Do = Callable[[], object] | None


@dataclass
class Logged:
    """A request without its token. `status` is None if the connection was cut."""

    method: str
    path: str
    user: str | None
    status: int | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status}"


@dataclass
class Fault:
    """A failure of `times` requests that match `method` and `path` (a pattern), after the first `after` of them."""

    method: str
    path: str
    after: int
    times: int
    do: Do
    error: Response | None = None
    received: int | None = None
    sent: int | None = None

    def applies(self, method: str, path: str) -> bool:
        if not self.times or self.method not in ("", method) or not re.search(self.path, path):
            return False
        self.after -= 1
        self.times -= self.after < 0
        return self.after < 0


class HubServer(Hub):
    """The Hub with a server in a thread, planned faults, and a log of requests."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self.storage = f"http://localhost:{self._http.server_port}"
        self.reset()
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "HubServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def reset(self) -> None:
        """Remove all users, repositories, faults and log entries."""
        super().__init__()
        self.faults: list[Fault] = []
        self.log: list[Logged] = []
        self.errors: list[str] = []  # of this server; a test fails if there are any

    def fail(
        self,
        status: int,
        message: str = "By script",
        *,
        after: int = 0,
        times: int = 1,
        method: str = "",
        path: str = "",
        retry_after: int | None = None,
        do: Do = None,
    ) -> None:
        """Answer later requests with an error, without performing them. `do` is called before the response."""
        waits = {} if retry_after is None else {"Retry-After": str(retry_after)}
        # A status above 500 comes from a gateway, which answers with an HTML page.
        page = Response(status, f"<html>{message}</html>".encode(), {"Content-Type": "text/html", **waits})
        error = page if status > 500 else HubError(status, message, **waits).response
        self.faults.append(Fault(method, path, after, times, do, error))

    def cut(
        self,
        *,
        after: int = 0,
        times: int = 1,
        method: str = "",
        path: str = "",
        received: int | None = None,
        sent: int | None = None,
        do: Do = None,
    ) -> None:
        """Cut later connections.

        Args:
            received: cut after so many bytes of the request body; the request is not performed.
            sent: perform the request, and cut after so many bytes of the response body. With neither, the request is
                performed and there is no response.
            do: called after the request was performed or dropped, before any response.
        """
        self.faults.append(Fault(method, path, after, times, do, received=received, sent=sent))

    def register(self, request: Request) -> tuple[Logged, Fault | None]:
        """Log the request, and return its fault if one is planned."""
        logged = Logged(request.method, unquote(request.path), request.user.name if request.user else None)
        # The client sends this request once a day. It is not logged, since tests count requests.
        if request.path == "/api/agent-harnesses":
            return logged, None
        with self._lock:
            self.log.append(logged)
            return logged, next((f for f in self.faults if f.applies(logged.method, logged.path)), None)

    def respond(self, request: Request) -> Response:
        with self._lock:
            return handle(self, request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: the handler records its errors, and clients may close the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: ClassVar[HubServer]

    def do_GET(self) -> None:
        try:
            self._exchange()
        except ConnectionError:
            self.close_connection = True
        except Exception as error:
            self.hub.errors.append(f"{self.command} {self.path}: {error!r}")
            raise

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _exchange(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        user = self.hub.users.get(headers.get("authorization", "").removeprefix("Bearer "))
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        request = Request(self.command, url.path, query, headers, user)
        logged, fault = self.hub.register(request)
        request = replace(request, body=self._body(limit=fault.received if fault else None))
        response = self._response(request, fault)
        if fault and fault.do:
            fault.do()
        if not fault or fault.error:
            logged.status = response.status
            self._send(response)
        else:
            self.close_connection = True
            if fault.sent is not None:
                self._send(response, fault.sent)

    def _response(self, request: Request, fault: Fault | None) -> Response:
        if fault and fault.error:
            return fault.error
        return Response() if fault and fault.received is not None else self.hub.respond(request)

    def _body(self, limit: int | None) -> bytes:
        """The request body, of a known length or in chunks; of a known length at most `limit` bytes."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            length = int(self.headers.get("Content-Length", 0))
            return self._read(length if limit is None else min(limit, length))
        body = b""
        while size := int(self.rfile.readline() or "0", 16):
            body += self._read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _read(self, length: int) -> bytes:
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("The client closed the connection")
        return data

    def _send(self, response: Response, sent: int | None = None) -> None:
        """Send the response, or the first `sent` bytes of its body."""
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value.encode("ascii", "replace").decode())
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body[:sent])

    def log_message(self, *_: object) -> None:
        """Print nothing; `hub.log` has the request."""
