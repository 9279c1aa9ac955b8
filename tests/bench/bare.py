"""A bare Litestar route that returns a health code from a Struct: what the framework and the server cost alone."""

import sys
from pathlib import Path

import msgspec
import uvicorn
from litestar import Litestar, get

from backend.services.health_code.api.schemas import HealthCode


def main(answer: Path, port: int) -> None:
    """Serve the code in a file."""
    code = msgspec.json.decode(answer.read_bytes(), type=HealthCode)

    @get("/v1/me/health-code")
    async def show() -> HealthCode:
        return code

    app = Litestar([show], openapi_config=None, logging_config=None)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_config=None, server_header=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
