"""GVRET CSV as SavvyCAN writes it: time in microseconds, hexadecimal identifiers and bytes, bus by number.

Its columns differ from version to version; the first line names them (`Time Stamp,ID,Extended,[Dir,]Bus,LEN,D1 …`).
"""

from collections.abc import Iterator
from pathlib import Path

from edge.frame import Frame
from edge.recordings.log_file import RecordingCounts, RecordingError, checked_time, text_lines

_LONGEST = 64  # bytes, CAN FD
_NEEDED = ("time stamp", "id", "extended", "bus", "len", "d1")


def read_gvret(path: Path, counts: RecordingCounts) -> Iterator[Frame]:
    """The frames; a line that is none, such as one that was cut, is counted."""
    lines = text_lines(path)
    columns = {name.strip().lower(): place for place, name in enumerate(next(lines).split(","))}
    counts.comments += 1
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise RecordingError(path, f"its first line lacks the columns {', '.join(missing)}")
    time, identifier, extended, bus, length, first = (columns[name] for name in _NEEDED)
    for number, line in enumerate(lines, start=2):
        cells = line.strip().split(",")
        try:
            count = int(cells[length])
            data = bytes.fromhex("".join(cells[first : first + count]))
            arbitration_id = int(cells[identifier], 16)
            t_ns = checked_time(int(cells[time]) * 1000)
        except (ValueError, IndexError):
            counts.bad_line(path, number, line)
            continue
        if len(data) != count or count > _LONGEST:
            counts.bad_line(path, number, line)
            continue
        yield Frame(t_ns, cells[bus], arbitration_id, cells[extended].lower() in ("true", "1"), data)
