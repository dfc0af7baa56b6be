"""Small JSON files that hold secrets."""

import json
import os
from pathlib import Path
from typing import Any


def write_private(path: Path, content: object) -> None:
    """Written whole or not at all, also when power fails, and readable by the owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read_private(path: Path) -> dict[str, Any]:
    """Empty when there is no such file yet."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content
