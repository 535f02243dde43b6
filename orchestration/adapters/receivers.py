"""Who is told of sagas that need a person: a web address, and a Celery task."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from celery import Celery
from kombu.exceptions import OperationalError

from orchestration.adapters.saga_index import Notice
from orchestration.settings import Settings

__all__ = ["Problem", "Receiver", "TaskReceiver", "WebReceiver", "receivers_of"]

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Problem:
    """Why somebody could not be told.

    Attributes:
        says: A sentence, without the secrets that an address may hold.
        is_away: Nobody is there to be told anything.
    """

    says: str
    is_away: bool = False


class Receiver(Protocol):
    """Somebody who wants to hear of sagas that need a person."""

    def tell(self, notice: Notice) -> Problem | None:
        """Deliver a word; return why it could not be, if so."""


def receivers_of(settings: Settings, app: Celery) -> tuple[Receiver, ...]:
    """Return who is to be told, as the settings say; the likeliest to fail is first."""
    found: list[Receiver] = []
    if settings.failure_webhook:
        found.append(WebReceiver(settings.failure_webhook))
    if settings.failure_task:
        found.append(TaskReceiver(app, settings.failure_task))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TaskReceiver:
    """A Celery task, sent the word as its one argument.

    Attributes:
        app: Whose broker it is sent to.
        name: The task's; it runs where its routing says, by default on ``celery``.
    """

    app: Celery
    name: str

    def tell(self, notice: Notice) -> Problem | None:
        """Send the task."""
        label = f"saga {notice.saga_id} is {notice.state}"
        try:
            self.app.send_task(
                self.name, args=(notice.to_json(),), argsrepr=label, kwargsrepr="{}"
            )
        except OperationalError as exc:
            says = f"the broker did not take task {self.name} ({type(exc).__name__})"
            return Problem(says, is_away=True)
        return None


class WebReceiver:
    """A web address, to which the word is posted as JSON.

    It has taken it if it answers 2xx within five seconds. Redirects are not followed:
    they could lead anywhere.

    Args:
        url: Of http or https; a user and a password in it are sent as basic
            authentication.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        place = host if parts.port is None else f"{host}:{parts.port}"
        # All that may be shown: a path is often a secret.
        self.shown = f"{parts.scheme}://{place}"
        self._url = parts._replace(netloc=place, fragment="").geturl()
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": "agent-foundation-orchestration",
        }
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            token = base64.b64encode(pair.encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"

    def tell(self, notice: Notice) -> Problem | None:
        """Post the word."""
        body = json.dumps(notice.to_json()).encode()
        request = Request(self._url, body, self._headers, method="POST")  # noqa: S310  settings see to the scheme
        try:
            build_opener(_NoRedirects).open(request, timeout=_TIMEOUT_S).close()
        except HTTPError as exc:
            exc.close()
            return Problem(f"{self.shown} answered {exc.code}")
        except (OSError, HTTPException) as exc:
            why = exc.reason if isinstance(exc, URLError) else exc
            says = f"{self.shown} does not answer ({type(why).__name__})"
            return Problem(says, is_away=True)
        return None


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,  # noqa: ANN401  the base class' own
        newurl: str,
    ) -> Request | None:
        del req, fp, code, msg, headers, newurl
        return None
