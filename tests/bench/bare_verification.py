"""A bare Litestar route that decodes a scan and returns a fixed Struct: the cost of framework and server."""

import sys
from pathlib import Path

import msgspec
import uvicorn
from litestar import Litestar, post
from litestar.params import JSONBody

from backend.services.health_code.api.schemas import ScanRequest, Verification


def main(answer: Path, port: int) -> None:
    """Serve the answer in a file."""
    fixed = msgspec.json.decode(answer.read_bytes(), type=Verification)

    @post("/v1/verifications", status_code=200)
    async def verify(data: JSONBody[ScanRequest]) -> Verification:
        assert data.payload
        return fixed

    app = Litestar([verify], openapi_config=None, logging_config=None)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_config=None, server_header=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
