"""A bare Litestar route that only validates a ChargeItem with fhir.resources, to compare with."""

import sys

import uvicorn
from fhir.resources.R4B.chargeitem import ChargeItem
from litestar import Litestar, Request, Response, post


def main(port: int) -> None:
    """Serve the route."""

    @post("/fhir/ChargeItem")
    async def validate(request: Request) -> Response[bytes]:  # type: ignore[type-arg]
        body = await request.body()
        ChargeItem.model_validate_json(body)
        return Response(body, media_type="application/fhir+json", status_code=200)

    app = Litestar([validate], openapi_config=None, logging_config=None)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_config=None, server_header=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
