"""Draw docs/pictures/architecture.svg: the one way that data takes. Run by `make picture`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

INK: Final = "#1d2b3a"
FAINT: Final = "#5b6b7c"
LINE: Final = "#8aa0b4"
VEHICLE: Final = "#e8f3ee"
CLOUD: Final = "#eaf0fa"
STORE: Final = "#fdf3e1"
FONT: Final = "font-family='Noto Sans, Segoe UI, Helvetica, Arial, sans-serif'"


@dataclass(frozen=True)
class Box:
    """A room: where it stands, what it is called and what it does."""

    x: int
    y: int
    title: str
    does: str
    fill: str = "#ffffff"
    width: int = 128
    height: int = 54

    @property
    def right(self) -> tuple[int, int]:
        return self.x + self.width, self.y + self.height // 2

    @property
    def left(self) -> tuple[int, int]:
        return self.x, self.y + self.height // 2

    @property
    def top(self) -> tuple[int, int]:
        return self.x + self.width // 2, self.y

    @property
    def bottom(self) -> tuple[int, int]:
        return self.x + self.width // 2, self.y + self.height


def main() -> None:
    """Write the picture beside this file."""
    Path(__file__).with_name("architecture.svg").write_text(draw(), encoding="utf-8")


def draw() -> str:
    """The whole picture as SVG."""
    reader = Box(40, 70, "can_reader", "any CAN bus")
    decoder = Box(190, 70, "decoder", "DBC to values")
    sampler = Box(340, 70, "sampler", "change is kept")
    gps = Box(40, 150, "gps", "serial, gpsd")
    nmea = Box(190, 150, "nmea", "epochs to fixes")
    batcher = Box(490, 110, "batcher", "columns, frozen")
    spool = Box(640, 110, "spool", "SQLite on disk", STORE)
    uplink = Box(790, 110, "uplink", "until settled")
    ingest = Box(790, 300, "ingest", "admit or refuse")
    stream = Box(640, 300, "Redis Stream", "may forget", STORE)
    writer = Box(490, 300, "writer", "exactly once")
    database = Box(340, 300, "TimescaleDB", "facts, ledger", STORE)
    api = Box(190, 300, "api", "history, reports")
    live = Box(640, 390, "Redis Pub/Sub", "a hint", STORE)
    ws = Box(490, 390, "ws", "live sockets")
    browser = Box(40, 345, "dashboard", "React, MapLibre")
    boxes = [reader, decoder, sampler, gps, nmea, batcher, spool, uplink]
    boxes += [ingest, stream, writer, database, api, live, ws, browser]
    arrows = [
        _arrow(reader.right, decoder.left),
        _arrow(decoder.right, sampler.left),
        _arrow(gps.right, nmea.left),
        _elbow(sampler.right, batcher.left),
        _elbow(nmea.right, batcher.left),
        _arrow(batcher.right, spool.left),
        _arrow(spool.right, uplink.left),
        _arrow((uplink.bottom[0] - 24, uplink.bottom[1]), (ingest.top[0] - 24, ingest.top[1])),
        _arrow((ingest.top[0] + 24, ingest.top[1]), (uplink.bottom[0] + 24, uplink.bottom[1]), dashed=True),
        _arrow(ingest.left, stream.right),
        _elbow((ingest.x + 30, ingest.bottom[1]), live.right, down=True),
        _arrow(stream.left, writer.right),
        _arrow(writer.left, database.right),
        _arrow(database.left, api.right),
        _arrow(live.left, ws.right),
        _elbow(api.left, browser.right),
        _elbow(ws.left, browser.right),
    ]
    labels = [
        _label(836, 235, "batches", anchor="end"),
        _label(886, 235, "settled", anchor="start"),
    ]
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 960 480' {FONT} role='img'>",
            "<title>Fleetwire: from the CAN bus to the browser, and the settled state back to the vehicle</title>",
            "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
            f"<path d='M0 0 L8 4 L0 8 z' fill='{FAINT}'/></marker></defs>",
            "<rect width='960' height='480' rx='12' fill='#ffffff'/>",
            _zone(20, 28, 920, 192, VEHICLE, "In the vehicle"),
            _zone(20, 258, 920, 202, CLOUD, "In the cloud"),
            *arrows,
            *labels,
            *map(_draw_box, boxes),
            "</svg>\n",
        ]
    )


def _zone(x: int, y: int, width: int, height: int, fill: str, title: str) -> str:
    return (
        f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='10' fill='{fill}'/>"
        f"<text x='{x + 20}' y='{y + 24}' font-size='13' font-weight='600' fill='{FAINT}'>{title}</text>"
    )


def _draw_box(box: Box) -> str:
    middle = box.x + box.width // 2
    return (
        f"<rect x='{box.x}' y='{box.y}' width='{box.width}' height='{box.height}' rx='7' fill='{box.fill}'"
        f" stroke='{LINE}'/>"
        f"<text x='{middle}' y='{box.y + 23}' font-size='14' font-weight='600' text-anchor='middle' fill='{INK}'>"
        f"{box.title}</text>"
        f"<text x='{middle}' y='{box.y + 41}' font-size='12' text-anchor='middle' fill='{FAINT}'>{box.does}</text>"
    )


def _arrow(start: tuple[int, int], end: tuple[int, int], *, dashed: bool = False) -> str:
    return _path(f"M{start[0]} {start[1]} L{end[0]} {end[1]}", dashed=dashed)


def _elbow(start: tuple[int, int], end: tuple[int, int], *, down: bool = False) -> str:
    if down:
        return _path(f"M{start[0]} {start[1]} V{end[1]} H{end[0]}")
    middle = end[0] - 11 if end[0] > start[0] else end[0] + 11
    return _path(f"M{start[0]} {start[1]} H{middle} V{end[1]} H{end[0]}")


def _path(route: str, *, dashed: bool = False) -> str:
    dash = " stroke-dasharray='5 4'" if dashed else ""
    return f"<path d='{route}' fill='none' stroke='{FAINT}' stroke-width='1.6'{dash} marker-end='url(#tip)'/>"


def _label(x: int, y: int, text: str, *, anchor: str) -> str:
    shift = -12 if anchor == "end" else 4
    return f"<text x='{x + shift}' y='{y + 8}' font-size='12' text-anchor='{anchor}' fill='{FAINT}'>{text}</text>"


if __name__ == "__main__":
    main()
