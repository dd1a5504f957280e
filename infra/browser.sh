#!/usr/bin/env bash
# The browser tests need Debian's chromium and its driver: install them where that is possible, else say so.
set -u
have() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }
have && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Debian's chromium and chromium-driver for the browser tests"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1
fi
have || echo "Debian's chromium and chromium-driver are not here: the browser tests will be skipped"
exit 0
