"""Decode whole logs into lines of text, one value a line, with the decoder that the agent uses."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cantools.database.can import Database

from edge.decoder import Decoder
from edge.fix import Fix
from edge.frame import Frame
from edge.protocol_names import Protocol
from edge.protocols.heard import Heard
from edge.protocols.listener import Listener, suggested_protocols
from edge.recordings.decode_messages import rows
from edge.recordings.log_file import UNREADABLE_BYTES, open_binary

if TYPE_CHECKING:
    from edge.nmea import NmeaCounts

CSV_HEADER = "t,channel,message,signal,value\n"
FIX_SIGNALS = ("lat", "lon", "alt", "speed", "course", "hdop", "sats")
_CAUSES = {
    "unknown_id": "with an identifier that no database has",
    "undecodable": "whose signals overlap or do not fit, so that cantools cannot unpack them",
    "unknown_mux": "with a selector value that the database does not have: what does not depend on it is given",
    "too_short": "shorter than the database says: the signals that fit are given",
    "too_long": "longer than the database says: cut",
}
_GPS_CAUSES = {
    "bad_checksum": "sentences with a wrong checksum",
    "broken": "sentences without a checksum",
    "malformed": "sentences with a field that is not of its form",
    "no_fix": "moments without a fix",
}
_NAMED_AT_MOST = 8
_CHUNK = 1 << 16


class CsvLines:
    """`t,channel,message,signal,value`."""

    header = CSV_HEADER
    before_time = ""

    def start(self, channel: str, message: str, signal: str) -> str:
        """What stands between time and value."""
        return "," + ",".join(_csv_cell(cell) for cell in (channel, message, signal)) + ","

    def time(self, t: str) -> str:
        """A line's beginning."""
        return t

    def after_time(self, start: str, value: float) -> str:
        """A line but for its time."""
        return f"{start}{value!r}\n"

    def line(self, t: str, start: str, value: float) -> str:
        return f"{t}{start}{value!r}\n"

    def text_line(self, t: str, start: str, text: str) -> str:
        """A value that is no number."""
        return f"{t}{start}{_csv_cell(text)}\n"


class JsonLines:
    """One JSON object a line; a time that there is not, and a value that is not finite, are null."""

    header = ""
    before_time = '{"t": '

    def start(self, channel: str, message: str, signal: str) -> str:
        """What stands between time and value."""
        body = json.dumps({"channel": channel, "message": message, "signal": signal}, ensure_ascii=False)
        return f", {body[1:-1]}, "

    def time(self, t: str) -> str:
        """A line's beginning."""
        return self.before_time + (t or "null")

    def after_time(self, start: str, value: float) -> str:
        """A line but for its time."""
        number = repr(value) if math.isfinite(value) else "null"
        return f'{start}"value": {number}}}\n'

    def line(self, t: str, start: str, value: float) -> str:
        return self.time(t) + self.after_time(start, value)

    def text_line(self, t: str, start: str, text: str) -> str:
        """A value that is no number."""
        return f'{{"t": {t or "null"}{start}"value": {json.dumps(text)}}}\n'


class LogDecoder:
    """Decodes logs one after the other. A database is for one channel, or for all with None.

    `shown` names the protocols of which also that is given which no database knows.
    """

    def __init__(
        self,
        databases: Sequence[tuple[str | None, Database]],
        form: CsvLines | JsonLines,
        shown: Iterable[Protocol] = (),
    ) -> None:
        self.values = 0
        self._shown = frozenset(shown)
        self._databases = databases
        self.form = form
        self._channels: dict[str, Channel] = {}
        self._gps_logs: list[tuple[str, NmeaCounts]] = []
        self._cut: list[str] = []

    def frames(self, frames: Iterable[Frame]) -> Iterator[str]:
        """The lines of each frame that has values, as one text."""
        line = self.form.line
        for t_ns, name, arbitration_id, is_extended, data in frames:
            channel = self.channel(name)
            decoded = channel.decoder.decode(arbitration_id, is_extended, data)
            if decoded is None:
                if arbitration_id in channel.decoder.reserved_ids:
                    yield self._heard(channel, seconds(t_ns), channel.listen(t_ns, arbitration_id, is_extended, data))
                continue
            indices, values, _ = decoded
            starts = channel.starts()
            self.values += len(values)
            t = seconds(t_ns)
            yield "".join([line(t, starts[index], value) for index, value in zip(indices, values, strict=True)])

    def channel(self, name: str) -> "Channel":
        """The channel of this name, which has a decoder of its own."""
        return self._channels.get(name) or self._open(name)

    def fixes(self, path: Path) -> Iterator[str]:
        """The lines of each fix in a GPS receiver's log, at the receiver's own time."""
        from edge.nmea import NmeaParser  # which takes long to import, and CAN recordings do without

        parser = NmeaParser()
        self._gps_logs.append((path.name, parser.counts))
        starts = {name: self.form.start("gps", "Fix", name) for name in FIX_SIGNALS}
        try:
            with open_binary(path) as file:
                while chunk := file.read1(_CHUNK):
                    yield from (self._fix(fix, starts) for fix in parser.feed(chunk))
        except UNREADABLE_BYTES as error:
            self._cut.append(f"{path.name}: cannot be read on: {error}")
        yield from (self._fix(fix, starts) for fix in parser.end())

    def unused_channels(self) -> list[str]:
        """Channels that a database was given for and that the logs do not have."""
        wanted = {channel for channel, _ in self._databases if channel is not None}
        return sorted(wanted - self._channels.keys())

    def problems(self) -> Iterator[str]:
        """One line for each log or channel and cause: how many sentences or frames, and which."""
        for log, counts in self._gps_logs:
            told = ((getattr(counts, cause), explanation) for cause, explanation in _GPS_CAUSES.items())
            yield from (f"{log}: {count:,} {explanation}" for count, explanation in told if count)
        yield from self._cut
        for name, channel in sorted(self._channels.items()):
            for cause, explanation in _CAUSES.items():
                counted: Counter[str] = getattr(channel.decoder.counts, cause)
                if counted:
                    most = ", ".join(f"{what} ({count:,})" for what, count in counted.most_common(_NAMED_AT_MOST))
                    more = ", …" if len(counted) > _NAMED_AT_MOST else ""
                    yield f"channel {name}: {counted.total():,} frames {explanation}: {most}{more}"
            unfinished = {"unfinished": channel.listener.open}
            for cause, count in (channel.listener.faults() | unfinished).items():
                if count:
                    yield f"channel {name}: messages of several frames: {count:,} {cause.replace('_', ' ')}"

    def _open(self, name: str) -> "Channel":
        decoder = Decoder(database for wanted, database in self._databases if wanted in (None, name))
        channel = self._channels[name] = Channel(name, decoder, self.form, self._shown)
        return channel

    def _heard(self, channel: "Channel", t: str, heard: Heard) -> str:
        """The lines of a message that was put together, signals first."""
        starts = channel.starts()
        lines = [
            self.form.line(t, starts[index], value)
            for indices, values, _ in heard.decoded
            for index, value in zip(indices, values, strict=True)
        ]
        for message, signal, value in rows(heard, self._shown):
            start = self.form.start(channel.name, message, signal)
            lines.append(
                self.form.text_line(t, start, value) if isinstance(value, str) else self.form.line(t, start, value)
            )
        self.values += len(lines)
        return "".join(lines)

    def _fix(self, fix: Fix, starts: dict[str, str]) -> str:
        t = "" if fix.utc_ms is None else seconds(fix.utc_ms * 1_000_000)
        values = [(name, value) for name in FIX_SIGNALS if (value := getattr(fix, name)) is not None]
        self.values += len(values)
        return "".join(self.form.line(t, starts[name], value) for name, value in values)


class Channel:
    """A channel's decoder, and for each of its signals what stands between time and value."""

    def __init__(self, name: str, decoder: Decoder, form: CsvLines | JsonLines, shown: frozenset[Protocol]) -> None:
        self.decoder = decoder
        self.listener = Listener(decoder, suggested_protocols(decoder) | shown)
        self.name = name
        self._form = form
        self._starts: list[str] = []

    def starts(self) -> list[str]:
        signals = self.decoder.signals
        for info in signals[len(self._starts) :] if len(signals) > len(self._starts) else ():
            self._starts.append(self._form.start(self.name, info.message, info.label))
        return self._starts

    def listen(self, t_ns: int | None, arbitration_id: int, is_extended: bool, data: bytes) -> Heard:
        """What a frame says that the decoder left; without times nothing is ever late."""
        return self.listener.take((t_ns or 0) // 1_000_000, arbitration_id, is_extended, data)


def seconds(t_ns: int | None) -> str:
    """Unix time with the decimals that it has, six at least; empty for none."""
    if t_ns is None:
        return ""
    whole, below = divmod(abs(t_ns), 1_000_000_000)
    decimals = f"{below:09d}" if below % 1000 else f"{below // 1000:06d}"
    return f"{'-' if t_ns < 0 else ''}{whole}.{decimals}"


def _csv_cell(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(mark in text for mark in ',"\r\n') else text
