"""A recording as numbered batches, always the same ones: what `fleetwire import` sends.

A spool draws a new stream at every opening, because what it holds next is not known. Of a recording all is known
beforehand, so that its stream is made from what is imported: vehicle, file, databases, settings. The same import has
the same stream, and the same content under each number; whatever differs has another stream.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Final

from cantools.database.can import Database

from edge.batcher import Draft
from edge.decoder import Decoder, SignalTable
from edge.errors import EdgeError
from edge.fix import Fix
from edge.fix_signals import FixSignals
from edge.frame import Frame
from edge.nmea import NmeaParser
from edge.pipeline import NS_PER_MS, Pipeline
from edge.protocols.listener import Listener, suggested_protocols
from edge.recordings.log_file import UNREADABLE_BYTES, open_binary
from edge.recordings.recording import is_nmea_log, open_recording
from edge.sampler import SamplingPolicy, SamplingRule

FORM: Final = 1
"""Changes whenever the same import would give other batches than before."""
MOST_SAMPLES: Final = 5_000
MOST_AGE_MS: Final = 300_000
EARLIEST_MS: Final = 1_262_304_000_000
"""2010: what was recorded before is set aside by the cloud."""

_CHUNK: Final = 1 << 16
_FRAMES_AT_ONCE: Final = 2_000
_RECORDING_BITS: Final = 60
_SETTINGS_BITS: Final = 62


class ImportRefused(EdgeError):
    """A recording that cannot be imported as it is asked for."""


@dataclass(frozen=True)
class DatabaseFile:
    """A CAN database for one channel, or for all with None."""

    channel: str | None
    path: Path
    database: Database


@dataclass(frozen=True)
class Wish:
    """What is asked for besides the recording. `begin_ms` is when its first frame was recorded, if it does not say."""

    vehicle: str
    databases: tuple[DatabaseFile, ...] = ()
    fix_signals: Mapping[str, str] = field(default_factory=dict)
    begin_ms: int | None = None


@dataclass(frozen=True)
class Survey:
    """What a recording holds, seen before anything of it is sent."""

    path: Path
    digest: str
    is_nmea: bool
    units: int
    """Frames, or bytes of an NMEA log."""
    first_ms: int | None
    last_ms: int | None
    untimed: int
    prefixed: frozenset[str]
    """Channels whose signals carry the channel's name, because another one has the same identifiers."""
    channels: frozenset[str]


@dataclass(frozen=True)
class Numbered:
    """A batch's content, and how much of the recording has been read with it."""

    draft: Draft
    catalogs: Sequence[tuple[str, bytes]]
    read: int


def survey(path: Path, wish: Wish) -> Survey:
    """Goes through all of it. Raises RecordingError, ImportRefused."""
    digest = _digest(path)
    if is_nmea_log(path):
        times = [fix.utc_ms for fix, _ in _fixes(path) if fix.utc_ms is not None]
        first_ms, last_ms = min(times, default=None), max(times, default=None)
        nothing: frozenset[str] = frozenset()
        return Survey(path, digest, True, path.stat().st_size, first_ms, last_ms, 0, nothing, nothing)
    if not wish.databases:
        raise ImportRefused(f"{path}: name its CAN database with --dbc FILE")
    count = untimed = 0
    first_ns: int | None = None
    last_ns: int | None = None
    seen: dict[str, set[tuple[int, bool]]] = {}
    for t_ns, channel, arbitration_id, is_extended, _ in open_recording(path):
        count += 1
        seen.setdefault(channel, set()).add((arbitration_id, is_extended))
        if t_ns is None:
            untimed += 1
        else:
            first_ns = t_ns if first_ns is None or t_ns < first_ns else first_ns
            last_ns = t_ns if last_ns is None or t_ns > last_ns else last_ns
    return Survey(
        path,
        digest,
        is_nmea=False,
        units=count,
        first_ms=None if first_ns is None else first_ns // NS_PER_MS,
        last_ms=None if last_ns is None else last_ns // NS_PER_MS,
        untimed=untimed,
        prefixed=_sharing(seen, wish),
        channels=frozenset(seen),
    )


def check(found: Survey, wish: Wish) -> None:
    """Raises ImportRefused for a recording that has no time of its own, and nobody said when it began."""
    if found.first_ms is None:
        what = "no fix with a time" if found.is_nmea else "no frame with a time"
        raise ImportRefused(f"{found.path}: it has {what}, so that nobody knows where it belongs")
    if wish.begin_ms is None and found.first_ms < EARLIEST_MS:
        raise ImportRefused(
            f"{found.path}: its times begin before 2010, as if they were counted from its own beginning; "
            "say when it began: --begin 2026-01-31T06:00:00Z"
        )


def stream_of(found: Survey, wish: Wish) -> str:
    """A UUID of version 8 (RFC 9562): the first 60 bits are vehicle and file, the others databases and settings."""
    recording = _bits([wish.vehicle, found.digest], _RECORDING_BITS)
    databases = [[one.channel, _digest(one.path)] for one in wish.databases]
    settings = _bits([FORM, databases, dict(wish.fix_signals), wish.begin_ms], _SETTINGS_BITS)
    return str(uuid.UUID(int=(recording >> 12) << 80 | 0x8 << 76 | (recording & 0xFFF) << 64 | 0b10 << 62 | settings))


def same_recording(stream: str) -> str:
    """How the streams of all imports of the same file for the same vehicle begin."""
    return stream[:18]


def numbered_batches(found: Survey, wish: Wish) -> Iterator[Numbered]:
    """In the order of their numbers."""
    shift_ms = 0 if wish.begin_ms is None or found.first_ms is None else wish.begin_ms - found.first_ms
    return _of_fixes(found, shift_ms) if found.is_nmea else _of_frames(found, wish, shift_ms)


def _of_frames(found: Survey, wish: Wish, shift_ms: int) -> Iterator[Numbered]:
    table = SignalTable()
    channels = {name: _open(name, found, wish, table) for name in sorted(found.channels)}
    fix_signals = FixSignals(dict(wish.fix_signals), table.signals) if wish.fix_signals else None
    pipeline = _pipeline(table, fix_signals)
    read, now_ms, shift_ns = 0, 0, shift_ms * NS_PER_MS
    frames = iter(open_recording(found.path))
    while some := list(islice(frames, _FRAMES_AT_ONCE)):
        for name, of_channel in groupby(some, key=lambda frame: frame[1]):
            decoder, listener = channels[name]
            timed = [_shifted(frame, shift_ns) for frame in of_channel if frame[0] is not None]
            if timed:
                pipeline.take_frames(decoder, timed, timed[0][0] or 0, listener)
                now_ms = max(now_ms, (timed[-1][0] or 0) // NS_PER_MS)
        read += len(some)
        pipeline.tick(wall_ms=now_ms, monotonic_ms=now_ms)
        yield from _taken(pipeline, read)
    pipeline.finish(wall_ms=now_ms)
    yield from _taken(pipeline, read)


def _of_fixes(found: Survey, shift_ms: int) -> Iterator[Numbered]:
    """At the receiver's own time; what has none is left out."""
    pipeline = _pipeline(SignalTable(), None)
    read, now_ms = 0, 0
    for fix, read in _fixes(found.path):
        if fix.utc_ms is None:
            continue
        t_ms = fix.utc_ms + shift_ms
        pipeline.take_fix(fix._replace(t_ms=t_ms))
        now_ms = max(now_ms, t_ms)
        pipeline.tick(wall_ms=now_ms, monotonic_ms=now_ms)
        yield from _taken(pipeline, read)
    pipeline.finish(wall_ms=now_ms)
    yield from _taken(pipeline, read)


def _taken(pipeline: Pipeline, read: int) -> Iterator[Numbered]:
    if pipeline.is_ready:
        output = pipeline.take()
        for index, draft in enumerate(output.drafts):
            yield Numbered(draft, output.catalogs if index == 0 else (), read)


def _pipeline(table: SignalTable, fix_signals: FixSignals | None) -> Pipeline:
    every = SamplingRule("*", SamplingPolicy(min_interval_ms=0, every=True))
    return Pipeline(table.signals, [every], max_age_ms=MOST_AGE_MS, max_samples=MOST_SAMPLES, fix_signals=fix_signals)


def _open(name: str, found: Survey, wish: Wish, table: SignalTable) -> tuple[Decoder, Listener]:
    databases = [one.database for one in wish.databases if one.channel in (None, name)]
    decoder = Decoder(databases, bus=name if name in found.prefixed else None, table=table)
    return decoder, Listener(decoder, suggested_protocols(decoder))


def _sharing(seen: Mapping[str, set[tuple[int, bool]]], wish: Wish) -> frozenset[str]:
    """Channels that have a database and an identifier in common with another one."""
    databases = {name: {id(one.database) for one in wish.databases if one.channel in (None, name)} for name in seen}
    return frozenset(
        one
        for one in seen
        for other in seen
        if one != other and seen[one] & seen[other] and databases[one] & databases[other]
    )


def _fixes(path: Path) -> Iterator[tuple[Fix, int]]:
    """With how many bytes have been read. A file that cannot be read on ends there."""
    parser, read = NmeaParser(), 0
    try:
        with open_binary(path) as file:
            while chunk := file.read1(_CHUNK):
                read += len(chunk)
                yield from ((fix, read) for fix in parser.feed(chunk))
    except UNREADABLE_BYTES:
        pass
    yield from ((fix, read) for fix in parser.end())


def _shifted(frame: Frame, shift_ns: int) -> Frame:
    return frame._replace(t_ns=(frame[0] or 0) + shift_ns) if shift_ns else frame


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bits(said: object, count: int) -> int:
    text = json.dumps(said, sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(text).digest()) >> (256 - count)
