"""What the spool knows of the clock: which batches wait for the truth about their times, and what became known of it.

Part of `edge.disk.spool_contents`, in whose transactions it writes. A batch waits by a row of its own table, which
names the boot and what the system clock was ahead of boot time; a batch without one is frozen.
"""

import json
import zlib
from collections.abc import Callable
from typing import Final

from edge.clock.clock_label import ClockLabel
from edge.clock.clock_trust import KnownTime
from edge.disk.spool_file import SpoolDamagedError, SpoolFile
from edge.disk.spool_rows import WaitingRow, read_waiting_row
from wire.ranges import EMPTY, RangeSet

_NAME: Final = "clock"


class SpoolClock:
    """Mirrors the table; `read()` after whatever may have changed it otherwise."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._rows: list[WaitingRow] = []

    def read(self) -> None:
        """Mirror what is on the disk."""
        rows = [
            read_waiting_row(columns) for columns in self._file.rows("SELECT * FROM waiting ORDER BY stream, first")
        ]
        if None in rows:
            raise SpoolDamagedError(f"{self._file.path}: damaged: what waits for the clock is not what was written")
        self._rows = [row for row in rows if row is not None]

    def waiting(self, stream: str) -> RangeSet:
        """What of the stream waits, as far as it is still held."""
        return RangeSet((row.first, row.last) for row in self._rows if row.stream == stream)

    def add(self, stream: str, seq: int, label: ClockLabel) -> None:
        """Batch `seq` waits."""
        row = WaitingRow(stream, seq, seq, label.boot_id, label.offset_ns)
        if self._rows and self._rows[-1].is_continued_by(row):
            row = WaitingRow(stream, self._rows.pop().first, seq, label.boot_id, label.offset_ns)
        self._rows.append(row)
        self._file.execute("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, ?, ?)", row.columns())

    def first_of(self, boot_id: str) -> WaitingRow | None:
        """The oldest of what waits that was recorded in that boot."""
        return next((row for row in self._rows if row.boot_id == boot_id), None)

    def take(self, row: WaitingRow, count: int) -> RangeSet:
        """The first `count` of the row wait no longer."""
        last = min(row.first + count - 1, row.last)
        place = self._rows.index(row)
        self._drop(row)
        if last < row.last:
            rest = WaitingRow(row.stream, last + 1, row.last, row.boot_id, row.offset_ns)
            self._rows.insert(place, rest)
            self._file.execute("INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?)", rest.columns())
        return RangeSet([(row.first, last)])

    def take_all(self, is_wanted: Callable[[WaitingRow], bool]) -> dict[str, RangeSet]:
        """What of the wanted rows waits no longer, by stream."""
        taken: dict[str, RangeSet] = {}
        for row in [row for row in self._rows if is_wanted(row)]:
            self._drop(row)
            taken[row.stream] = taken.get(row.stream, EMPTY) | RangeSet([(row.first, row.last)])
        return taken

    def remember(self, boot_id: str, known: KnownTime) -> None:
        """Keep what is known of the time in that boot."""
        fields = [boot_id, known.offset_ns, known.source]
        text = json.dumps([*fields, _seal(fields)])
        self._file.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_NAME, text))

    def remembered(self) -> tuple[str, KnownTime] | None:
        """The boot in which the time became known last, and what is known of it."""
        text = self._file.value("SELECT value FROM meta WHERE name = ?", (_NAME,))
        try:
            *fields, seal = json.loads(text or "[]") or [None]
        except (ValueError, TypeError):
            return None
        if seal != _seal(fields):
            return None
        return fields[0], KnownTime(fields[1], fields[2])

    def _drop(self, row: WaitingRow) -> None:
        self._rows.remove(row)
        self._file.execute("DELETE FROM waiting WHERE stream = ? AND first = ?", (row.stream, row.first))


def _seal(fields: list[object]) -> int:
    return zlib.crc32(json.dumps(fields).encode())
