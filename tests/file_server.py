"""A web server on this machine that serves files well or badly, as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How one request is answered.

    Attributes:
        status: an error to answer with instead of the file.
        redirect: an address to send the client to.
        cut: bytes of the body after which the connection is closed.
        stall: bytes of the body after which nothing comes any more.
        ranges: whether a range is heeded.
        heed_if_range: whether a rest is sent only of the version asked for.
        shift: bytes by which a range starts elsewhere than asked for.
        longer: bytes by which the declared length is more than there is.
        lengths: whether any length is declared.
        validators: whether an ETag is sent.
        pace: seconds between pieces of 64 kB.
    """

    status: int | None = None
    redirect: str | None = None
    cut: int | None = None
    stall: int | None = None
    ranges: bool = True
    heed_if_range: bool = True
    shift: int = 0
    longer: int = 0
    lengths: bool = True
    validators: bool = True
    pace: float = 0


@dataclass
class FileServer:
    """Files by path, the manners of the next requests, and what was asked for.

    A request takes the first of ``manners``; when they are used up, ``always`` is how it is answered.
    """

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    version: str = "1"
    manners: list[Manner] = field(default_factory=list)
    always: Manner = field(default_factory=Manner)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of every request."""
        return [asked for _, asked in self.asked]


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A running server."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    http.block_on_close = False
    served = FileServer(f"http://127.0.0.1:{http.server_address[1]}")
    http.served = served  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.over.set()
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        served: FileServer = self.server.served  # type: ignore[attr-defined]
        asked = self.headers.get("Range")
        served.asked.append((self.path, asked))
        manner = served.manners.pop(0) if served.manners else served.always
        content = served.files.get(self.path.lstrip("/"))
        if manner.redirect is not None:
            self.send_response(302)
            self.send_header("Location", manner.redirect)
            self.end_headers()
        elif manner.status is not None or content is None:
            self.send_error(manner.status or 404)
        else:
            self._answer(served, manner, content, asked)

    def _answer(self, served: FileServer, manner: Manner, content: bytes, asked: str | None) -> None:
        tag = f'"{served.version}"'
        start = 0
        same = self.headers["If-Range"] in (None, tag)
        if asked is not None and manner.ranges and (same or not manner.heed_if_range):
            start = int(asked.removeprefix("bytes=").removesuffix("-")) + manner.shift
            if start >= len(content):
                self.send_error(416)
                return
        total = len(content) + manner.longer
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total if manner.lengths else '*'}")
        if manner.lengths:
            self.send_header("Content-Length", str(total - start))
        if manner.validators:
            self.send_header("ETag", tag)
        self.end_headers()
        self._send(served, manner, content[start:])

    def _send(self, served: FileServer, manner: Manner, body: bytes) -> None:
        last = min(n for n in (manner.cut, manner.stall, len(body)) if n is not None)
        try:
            for begin in range(0, last, 1 << 16):
                self.wfile.write(body[begin : min(begin + (1 << 16), last)])
                served.over.wait(manner.pace)
            if manner.stall is not None:
                self.wfile.flush()
                served.over.wait(20)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has had enough
