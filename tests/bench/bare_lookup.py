"""A bare Litestar route that decodes a lookup and returns an answer from a Struct: what framework and server cost."""

import sys
from pathlib import Path

import msgspec
import uvicorn
from litestar import Litestar, post
from litestar.params import JSONBody

from backend.services.school_lookup.api.public import Lookup
from backend.services.school_lookup.lookup import LookupAnswer


def main(answer: Path, port: int) -> None:
    """Serve the answer that stands in a file."""
    fixed = msgspec.json.decode(answer.read_bytes(), type=LookupAnswer)

    @post("/v1/school-lookups", status_code=200)
    async def look_up(data: JSONBody[Lookup]) -> LookupAnswer:
        assert data.family is not None
        return fixed

    app = Litestar([look_up], openapi_config=None, logging_config=None)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_config=None, server_header=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
