#!/usr/bin/env bash
# Sees to it that this machine has Chromium or Chrome, in which the tests open the report's page.
set -euo pipefail

has() { command -v "$1" >/dev/null 2>&1; }
has_browser() {
  local place
  # The places that test/fixtures/browser.ts looks at.
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

if has apt-get; then install='apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium'
elif has dnf; then install='dnf install -y chromium'
elif has apk; then install='apk add chromium'
elif has brew; then install='brew install --cask chromium'
else give_up 'this script knows apt-get, dnf, apk and brew only'
fi

root=$([ "$(id -u)" = 0 ] && echo yes || echo no)
as_root=()
if [[ $install == brew* ]]; then
  if [ "$root" = yes ]; then give_up 'brew does not work as root'; fi
elif [ "$root" = no ]; then
  if ! has sudo; then give_up "that takes root, and there is no sudo: $install"; fi
  as_root=(sudo)
fi

if [ "$root" = no ]; then
  if ! [ -t 0 ]; then give_up "nobody can be asked, for there is no terminal: $install"; fi
  read -r -p "The tests need Chromium. Install it now (${as_root[*]:+with sudo: }$install)? [Y/n] " answer || answer=no
  if [[ ! $answer =~ ^([Yy].*)?$ ]]; then give_up 'you said no'; fi
fi

echo "Installing Chromium: $install" >&2
# The ${…+…} is for macOS, whose old bash calls an empty array unbound.
${as_root[@]+"${as_root[@]}"} sh -c "$install" >&2 || give_up "the installation failed: $install"
has_browser || give_up "the installation brought none of the browsers that the tests know: $install"
echo 'Chromium is installed.' >&2
