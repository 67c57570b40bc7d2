"""A Hub in memory, spoken to by the unmodified clients through `HF_ENDPOINT` (what huggingface_hub 2.4 asks for).

A file kept by LFS is answered with a redirect to another host name that refuses tokens, as the Hub's storage does, so
a client that sent one along would be noticed. Not covered: xet, multipart uploads, pull requests, validation of cards.

    with HubServer() as hub:
        hub.add_user("ada", token="hf_ada", orgs={"mill": "write"})
        hub.fail(503, after=3, retry_after=0)            # the fourth request from now on, once
        hub.cut(path="/commit/", received=100)           # the next commit, 100 bytes into its body: nothing is done
        hub.cut(path="/commit/")                         # the next commit: it is made, and its answer lost
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
from hub_server.messages import Refused, Request, Response
from hub_server.repos import Hub

Do = Callable[[], object] | None


@dataclass
class Logged:
    """A request as it came in, without its token. `status` is None where the connection was cut."""

    method: str
    path: str
    user: str | None
    status: int | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status}"


@dataclass
class Fault:
    """What befalls the `times` requests that match `method` and `path` (a pattern), after `after` that also do."""

    method: str
    path: str
    after: int
    times: int
    do: Do
    refusal: Response | None = None
    received: int | None = None
    sent: int | None = None

    def strikes(self, method: str, path: str) -> bool:
        if not self.times or self.method not in ("", method) or not re.search(self.path, path):
            return False
        self.after -= 1
        self.times -= self.after < 0
        return self.after < 0


class HubServer(Hub):
    """The Hub, a server of it in a thread, what shall go wrong, and the log."""

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
        """As new: no users, no repositories, nothing to go wrong, an empty log."""
        super().__init__()
        self.faults: list[Fault] = []
        self.log: list[Logged] = []
        self.errors: list[str] = []  # of this server, which a test must not see

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
        """Refuses requests to come, which are not done. `do` is called before the answer."""
        waits = {} if retry_after is None else {"Retry-After": str(retry_after)}
        # Above 500 it is a gateway that answers, with a page for people.
        page = Response(status, f"<html>{message}</html>".encode(), {"Content-Type": "text/html", **waits})
        refusal = page if status > 500 else Refused(status, message, **waits).response
        self.faults.append(Fault(method, path, after, times, do, refusal))

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
        """Cuts connections to come: after `received` bytes of the request's body, which is then not done, or else
        after `sent` bytes of the answer's body; with neither, the request is done and nothing is answered. `do` is
        called when what is done is done, before any answer."""
        self.faults.append(Fault(method, path, after, times, do, received=received, sent=sent))

    def arrival(self, request: Request) -> tuple[Logged, Fault | None]:
        """Writes the request down, and says what shall go wrong with it."""
        logged = Logged(request.method, unquote(request.path), request.user.name if request.user else None)
        # The client asks this for itself, once a day: counted, it would shift what a test counts.
        if request.path == "/api/agent-harnesses":
            return logged, None
        with self._lock:
            self.log.append(logged)
            return logged, next((f for f in self.faults if f.strikes(logged.method, logged.path)), None)

    def respond(self, request: Request) -> Response:
        with self._lock:
            return handle(self, request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is printed: the handler writes down its own errors, and clients may hang up."""


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
        logged, fault = self.hub.arrival(request)
        request = replace(request, body=self._body(limit=fault.received if fault else None))
        response = self._response(request, fault)
        if fault and fault.do:
            fault.do()
        if not fault or fault.refusal:
            logged.status = response.status
            self._send(response)
        else:
            self.close_connection = True
            if fault.sent is not None:
                self._send(response, fault.sent)

    def _response(self, request: Request, fault: Fault | None) -> Response:
        if fault and fault.refusal:
            return fault.refusal
        return Response() if fault and fault.received is not None else self.hub.respond(request)

    def _body(self, limit: int | None) -> bytes:
        """The request's body, of a known length or in chunks; at most `limit` bytes of the former."""
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
            raise ConnectionError("The client hung up")
        return data

    def _send(self, response: Response, sent: int | None = None) -> None:
        """All of it, or its body's first bytes."""
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value.encode("ascii", "replace").decode())
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body[:sent])

    def log_message(self, *_: object) -> None:
        """Nothing on the screen; `hub.log` has it."""
