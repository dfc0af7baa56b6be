"""MF4 bus logging (ASAM MDF 4) with asammdf: whole columns at a time, in the order of their times.

A file that ends early is refused as a whole, with one sentence: its blocks point at one another, and what is left of it
says little about what is missing.
"""

import heapq
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge.frame import Frame
from edge.recordings.log_file import RecordingCounts, RecordingError

_FINISHED = b"MDF     "
_UNFINISHED = b"UnFinMF "
_RECORDS_AT_ONCE = 100_000
_ID_MASK = 0x1FFFFFFF
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADER_BLOCK = 64  # the ID block has this length, the HD block follows it
_BLOCK_HEADER = struct.Struct("<4s4xQQ")  # mark, length, number of links


def check_mf4(path: Path) -> None:
    """Raises RecordingError when the file is no MDF 4, or when a block that others point at is not wholly there."""
    size = path.stat().st_size
    with path.open("rb") as file:
        identification = file.read(_HEADER_BLOCK)
        if identification[:8] not in (_FINISHED, _UNFINISHED) or identification[8:9] != b"4":
            raise RecordingError(path, "is no MF4 recording")
        seen: set[int] = set()
        ahead = [_HEADER_BLOCK]
        while ahead:
            address = ahead.pop()
            if address == 0 or address in seen:
                continue
            seen.add(address)
            file.seek(address)
            header = file.read(_BLOCK_HEADER.size)
            mark, length, links = _BLOCK_HEADER.unpack(header) if len(header) == _BLOCK_HEADER.size else (b"", 0, 0)
            if address + max(length, _BLOCK_HEADER.size) > size:
                raise RecordingError(path, f"is cut: it has {size:,} bytes, and its content goes on behind them")
            if mark[:2] != b"##" or _BLOCK_HEADER.size + 8 * links > length:
                raise RecordingError(path, f"is damaged: there is no block at byte {address:,}, where one should be")
            ahead += struct.unpack(f"<{links}Q", file.read(8 * links))


def read_mf4(path: Path, counts: RecordingCounts) -> Iterator[Frame]:
    """The data frames of all groups by time, absolute. Channels are named by their number."""
    try:
        from asammdf import MDF
        from asammdf.blocks.utils import MdfException
    except ModuleNotFoundError as error:
        raise RecordingError(path, "reading MF4 needs asammdf: install fleetwire[mf4]") from error
    # asammdf finishes a file that its logger did not finish, on a copy that it makes of a named file only.
    with path.open("rb") as file:
        source = file if file.read(8) == _FINISHED else path
        try:
            mdf: Any = MDF(source)
        except (MdfException, ValueError, struct.error) as error:
            raise RecordingError(path, f"is damaged: {error}") from error
        with mdf:
            yield from heapq.merge(*_streams(mdf, path, counts), key=_time_ns)


def _streams(mdf: Any, path: Path, counts: RecordingCounts) -> list[Iterator[Frame]]:
    """The groups of data frames; those of remote and error frames are counted."""
    start_ns = (mdf.header.start_time - _EPOCH) // timedelta(microseconds=1) * 1000
    streams = []
    for index, group in enumerate(mdf.groups):
        names = {channel.name for channel in group.channels}
        cycles = group.channel_group.cycles_nr
        if "CAN_DataFrame" in names and cycles:
            streams.append(_frames(mdf, index, cycles, start_ns))
        elif "CAN_ErrorFrame" in names:
            counts.error += cycles
        elif "CAN_RemoteFrame" in names:
            counts.remote += cycles
    if not streams:
        raise RecordingError(path, "holds no CAN frames (no CAN_DataFrame group)")
    return streams


def _time_ns(frame: Frame) -> int:
    return frame.t_ns or 0


def _frames(mdf: Any, group: int, cycles: int, start_ns: int) -> Iterator[Frame]:
    for offset in range(0, cycles, _RECORDS_AT_ONCE):
        signal = mdf.get("CAN_DataFrame", group, record_offset=offset, record_count=_RECORDS_AT_ONCE)
        samples = signal.samples
        columns = samples.dtype.names
        times_ns = (signal.timestamps * 1e9).round().astype("int64") + start_ns
        identifiers = samples["CAN_DataFrame.ID"] & _ID_MASK
        extended = samples["CAN_DataFrame.IDE"] if "CAN_DataFrame.IDE" in columns else identifiers > 0x7FF
        payloads = samples["CAN_DataFrame.DataBytes"]
        width = payloads.shape[1]
        payload = payloads.tobytes()
        channels = ["" for _ in samples]
        if "CAN_DataFrame.BusChannel" in columns:
            channels = [str(number) for number in samples["CAN_DataFrame.BusChannel"].tolist()]
        rows = zip(
            times_ns.tolist(),
            channels,
            identifiers.tolist(),
            extended.astype(bool).tolist(),
            samples["CAN_DataFrame.DataLength"].tolist(),
            range(0, len(payload), width),
            strict=True,
        )
        for t_ns, channel, arbitration_id, is_extended, length, place in rows:
            yield Frame(t_ns, channel, arbitration_id, is_extended, payload[place : place + length])
