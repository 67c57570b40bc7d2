"""What goes over the wire: who asks for what, what is answered, and how the Hub says no."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class User:
    name: str
    role: str = "write"  # of the token
    orgs: Mapping[str, str] = field(default_factory=dict)  # and the role there

    def may_read(self, owner: str) -> bool:
        return owner == self.name or owner in self.orgs

    def may_write(self, owner: str) -> bool:
        return self.role == "write" and (owner == self.name or self.orgs.get(owner) in ("write", "admin"))


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    user: User | None
    body: bytes = b""

    def json(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            raise Refused(400, "The body is not JSON") from None


@dataclass(frozen=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(value: Any, status: int = 200, **headers: str) -> Response:
    """As JSON; headers without a value are left out."""
    headers = {"Content-Type": "application/json", **{name: value for name, value in headers.items() if value}}
    return Response(status, json.dumps(value).encode(), headers)


class Refused(Exception):
    """An answer other than 2xx, with the headers by which the client knows what happened."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message, "X-Error-Code": code, **headers}
        self.response = answer({"error": message}, status, **headers)
