"""What a user types for a place → the place."""

from __future__ import annotations

import re
from pathlib import Path

from fssbench.base.errors import UsageError
from fssbench.base.home import home_in
from fssbench.pipelines.transport.cache import Cache
from fssbench.pipelines.transport.http import Web
from fssbench.pipelines.transport.remote import Remote, Transport

__all__ = ["Place", "find_place"]

Place = Path | Remote
"""A folder, here or elsewhere: both know ``/``, ``is_file()``, ``read_bytes()`` and ``str()``."""

PIPE = "pipe:"
MANIFESTS = ("/manifest.json", "/training.json", "/submission.json")
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
SLASH_LOST = re.compile(r"(https?|s3):/?(?!/).*")


def find_place(text: str) -> Place:
    """A folder's path, an address such as ``https://host/sets`` or ``s3://bucket/sets``, or ``pipe:COMMAND {}``.

    Raises:
        UsageError: an address that cannot be one, or needs a package that is not installed.
    """
    if text.startswith(PIPE):
        from fssbench.pipelines.transport.pipe import Pipe

        return Remote(Pipe(text.removeprefix(PIPE)), cache=Cache.find())
    found = ADDRESS.fullmatch(text)
    if found is None:
        if SLASH_LOST.fullmatch(text) and not Path(text).exists():
            raise UsageError(f"'{text}' is not an address", remedy="write two slashes, as in https://host/sets")
        return Path(home_in(text))
    scheme, rest = found[1].lower(), found[2]
    if scheme == "file":
        return Path("/") / rest.removeprefix("localhost").lstrip("/")
    if not rest.strip("/"):
        raise UsageError(f"{text} names no host", remedy="as in https://host/sets")
    for manifest in MANIFESTS:  # an address may be that of the manifest itself
        text = text.removesuffix(manifest)
    return Remote(_transport(scheme, text), cache=Cache.find())


def _transport(scheme: str, text: str) -> Transport:
    if scheme not in ("http", "https"):
        from fssbench.pipelines.transport.storage import Storage

        return Storage(text)
    # Names are put behind the address, and the address into results: a query or a password fits neither.
    host = text.split("/")[2]
    if "?" in text or "#" in text or "@" in host:
        raise UsageError(f"{text.split('?')[0]} must be an address alone", remedy="leave out ?, # and passwords")
    return Web(text)
