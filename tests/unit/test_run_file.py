"""run.json, as scripts read it."""

import json
import stat
from pathlib import Path

from cloud.running.run_file import RunFile, write_run_file


def test_addresses_end_without_a_slash_and_the_file_is_the_owners(tmp_path: Path) -> None:
    content = RunFile(
        web="http://127.0.0.1:8080",
        ingest="http://127.0.0.1:8081",
        database_url="postgresql://db.example/fleetwire",
        redis_url="redis://redis.example:6379/",
        mqtt_url=None,
        admin_user="admin",
        admin_password="secret/",
        admin_token="fwt_x",
        pids={"web": 7},
    )
    path = write_run_file(tmp_path, content)
    run = json.loads(path.read_text())
    assert (run["redis_url"], run["mqtt_url"], run["admin_password"]) == ("redis://redis.example:6379", None, "secret/")
    assert run["pids"] == {"web": 7}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
