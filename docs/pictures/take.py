"""Take the pictures of the README: the architecture, and the dashboard of a demo. Run by `make picture`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

from simulator.demo import DEMO_VEHICLE

HERE: Final = Path(__file__).parent
CHROMIUM: Final = "/usr/bin/chromium"
WEBGL: Final = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
START_S: Final = 300
DRIVE_S: Final = 90
"""Long enough for the chart of the last minutes to have something to show."""


def main() -> None:
    """Write architecture.svg and the screenshots beside this file."""
    subprocess.run([sys.executable, HERE / "architecture.py"], check=True)
    with demo() as run, sync_playwright() as playwright:
        time.sleep(DRIVE_S)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=WEBGL)
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
            sign_in(page, run)
            photograph(page, f"fleet-{theme}")
            page.goto(f"{run['web']}/vehicles/{DEMO_VEHICLE}")
            photograph(page, f"vehicle-{theme}")
            page.close()
        browser.close()


@contextmanager
def demo() -> Iterator[dict[str, Any]]:
    """A demo in a home of its own; gives its run.json."""
    with tempfile.TemporaryDirectory(prefix="fleetwire-picture-") as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "fleetwire", "up", "--demo"], env={**os.environ, "FLEETWIRE_HOME": home}
        )
        try:
            yield wait_for_run(Path(home) / "run.json")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_for_run(path: Path) -> dict[str, Any]:
    end = time.monotonic() + START_S
    while not path.exists():
        if time.monotonic() > end:
            sys.exit("the demo did not start; see what it printed above")
        time.sleep(0.2)
    run: dict[str, Any] = json.loads(path.read_text())
    return run


def sign_in(page: Page, run: dict[str, Any]) -> None:
    page.goto(run["web"])
    page.get_by_label("User").fill(run["admin_user"])
    page.get_by_label("Password").fill(run["admin_password"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("canvas")


def photograph(page: Page, name: str) -> None:
    page.wait_for_timeout(8_000)  # until the map is drawn and the first values have moved
    page.screenshot(path=HERE / f"{name}.png")


if __name__ == "__main__":
    main()
