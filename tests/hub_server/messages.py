"""Users, requests, responses and errors of the Hub."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class User:
    name: str
    role: str = "write"  # of the token
    orgs: Mapping[str, str] = field(default_factory=dict)  # with the role in each

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
            raise HubError(400, "The body is not JSON") from None


@dataclass(frozen=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(value: Any, status: int = 200, **headers: str) -> Response:
    """A JSON response. Headers without a value are left out."""
    headers = {"Content-Type": "application/json", **{name: value for name, value in headers.items() if value}}
    return Response(status, json.dumps(value).encode(), headers)


class HubError(Exception):
    """A response with an error status, and the headers that identify the error."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message, "X-Error-Code": code, **headers}
        self.response = json_response({"error": message}, status, **headers)
