"""What SQLite does to its files, recorded: every write, truncation and sync in their order; and any power cut after it.

A shim around SQLite's own VFS, registered as the default while `recording()` lasts. Needs an interpreter whose sqlite3
module shows the library's symbols.
"""

import _sqlite3
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random

SECTOR_BYTES = 512
_VFS_BYTES, _METHODS_BYTES = 168, 152
_NAME, _OPEN, _DELETE = 24, 40, 48
_METHOD_OFFSETS = {"write": 24, "truncate": 32, "sync": 40}
_OPEN_TYPE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))  # SQLite keeps the name's address
_DELETE_TYPE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_TYPES = {
    "write": CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64),
    "truncate": CFUNCTYPE(c_int, c_void_p, c_int64),
    "sync": CFUNCTYPE(c_int, c_void_p, c_int),
}


@dataclass(frozen=True)
class Write:
    file: str
    offset: int
    content: bytes


@dataclass(frozen=True)
class Truncate:
    file: str
    size: int


@dataclass(frozen=True)
class Sync:
    file: str


@dataclass(frozen=True)
class Delete:
    file: str


@dataclass(frozen=True)
class Note:
    """Something that the one who records wants to find again."""

    what: object


class Unsynced(Enum):
    """What of the writes after the last sync is on the disk."""

    ALL = 0
    NONE = 1
    SOME = 2
    """Any sectors of it."""


Operation = Write | Truncate | Sync | Delete | Note


@dataclass
class DiskLog:
    """Operations in their order; files by the last part of their names."""

    operations: list[Operation] = field(default_factory=list)

    def note(self, what: object) -> None:
        self.operations.append(Note(what))

    def image(self, folder: Path, cut: int, *, unsynced: Unsynced = Unsynced.ALL, dice: Random) -> None:
        """The disk when the power went after `cut` operations. What was synced is there."""
        files: dict[str, bytearray] = {}
        pending: dict[str, list[Write | Truncate]] = {}
        for operation in self.operations[:cut]:
            match operation:
                case Write() | Truncate():
                    files.setdefault(operation.file, bytearray())
                    pending.setdefault(operation.file, []).append(operation)
                case Sync(file):
                    for change in pending.pop(file, []):
                        _apply(files[file], change)
                case Delete(file):
                    files.pop(file, None)
                    pending.pop(file, None)
        for file, changes in pending.items() if unsynced is not Unsynced.NONE else ():
            for change in changes:
                for part in [change] if unsynced is Unsynced.ALL else _torn(change, dice):
                    _apply(files[file], part)
        for file, content in files.items():
            (folder / file).write_bytes(content)


@contextmanager
def recording() -> Iterator[DiskLog]:
    """Record all that is opened meanwhile; to be closed again before the end. OSError where it cannot be done."""
    library = ctypes.CDLL(_sqlite3.__file__)
    try:
        find, register, unregister = (
            getattr(library, f"sqlite3_vfs_{verb}") for verb in ("find", "register", "unregister")
        )
    except AttributeError as error:
        raise OSError("this interpreter's sqlite3 hides the library") from error
    find.restype, find.argtypes = c_void_p, [c_char_p]
    register.argtypes, unregister.argtypes = [c_void_p, c_int], [c_void_p]
    original = find(None)
    log = DiskLog()
    shim = _Shim(original, log)
    register(shim.address, 1)
    try:
        yield log
    finally:
        unregister(shim.address)
        register(original, 1)


class _Shim:
    """A copy of the VFS with two functions of our own; each file's methods are a copy with three."""

    def __init__(self, original: int, log: DiskLog) -> None:
        self._log = log
        self._names: dict[int, str] = {}
        self._kept: list[object] = []
        self._methods: dict[int, ctypes.Array[c_char]] = {}
        self._vfs = ctypes.create_string_buffer(ctypes.string_at(original, _VFS_BYTES), _VFS_BYTES)
        self.address = ctypes.addressof(self._vfs)
        real_open = _OPEN_TYPE(_pointer(self.address + _OPEN))
        real_delete = _DELETE_TYPE(_pointer(self.address + _DELETE))

        def open_file(_: int, name: int | None, file: int, flags: int, out: object) -> int:
            result = real_open(original, name, file, flags, out)
            if result == 0 and name is not None:
                self._names[file] = Path(ctypes.string_at(name).decode()).name
                self._replace_methods(file)
            return result

        def delete(_: int, name: bytes, sync_folder: int) -> int:
            log.operations.append(Delete(Path(name.decode()).name))
            return real_delete(original, name, sync_folder)

        self._put(self.address + _OPEN, _OPEN_TYPE(open_file))
        self._put(self.address + _DELETE, _DELETE_TYPE(delete))
        name = ctypes.create_string_buffer(b"recording")
        self._kept.append(name)
        _set_pointer(self.address + _NAME, ctypes.addressof(name))

    def _replace_methods(self, file: int) -> None:
        original = _pointer(file)
        if original not in self._methods:
            table = ctypes.create_string_buffer(ctypes.string_at(original, _METHODS_BYTES), _METHODS_BYTES)
            self._methods[original] = table
            start = ctypes.addressof(table)
            real = {name: _TYPES[name](_pointer(start + offset)) for name, offset in _METHOD_OFFSETS.items()}
            names, operations = self._names, self._log.operations

            def write(file: int, content: int, size: int, offset: int) -> int:
                operations.append(Write(names[file], offset, ctypes.string_at(content, size)))
                return real["write"](file, content, size, offset)

            def truncate(file: int, size: int) -> int:
                operations.append(Truncate(names[file], size))
                return real["truncate"](file, size)

            def sync(file: int, flags: int) -> int:
                operations.append(Sync(names[file]))
                return real["sync"](file, flags)

            for name, own in {"write": write, "truncate": truncate, "sync": sync}.items():
                self._put(start + _METHOD_OFFSETS[name], _TYPES[name](own))
        _set_pointer(file, ctypes.addressof(self._methods[original]))

    def _put(self, at: int, function: object) -> None:
        self._kept.append(function)
        _set_pointer(at, ctypes.cast(function, c_void_p).value)


def _pointer(at: int) -> int:
    return c_void_p.from_address(at).value or 0


def _set_pointer(at: int, value: int | None) -> None:
    c_void_p.from_address(at).value = value


def _apply(content: bytearray, change: Write | Truncate) -> None:
    match change:
        case Write(_, offset, written):
            content.extend(bytes(max(offset - len(content), 0)))
            content[offset : offset + len(written)] = written
        case Truncate(_, size):
            del content[size:]


def _torn(change: Write | Truncate, dice: Random) -> Iterator[Write | Truncate]:
    """Some sectors of a write, or none, or all."""
    if isinstance(change, Truncate):
        if dice.random() < 0.5:
            yield change
        return
    share = dice.choice((0.0, 0.5, 1.0))
    start, end = change.offset, change.offset + len(change.content)
    while start < end:
        stop = min((start // SECTOR_BYTES + 1) * SECTOR_BYTES, end)
        if dice.random() < share:
            yield Write(change.file, start, change.content[start - change.offset : stop - change.offset])
        start = stop
