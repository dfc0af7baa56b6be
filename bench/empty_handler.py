"""What ingest is measured against: an aiohttp server that reads a body and does nothing with it.

python -m bench.empty_handler PORT
"""

import sys

from aiohttp import web


async def _take(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=b"{}", content_type="application/json")


async def _ready(_: web.Request) -> web.Response:
    return web.Response()


def main() -> None:
    app = web.Application()
    app.router.add_post("/v1/batches", _take)
    app.router.add_get("/readyz", _ready)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, auto_decompress=False)


if __name__ == "__main__":
    main()
