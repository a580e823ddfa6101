"""Reading a pickle of plain data that somebody else wrote, without letting it do anything."""

from __future__ import annotations

import io
import pickle
import pickletools

from fssbench.base.errors import SourceError

__all__ = ["load_plain"]

# What dicts, lists, tuples, strings and integers are written with, in protocols 0 to 5. Opcodes that name or
# call something (GLOBAL, REDUCE, BUILD, …) are absent, and so is everything a split list has no use for.
PLAIN = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP",
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "LIST", "APPEND", "APPENDS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "INT", "BININT", "BININT1", "BININT2", "LONG1", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET",
})  # fmt: skip
BROKEN = (pickle.UnpicklingError, ValueError, EOFError, LookupError, TypeError, AttributeError, OverflowError)
"""What Python's own reader raises on bytes that are not a pickle."""
PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


class _NoGlobals(pickle.Unpickler):
    """Knows no classes or functions: the second lock, behind the list of opcodes."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"{module}.{name} is not plain data")


def load_plain(data: bytes, *, where: str) -> object:
    """The dicts, lists, strings and integers in a pickle.

    Raises:
        SourceError: it is not a pickle, is cut off, or holds more than plain data; nothing of it was run.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in PLAIN:
                raise SourceError(
                    f"{where} is a pickle with the instruction {opcode.name}, which plain lists do not need",
                    remedy="do not trust the file; use it as published",
                )
            # The memo is an array as long as its highest number, whatever the size of the file.
            if opcode.name in PUTS and int(argument or 0) > len(data):
                raise SourceError(
                    f"{where} is a pickle that asks for {argument:,} places in memory",
                    remedy="do not trust the file; use it as published",
                )
        return _NoGlobals(io.BytesIO(data)).load()
    except BROKEN as error:
        raise SourceError(f"{where} is not a pickle of lists: {error}", remedy="download it again") from error
