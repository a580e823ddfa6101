"""Files of a web server."""

from __future__ import annotations

from collections.abc import Callable
from socket import gaierror
from urllib.parse import quote

from fssbench.base.errors import SourceError
from fssbench.pipelines.transport.attempts import AttemptError, FurtherError
from fssbench.pipelines.transport.connection import StaleError, StatusError, ask
from fssbench.pipelines.transport.remote import AbsentError, RefusedError

__all__ = ["Web"]

ABSENT = {403, 404, 410}
"""An object store behind a web server answers 403 for what is not there to those who may not list it."""


class Web:
    """Files below an ``http://`` or ``https://`` address."""

    searchable = True

    def __init__(self, root: str) -> None:
        self.root = quote(root.rstrip("/"), safe="/:%")

    def address(self, name: str) -> str:
        """The file's URL."""
        return f"{self.root}/{name}".rstrip("/")

    def attempts(self, name: str, *, silence: float) -> Callable[[], bytes]:
        """Requests for one file, each for what the one before did not bring."""
        return _Requests(self.address(name), silence)


class _Requests:
    def __init__(self, url: str, silence: float) -> None:
        self.url = url
        self.silence = silence
        self.validator: str | None = None
        self.body = bytearray()
        self.most = 0  # bytes that any attempt has brought

    def __call__(self) -> bytes:
        try:
            return self._receive()
        except StaleError:
            self.body.clear()
            raise
        except AttemptError as error:
            # Only a mistyped host is so final; everything else may pass.
            if isinstance(getattr(error.__cause__, "reason", None), gaierror):
                raise RefusedError(str(error)) from error
            if len(self.body) > self.most:
                self.most = len(self.body)
                raise FurtherError(str(error)) from error
            raise
        except StatusError as error:
            if error.status in ABSENT:
                raise AbsentError(f"the server answered {error.answer}") from error
            raise RefusedError(f"the server answered {error.answer}") from error
        except SourceError as error:
            raise RefusedError(error.problem) from error

    def _receive(self) -> bytes:
        # Without a validator nobody could tell whether the rest belongs to the same file.
        start = len(self.body) if self.validator else 0
        with ask(self.url, start=start, validator=self.validator, timeout=self.silence) as answer:
            if answer.start == 0:
                self.body.clear()
                self.validator = answer.validator
            elif answer.validator not in (None, self.validator):
                raise StaleError("the file has changed on the server")
            while chunk := answer.read():
                self.body += chunk
            if answer.total is not None and len(self.body) < answer.total:
                raise AttemptError(f"the server stopped after {len(self.body):,} of {answer.total:,} bytes")
        return bytes(self.body)
