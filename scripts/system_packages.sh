#!/usr/bin/env bash
# Installs the servers that the tests talk to (Debian, as root). Elsewhere it says what is missing and lets pytest skip those tests.
set -euo pipefail

packages=(mosquitto redis-server python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp gstreamer1.0-libav
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
  gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice glib-networking openssl chromium gcc libc6-dev)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "Not installed: ${missing[*]}. Tests that need them are skipped; on Debian: sudo apt-get install ${missing[*]}"
fi
