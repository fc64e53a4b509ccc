#!/bin/sh
# Makes .venv with the pinned packages. Called by make; safe to call again, at once when nothing changed.
# What Debian packages the runs themselves need is `bench doctor --install`'s to know.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
say() { printf 'setup: %s\n' "$*" >&2; }
# Runs a command that takes long, quietly, with a dot every second; what it says is shown when it fails.
patiently() {
  said=$(mktemp)
  "$@" >"$said" 2>&1 &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; rm -f "$said"; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do printf '.' >&2; sleep 1; done
  code=0; wait "$pid" || code=$?
  trap - INT TERM
  printf '\n' >&2
  [ "$code" = 0 ] || cat "$said" >&2
  rm -f "$said"
  return "$code"
}

command -v "$python" >/dev/null || { say "no $python here; install Python 3.11 or newer"; exit 2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { say "$("$python" --version 2>&1) is too old; threegen needs 3.11 or newer (PYTHON=/path/to/python3.11 make …)"; exit 2; }

wanted=$(cat requirements.txt requirements-dev.txt pyproject.toml setup.sh | cksum)
[ "$(cat .venv/threegen-ready 2>/dev/null || true)" != "$wanted" ] || exit 0

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else as_root=none; fi
  if [ "$as_root" = none ] || ! command -v apt-get >/dev/null; then
    say "$python cannot make virtual environments; install it with: sudo apt-get install $package"; exit 2
  fi
  say "installing $package"
  patiently $as_root apt-get update -qq
  patiently $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"
fi

say 'making .venv (a minute or two, once)'
rm -f .venv/threegen-ready
[ -x .venv/bin/python ] || "$python" -m venv --clear .venv
export PIP_DISABLE_PIP_VERSION_CHECK=1
patiently .venv/bin/python -m pip install -q -r requirements.txt -r requirements-dev.txt
patiently .venv/bin/python -m pip install -q --no-deps --no-build-isolation -e .
printf '%s\n' "$wanted" >.venv/threegen-ready
say 'ready'
