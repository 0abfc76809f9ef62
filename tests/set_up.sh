#!/usr/bin/env bash
# What the tests of the page need, where it can be had: Chromium by apt for root, the page's own packages by npm.
# Without them those tests are skipped and say why.
cd "$(dirname "$0")/.."
if ! command -v chromium chromium-browser google-chrome >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing Chromium for the tests of the page"
  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
fi
if command -v npm >/dev/null && [ ! -d web/node_modules/axe-core ]; then
  (cd web && npm ci --no-audit --no-fund --silent)
fi
exit 0
