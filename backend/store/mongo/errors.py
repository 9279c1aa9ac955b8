"""MongoDB's errors that are not the fault of an operation, but of its disk, its members or the network."""

from collections.abc import Iterator, Mapping
from typing import Any

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from backend.store import StoreNotWritable, StoreUnavailable

_NOT_WRITABLE = {
    14_031,  # OutOfDiskSpace
    39,  # FileStreamFailed
    8_000,  # AtlasError, such as a used up quota of storage
    12_501,  # a used up quota of storage, of older servers
    320,  # UserWritesBlocked, while a cluster is moved
}
_NOT_PRIMARY = {
    189,  # PrimarySteppedDown
    10_058,  # LegacyNotPrimary
    10_107,  # NotWritablePrimary
    11_600,  # InterruptedAtShutdown
    11_602,  # InterruptedDueToReplStateChange
    13_435,  # NotPrimaryNoSecondaryOk
    13_436,  # NotPrimaryOrSecondary
    91,  # ShutdownInProgress
    64,  # WriteConcernFailed
    79,  # UnknownReplWriteConcern
    100,  # UnsatisfiableWriteConcern
}


def unavailable(error: PyMongoError) -> StoreUnavailable | None:
    """Return the StoreUnavailable or StoreNotWritable that an error means; None for the error of an operation."""
    name, codes = type(error).__name__, set(_codes(error))
    if codes & _NOT_WRITABLE:
        return StoreNotWritable(f"MongoDB cannot write: {name}, code {min(codes & _NOT_WRITABLE)}")
    if isinstance(error, ConnectionFailure | ExecutionTimeout) or error.timeout:
        return StoreUnavailable(f"MongoDB does not answer: {name}")
    labels = error.has_error_label("RetryableWriteError") or error.has_error_label("NoWritesPerformed")
    if labels or isinstance(error, WriteConcernError) or codes & _NOT_PRIMARY:
        return StoreUnavailable(f"MongoDB has no primary: {name}")
    return None


def _codes(error: PyMongoError) -> Iterator[int]:
    if isinstance(error, OperationFailure) and error.code is not None:
        yield error.code
    if isinstance(error, BulkWriteError):
        details: Mapping[str, Any] = error.details
        for one in (*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())):
            yield one["code"]
