"""SQLite's errors that are not the fault of a statement, but of the disk, the file or another process."""

import sqlite3

from backend.store import StoreNotWritable, StoreUnavailable

_NOT_WRITABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,  # also the files of the log, which a full disk does not let it create
    sqlite3.SQLITE_PERM,
}
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}
_PRIMARY_CODE = 0xFF
"""An extended error code, such as SQLITE_IOERR_WRITE, has its primary code in the lowest byte."""


def unavailable(error: sqlite3.Error) -> StoreUnavailable | None:
    """Return the StoreUnavailable or StoreNotWritable that an error means; None for the error of a statement."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    if code in _NOT_WRITABLE:
        return StoreNotWritable(f"the store cannot write: {error}")
    return StoreUnavailable(f"the store does not answer: {error}") if code in _UNAVAILABLE else None
