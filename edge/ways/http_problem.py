"""Why an HTTP request came to nothing, in words for a person."""

import aiohttp


def reason(error: Exception) -> str:
    """aiohttp's own words for a refused connection are about its objects."""
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(
        error, aiohttp.ClientConnectorCertificateError
    ):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
