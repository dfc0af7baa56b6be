"""The broker of this machine: its password file, and how it is told that it has changed."""

import contextlib
import os
import signal
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cloud.access.broker_passwords import BrokerPasswords
from cloud.config import CloudConfig
from cloud.database import connect
from cloud.services import embedded
from cloud.services.mosquitto import install_passwords, password_file


def broker_passwords(config: CloudConfig) -> BrokerPasswords | None:
    """None without MQTT, or where the broker's passwords are looked after by somebody else."""
    if config.mqtt_url is None or config.mqtt_password_file is None:
        return None
    parts = urlsplit(config.mqtt_url)
    is_embedded = config.mqtt_password_file == password_file(config.home / "services" / "mosquitto")
    return BrokerPasswords(
        config.mqtt_password_file,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        reload=partial(reload_embedded, config.home) if is_embedded else lambda: None,
    )


async def write_broker_passwords(config: CloudConfig) -> None:
    """At once, for who has just changed a credential. Raises ConfigError."""
    passwords = broker_passwords(config)
    if passwords is None:
        return
    connection = await connect(config.database_url)
    try:
        async with connection.transaction():
            await passwords.write(connection)
    finally:
        await connection.close()


def reload_embedded(home: Path) -> None:
    """Mosquitto reads its password file again on SIGHUP; a broker that is not ours is told by whoever runs it."""
    broker = embedded.status(home).running.get("mosquitto")
    if broker is not None:
        install_passwords(home / "services" / "mosquitto")
        with contextlib.suppress(ProcessLookupError):
            os.kill(broker.process.pid, signal.SIGHUP)
