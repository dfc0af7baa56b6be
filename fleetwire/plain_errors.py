"""What a person can act on becomes a line on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from edge.errors import EdgeError


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """What a person can act on becomes a line; anything else stays a traceback."""
    try:
        yield
    except EdgeError as error:
        raise click.ClickException(str(error)) from error
    except ExceptionGroup as group:
        expected, unexpected = group.split(EdgeError)
        if expected is None or unexpected is not None:
            raise
        raise click.ClickException(str(_first(expected))) from group


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
