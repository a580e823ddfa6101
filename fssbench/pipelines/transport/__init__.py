"""Where sets lie, in a folder of this machine or on another that is read from, and how they are fetched.

address   what a user types → a place
attempts  what may fail for a while, tried again
remote    a folder elsewhere: read once, checked before use
http      files of a web server
storage   files of an object store, through fsspec
pipe      files that a command of the user's prints
cache     shards fetched before
ahead     reading the next things while the present one is used
download  published data from its publishers
"""

from __future__ import annotations

from fssbench.pipelines.transport.address import Place, find_place
from fssbench.pipelines.transport.remote import Remote

__all__ = ["Place", "Remote", "find_place"]
