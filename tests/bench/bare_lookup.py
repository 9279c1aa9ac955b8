"""A bare Litestar route that decodes a lookup and returns a fixed Struct: the cost of framework and server."""

import sys
from pathlib import Path

import msgspec
import uvicorn
from litestar import Litestar, post
from litestar.params import JSONBody

from backend.services.school_lookup.api.schemas import LookupRequest, LookupResult


def main(answer: Path, port: int) -> None:
    """Serve the answer in a file."""
    fixed = msgspec.json.decode(answer.read_bytes(), type=LookupResult)

    @post("/v1/school-lookups", status_code=200)
    async def look_up(data: JSONBody[LookupRequest]) -> LookupResult:
        assert data.family is not None
        return fixed

    app = Litestar([look_up], openapi_config=None, logging_config=None)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_config=None, server_header=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
