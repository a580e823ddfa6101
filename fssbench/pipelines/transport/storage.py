"""Files of an object store: whatever fsspec can open."""

from __future__ import annotations

from collections.abc import Callable

import fsspec

from fssbench.base.errors import UsageError
from fssbench.base.suggest import did_you_mean
from fssbench.pipelines.transport.attempts import AttemptError
from fssbench.pipelines.transport.remote import AbsentError, RefusedError

__all__ = ["Storage"]


class Storage:
    """Files below an address such as ``s3://bucket/folder``; whose credentials are used is fsspec's to say.

    Raises:
        UsageError: fsspec does not know such an address, or lacks the package that does.
    """

    searchable = True

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        scheme = root.partition("://")[0]
        try:
            self.files, self.below = fsspec.core.url_to_fs(self.root)
        except ImportError as error:
            extra = "pip install 'fssbench[remote]'" if scheme in ("s3", "s3a") else "install it"
            raise UsageError(f"{root} needs a package that is not installed: {error}", remedy=extra) from error
        except ValueError as error:
            known = ["http", "https", *fsspec.available_protocols()]
            raise UsageError(
                f"{root} has an unknown kind of address: {scheme}", remedy=did_you_mean(scheme, known)
            ) from error

    def address(self, name: str) -> str:
        """The file's URL."""
        return f"{self.root}/{name}".rstrip("/")

    def attempts(self, name: str, *, silence: float) -> Callable[[], bytes]:
        """Requests for one file, each from its beginning; how long to wait for one is fsspec's to say."""

        def attempt() -> bytes:
            try:
                data = self.files.cat_file(f"{self.below.rstrip('/')}/{name}")
            except FileNotFoundError as error:
                raise AbsentError("there is no such object") from error
            except PermissionError as error:
                raise RefusedError(f"permission is denied ({error})") from error
            except OSError as error:
                raise AttemptError(str(error) or type(error).__name__) from error
            except Exception as error:  # every store has its own; most are about credentials
                raise RefusedError(f"{type(error).__name__}: {error}") from error
            return bytes(data)

        return attempt
