"""A line chart as SVG: times from left to right, each line with its name at its end."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH, HEIGHT = 900, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 130, 40, 40
_COLOURS: Final = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#787774", "#cb912f", "#337ea9")
_FONT: Final = 'font-family="sans-serif"'
_NAME_HEIGHT: Final = 16.0


def line_chart(title: str, x_unit: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]]) -> str:
    """All begin at zero. `lines` by name, each as long as `xs`."""
    x_step, y_step = _step(max(xs, default=1)), _step(max((max(ys) for ys in lines.values()), default=1))
    x_end, y_end = _end(max(xs, default=1), x_step), _end(max((max(ys) for ys in lines.values()), default=1), y_step)

    def x_at(x: float) -> float:
        return _LEFT + x / x_end * (WIDTH - _LEFT - _RIGHT)

    def y_at(y: float) -> float:
        return HEIGHT - _BOTTOM - y / y_end * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12" {_FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for tick in _ticks(y_end, y_step):
        y = y_at(tick)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(x_end, x_step):
        parts.append(f'<text x="{x_at(tick):.1f}" y="{HEIGHT - 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH - _RIGHT + 12}" y="{HEIGHT - 18}">{escape(x_unit)}</text>')
    places = _apart({name: y_at(ys[-1]) for name, ys in lines.items()})
    for index, (name, ys) in enumerate(lines.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        points = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{WIDTH - _RIGHT + 6}" y="{places[name] + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _step(most: float) -> float:
    """Between two lines of the grid: 1, 2 or 5 of some power of ten, at most ten of them."""
    power = 10.0 ** len(str(int(most))) / 100
    return next(power * of for of in (1, 2, 5, 10, 20, 50, 100) if power * of * 10 >= most)


def _end(most: float, step: float) -> float:
    return step * -(-most // step)


def _ticks(end: float, step: float) -> list[float]:
    return [step * number for number in range(round(end / step) + 1)]


def _apart(places: Mapping[str, float]) -> dict[str, float]:
    """Names moved down where they would lie over one another."""
    found: dict[str, float] = {}
    last = float("-inf")
    for name, place in sorted(places.items(), key=lambda one: one[1]):
        last = max(place, last + _NAME_HEIGHT)
        found[name] = last
    return found
