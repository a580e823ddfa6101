"""Where published data can be fetched: one TOML file, ours or the user's own."""

from __future__ import annotations

from importlib.resources import files as package_files
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from fssbench.base.errors import SourceError
from fssbench.base.records import Record, Sha256, first_error
from fssbench.base.toml import parse_toml

__all__ = ["ARCHIVES", "CATALOGUE", "Catalogue", "RemoteFile", "read_catalogue"]

CATALOGUE = "catalogue.toml"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path or not path.isprintable() or not path:
        raise ValueError("must be a relative path without '..'")
    return path


Inside = Annotated[str, AfterValidator(_inside)]
Address = Annotated[str, Field(pattern=r"^https?://[!-~]+$")]
"""Of printable ASCII; anything else is to be percent-encoded."""


class RemoteFile(Record):
    """A file as its publisher offers it: an archive to unpack, or a file that is kept as it is."""

    name: Inside = Field(description="what it is called; a file that is not unpacked is stored under it")
    url: Address | None = Field(default=None, description="where it is fetched from")
    by_hand: Address | None = Field(default=None, description="where people get it, if no program can")
    bytes: int | None = Field(default=None, ge=1, description="its size; the server's word if left out")
    sha256: Sha256 | None = Field(default=None, description="its SHA-256 (hex), if it was published")
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$", description="its MD5 (hex), likewise")
    there: tuple[Inside, ...] = Field(
        default=(),
        description="what it unpacks to, and other places where that may lie; nothing is fetched if one is there",
    )
    training: bool = Field(default=False, description="whether only the training of models needs it")

    @model_validator(mode="after")
    def _one_way_to_get_it(self) -> RemoteFile:
        if (self.url is None) == (self.by_hand is None):
            raise ValueError(f"'{self.name}' needs either url or by_hand")
        if self.by_hand is not None and not self.there:
            raise ValueError(f"'{self.name}' is fetched by hand and needs there: what shows that it was")
        if self.url is not None and self.there and (not self.is_archive or "/" in self.name):
            raise ValueError(f"'{self.name}' has there, so it must be the name of an archive ({', '.join(ARCHIVES)})")
        if self.url is not None and PurePosixPath(self.name).name == "":
            raise ValueError(f"'{self.name}' is not a name of a file")
        return self

    @property
    def is_archive(self) -> bool:
        """Whether its name is that of an archive that can be unpacked."""
        return self.name.endswith(ARCHIVES)


class Catalogue(Record):
    """All files that can be fetched."""

    raw: dict[str, tuple[RemoteFile, ...]] = Field(default={}, description="raw data, by its name in the home")
    splits: dict[str, dict[str, tuple[RemoteFile, ...]]] = Field(
        default={}, description="split files, by protocol and alias of the benchmark"
    )


def read_catalogue(path: Path | None = None) -> Catalogue:
    """The catalogue in ``path``, or fssbench's own; `SourceError` that names what is wrong with it."""
    try:
        resource = path or package_files("fssbench.pipelines.transport.download").joinpath(CATALOGUE)
        return Catalogue.model_validate(parse_toml(resource.read_bytes()))
    except OSError as error:
        raise SourceError(
            f"the catalogue {path} cannot be read: {error.strerror}", remedy="check --catalogue"
        ) from error
    except ValidationError as error:
        raise SourceError(
            f"the catalogue {path}: {first_error(error)}", remedy="see docs/guides/download.md for its fields"
        ) from error
    except ValueError as error:
        raise SourceError(f"the catalogue {path} is not TOML: {error}", remedy="fix that line") from error
