"""Draw the picture of docs/serve.md: python -m tests.browser.serve_picture RELEASE PICTURE docs/img/serve.png"""

import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver

from tests.browser.test_serve_page import answered, choose, opened
from tests.conftest import CHROMIUM
from tests.released import serving

SIZE = {"width": 1100, "height": 900, "deviceScaleFactor": 1, "mobile": False}


def main(release: Path, picture: Path, to: Path) -> None:
    """The page with an answer on it."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, serving(release) as server:
        for flag in (*CHROMIUM, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        service = webdriver.ChromeService(str(shutil.which("chromedriver")))
        with webdriver.Chrome(options=options, service=service) as browser:
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
            page = opened(browser, server)
            choose(page, picture.resolve())
            answered(page)
            page.execute_script("scrollTo(0, 0)")
            page.save_screenshot(str(to))


if __name__ == "__main__":
    main(*(Path(one) for one in sys.argv[1:]))
