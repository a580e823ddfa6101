"""One request for a file, or for the rest of one, over http or https."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from ssl import SSLCertVerificationError
from typing import IO
from urllib import request
from urllib.error import HTTPError, URLError

from fssbench.base.errors import SourceError
from fssbench.base.version import __version__
from fssbench.pipelines.transport.attempts import AttemptError

__all__ = ["Answer", "StaleError", "StatusError", "ask"]

CHUNK = 1 << 18
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Status codes after which the same request may succeed."""
NO_SUCH_RANGE = 416
RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class StaleError(AttemptError):
    """What was received so far is not the beginning of what the server has; an attempt from 0 may fix it."""


class StatusError(SourceError):
    """A status code that another attempt will not change.

    Attributes:
        status: the code.
        answer: code and reason, such as ``404 Not Found``.
    """

    def __init__(self, url: str, *, status: int, answer: str) -> None:
        self.status = status
        self.answer = answer
        super().__init__(
            f"{url} answers {answer}",
            remedy="the address may have changed: fetch the file by hand, or pass --catalogue with another address",
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server sends.

    Attributes:
        start: the offset of the first byte: the one asked for, or 0 if the server sends the file from its beginning.
        total: bytes of the whole file, if the server says.
        validator: what tells this version of the file from others: a strong ETag, else the date of its last change.
    """

    start: int
    total: int | None
    validator: str | None
    response: HTTPResponse

    def read(self) -> bytes:
        """Some more bytes, none at the end; `AttemptError` if the connection fails."""
        try:
            return self.response.read1(CHUNK)
        except TimeoutError as error:
            raise AttemptError("the server has stopped sending") from error
        except (OSError, HTTPException) as error:
            raise AttemptError(f"the connection broke: {error or type(error).__name__}") from error


@contextmanager
def ask(url: str, *, start: int = 0, validator: str | None = None, timeout: float) -> Iterator[Answer]:
    """Ask for the bytes from ``start`` on, of the version that ``validator`` names.

    Args:
        timeout: seconds without a byte after which the server counts as silent.

    Raises:
        AttemptError: the server is busy, silent or out of reach; `StaleError` if it sends another range or has none.
        SourceError: it refuses, or sends us to something that is not http or https.
    """
    asked = request.Request(url, headers={"User-Agent": f"fssbench/{__version__}", "Accept-Encoding": "identity"})
    if start:
        asked.add_header("Range", f"bytes={start}-")
        if validator is not None:
            asked.add_header("If-Range", validator)
    try:
        response = _opener().open(asked, timeout=timeout)
    except HTTPError as error:
        error.close()
        raise _refusal(url, error) from error
    except (OSError, HTTPException) as error:
        raise _failure(url, error) from error
    with response:
        yield _answer(url, start, response)


def _answer(url: str, start: int, response: HTTPResponse) -> Answer:
    etag, changed = response.headers.get("ETag"), response.headers.get("Last-Modified")
    validator = etag if etag is not None and etag.startswith('"') else changed
    if response.status == 200:
        length = response.headers.get("Content-Length", "")
        return Answer(
            start=0, total=int(length) if length.isdecimal() else None, validator=validator, response=response
        )
    part = RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status != 206 or part is None:
        raise SourceError(f"{url} answered with status {response.status} instead of a file", remedy="check the address")
    if int(part[1]) != start:
        raise StaleError(f"the server sent the file from byte {int(part[1]):,}, not from byte {start:,}")
    total = None if part[2] == "*" else int(part[2])
    return Answer(start=start, total=total, validator=validator, response=response)


def _refusal(url: str, error: HTTPError) -> Exception:
    answer = f"{error.code} {error.reason}".strip()
    if error.code == NO_SUCH_RANGE:
        return StaleError(f"the server answered {answer}")
    if error.code in PASSING:
        return AttemptError(f"the server answered {answer}")
    return StatusError(url, status=error.code, answer=answer)


def _failure(url: str, error: OSError | HTTPException) -> Exception:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, SSLCertVerificationError):
        return SourceError(f"{url} has no valid certificate: {reason.verify_message}", remedy="fetch the file by hand")
    if isinstance(reason, TimeoutError):
        return AttemptError("the server does not answer")
    if isinstance(reason, OSError):
        return AttemptError(reason.strerror or str(reason))
    return AttemptError(str(reason) or type(reason).__name__)


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects to http and https alone."""

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> request.Request | None:
        if not newurl.lower().startswith(("http://", "https://")):
            raise SourceError(f"{req.full_url} leads to {newurl}, which is not http or https", remedy="do not use it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> request.OpenerDirector:
    """Knows http and https, proxies from the environment, and nothing else: no ``file:``, no ``ftp:``."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        _Redirects,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
