"""axe-core's verdict on a page, and the screens on which it is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selenium_axe_python import Axe

SCREENS = [(scheme, width) for scheme in ("light", "dark") for width in (1200, 390)]


@contextmanager
def screen(browser: Any, scheme: str, width: int, is_offline: bool = True) -> Iterator[None]:
    """The browser on a desk or, narrow, on a phone; in light or dark; without a network, even to this machine."""
    size = {"width": width, "height": 840, "deviceScaleFactor": 1, "mobile": width < 600}
    rate = 0 if is_offline else -1
    offline = {"offline": is_offline, "latency": 0, "downloadThroughput": rate, "uploadThroughput": rate}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        online = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", online)


def found(browser: Any) -> list[str]:
    """A line per element of the page, whatever is folded unfolded, that breaks one of axe-core's rules."""
    browser.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    browser.execute_script("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    axe = Axe(browser)
    axe.inject()
    result = axe.run()
    assert len(result["passes"]) > 10, "axe-core looked at nothing"
    return [f"{one['id']}: {node['target']}" for one in result["violations"] for node in one["nodes"]]
