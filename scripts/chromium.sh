#!/usr/bin/env bash
# Sees to it that this machine has Chromium or Chrome, in which the tests open the report's page.
set -euo pipefail
. "$(dirname "$0")/package.sh"

# The places that test/fixtures/browser.ts looks at.
has_browser() {
  local place
  for place in /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome \
    /Applications/Chromium.app/Contents/MacOS/Chromium \
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'; do
    if [ -x "$place" ]; then return 0; fi
  done
  return 1
}

give_up() {
  cat >&2 <<MESSAGE
scripts/chromium.sh: no Chromium on this machine, and none was installed: $1.
The tests of the report's page need one: apt-get install chromium, dnf install chromium, apk add chromium or
brew install --cask chromium. reshoot itself runs without.
MESSAGE
  exit 2
}

if has_browser; then exit 0; fi
install_package 'The tests need Chromium.' chromium 'dnf install -y chromium' chromium '--cask chromium'
has_browser || give_up "the installation brought none of the browsers that the tests know: $install"
echo 'Chromium is installed.' >&2
