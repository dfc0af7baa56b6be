"""python -m bench.probe URL: asks again and again until its input ends, then prints how long each answer took.

In a process of its own, so that it does not wait for whoever makes the load.
"""

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

PAUSE_S = 0.01


def main(url: str) -> None:
    """Seconds, as a JSON list."""
    ended = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    took_s = []
    while not ended.wait(PAUSE_S):
        began = time.perf_counter()
        connection.request("GET", where.path)
        connection.getresponse().read()
        took_s.append(time.perf_counter() - began)
    json.dump(took_s, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
