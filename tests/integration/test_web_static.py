"""The dashboard's files, and what every reply carries."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web_stand import Stand, web_stand


@pytest.fixture
async def stand(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Stand]:
    (tmp_path / "dist/assets").mkdir(parents=True)
    (tmp_path / "dist/index.html").write_text("<p>the page</p>")
    (tmp_path / "dist/assets/app-1a2b.js").write_text("let x;" * 1000)
    (tmp_path / "dist/world.pmtiles").write_bytes(bytes(range(100)))
    (tmp_path / "secret.js").write_text("no")
    async with web_stand(database_url, redis_url, dashboard=tmp_path / "dist") as stand:
        yield stand


async def test_every_address_of_the_dashboard_is_its_page(stand: Stand) -> None:
    for path in ("/", "/vehicles/truck-1", "/vehicles/truck.7", "/track?from=2021-07-26"):
        async with stand.http.get(stand.url(path)) as response:
            assert (response.status, await response.text()) == (200, "<p>the page</p>")
            assert response.headers["Cache-Control"] == "no-cache"
            assert "worker-src 'self' blob:" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_hashed_assets_are_kept_for_ever_and_sent_compressed(stand: Stand) -> None:
    async with stand.http.get(stand.url("/assets/app-1a2b.js"), auto_decompress=False) as response:
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert response.headers["Content-Encoding"] in ("gzip", "deflate")
        assert len(await response.read()) < 200


async def test_map_tiles_are_read_in_ranges(stand: Stand) -> None:
    async with stand.http.get(stand.url("/world.pmtiles"), headers={"Range": "bytes=10-12"}) as response:
        assert (response.status, await response.read()) == (206, bytes([10, 11, 12]))


@pytest.mark.parametrize("path", ["/assets/gone.js", "/gone.js", "/%2e%2e/secret.js", "/..%2fsecret.js"])
async def test_what_is_not_there_is_not_the_page(stand: Stand, path: str) -> None:
    async with stand.http.get(stand.url(path)) as response:
        assert response.status == 404


async def test_health_readiness_and_metrics(stand: Stand) -> None:
    async with stand.http.get(stand.url("/healthz")) as response:
        assert response.status == 200
    async with stand.http.get(stand.url("/readyz")) as response:
        assert (await response.json())["checks"] == {"database": "ok", "redis": "ok"}
    async with stand.http.get(stand.url("/metrics")) as response:
        assert 'fleetwire_web_requests_total{method="GET",route="/healthz",status="200"} 1.0' in await response.text()
