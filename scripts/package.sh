# Sourced by redis.sh, chromium.sh and parallel.sh: gets a program from this machine's package manager.

has() { command -v "$1" >/dev/null 2>&1; }

# install_package WHY FOR_APT FOR_DNF FOR_APK FOR_BREW: as root without asking, else it asks and takes sudo.
# Whoever sources this file has a give_up REASON, which doesn't return. Leaves in $install what was run.
install_package() {
  if has apt-get; then install="apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $2"
  elif has dnf; then install=$3
  elif has apk; then install="apk add $4"
  elif has brew; then install="brew install $5"
  else give_up 'this script knows apt-get, dnf, apk and brew only'
  fi

  local root answer
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
    read -r -p "$1 Install it now (${as_root[*]:+with sudo: }$install)? [Y/n] " answer || answer=no
    if [[ ! $answer =~ ^([Yy].*)?$ ]]; then give_up 'you said no'; fi
  fi

  echo "Installing: $install" >&2
  run sh -c "$install" || give_up "the installation failed: $install"
  hash -r
}

# The ${…+…} is for macOS, whose old bash calls an empty array unbound.
run() { ${as_root[@]+"${as_root[@]}"} "$@" >&2; }
