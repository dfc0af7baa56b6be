"""Keep out of a process what libraries import and Fleetwire does not use: half of a command's time to start."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType


def defer_cantools() -> None:
    """Let cantools' subpackages be imported without what cantools itself imports, which is python-can and asyncio.

    cantools is whole from the moment in which anybody asks it for more than a subpackage that is imported by its name.
    """
    name = "cantools"
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader, package = spec.loader, module_from_spec(spec)

    def complete(attribute: str) -> object:
        del package.__getattr__
        loader.exec_module(package)
        return getattr(package, attribute)

    package.__getattr__ = complete  # type: ignore[method-assign]
    sys.modules[name] = package


@contextmanager
def without_asammdf() -> Iterator[None]:
    """python-can imports asammdf wherever there is one, and with it pandas: half a second and 60 MB.

    It would read MF4 with it, which edge.recordings.mf4 does here, and imports it then.
    """
    name = "asammdf"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def without_blas_threads() -> Iterator[None]:
    """numpy that is first imported in here starts no thread a core for its OpenBLAS: only matrices would need them."""
    name = "OPENBLAS_NUM_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]


def python_can() -> ModuleType:
    """python-can, imported when it is first needed."""
    with without_asammdf():
        import can
    return can
