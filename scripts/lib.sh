# shellcheck shell=bash disable=SC2034
# Shared by the scripts in this folder; source it, don't run it.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
REQUIREMENTS="$ROOT/clients/python/requirements-test.txt"
MODELS="$ROOT/clients/python/requirements-models.txt"
VENV="${SKEIN_VENV:-$ROOT/.venv}"

say() { printf '%s\n' "$*"; }

# die WHAT [WHAT TO DO]
die() {
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
  exit 1
}

# Where cargo puts what it builds.
target_dir() { printf '%s' "${CARGO_TARGET_DIR:-$ROOT/target}"; }

# The server binary of the dev profile, or the one named by SKEIN_BIN.
skein_bin() { printf '%s' "${SKEIN_BIN:-$(target_dir)/debug/skein}"; }

sha256_of() { sha256sum | cut -c1-16; }
