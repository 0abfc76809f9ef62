#!/usr/bin/env bash
# What some tests need, where it can be had: Chromium and a second compiler by apt for root, the page's own packages by
# npm. Without them those tests are skipped and say why.
cd "$(dirname "$0")/.."
missing() { ! command -v "$@" >/dev/null; }

packages=()
if missing chromium chromium-browser google-chrome; then packages+=(chromium); fi
if missing clang++; then packages+=(clang); fi
if [ ${#packages[@]} -gt 0 ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing ${packages[*]} for the tests"
  apt-get update -qq >/dev/null
  for package in "${packages[@]}"; do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null
  done
fi
if command -v npm >/dev/null && [ ! -d web/node_modules/axe-core ]; then
  (cd web && npm ci --no-audit --no-fund --silent)
fi
exit 0
