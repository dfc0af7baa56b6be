"""Serves the built dashboard: hashed assets for ever, all else fresh, its page for every address within."""

from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

DASHBOARD: Final = Path(__file__).parent.parent / "dashboard" / "dist"
ASSETS: Final = "assets"
IMMUTABLE: Final = "public, max-age=31536000, immutable"

# Python's own table depends on the machine, and nosniff makes a browser believe it.
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".pmtiles": "application/vnd.pmtiles",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_TEXT: Final = frozenset({".css", ".html", ".js", ".json", ".md", ".mjs", ".svg", ".txt", ".webmanifest"})
_COMPRESS_FROM_BYTES: Final = 1000

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Fleetwire</title>
<p>The dashboard has not been built: run <code>make dashboard</code>, or <code>npm ci &amp;&amp; npm run build</code> in
<code>dashboard/</code>. The API is at <a href="/v1/openapi.json">/v1/openapi.json</a>.</p>
"""


class StaticSite:
    """Files below `root`. Ranges, which map tiles need, and conditional requests are aiohttp's."""

    def __init__(self, root: Path = DASHBOARD) -> None:
        self._root = root.resolve()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        found = self._find(path)
        if found is None and _is_file_name(path):
            raise web.HTTPNotFound
        page = found or self._root / "index.html"
        if not page.is_file():
            return web.Response(text=_NOT_BUILT, content_type="text/html", status=503)
        return _send(page, IMMUTABLE if path.startswith(f"{ASSETS}/") else "no-cache")

    def _find(self, path: str) -> Path | None:
        try:
            file = (self._root / path).resolve()
            inside = file.is_relative_to(self._root) and file.is_file()
        except (OSError, ValueError):
            return None
        return file if inside else None


def _is_file_name(path: str) -> bool:
    """The dashboard's own addresses have no extension of ours; a missing script must not be answered with a page."""
    return path.startswith(f"{ASSETS}/") or Path(path).suffix in _TYPES


def _send(file: Path, cache: str) -> web.FileResponse:
    headers = {hdrs.CACHE_CONTROL: cache, hdrs.CONTENT_TYPE: _TYPES.get(file.suffix, "application/octet-stream")}
    if file.suffix in _TEXT:
        headers[hdrs.CONTENT_TYPE] += "; charset=utf-8"
    response = web.FileResponse(file, headers=headers)
    if file.suffix in _TEXT and file.stat().st_size >= _COMPRESS_FROM_BYTES and not _is_compressed(file):
        response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
        response.enable_compression()
    return response


def _is_compressed(file: Path) -> bool:
    """Whether the build left a .br or .gz beside it, which aiohttp then sends."""
    return any(file.with_name(file.name + extension).is_file() for extension in (".br", ".gz"))
