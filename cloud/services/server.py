"""What every embedded server has in common, as embedded.py sees it."""

import signal
from pathlib import Path
from typing import Protocol

from cloud.services.sandbox import Sandbox


class Server(Protocol):
    """One kind of server. `folder` is its /data on the host; methods hold no state."""

    @property
    def name(self) -> str: ...
    @property
    def stop_signal(self) -> signal.Signals: ...

    def prepare(self, sandbox: Sandbox, folder: Path, *, port: int, password: str) -> None:
        """Make the folder ready to be served from: the first time its data, every time its configuration."""
        ...

    def argv(self) -> list[str]: ...

    def url(self, *, port: int, password: str) -> str: ...

    async def answers(self, *, port: int, password: str) -> bool:
        """Whether it serves now."""
        ...
