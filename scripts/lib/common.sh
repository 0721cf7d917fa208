# shellcheck shell=bash
# What every script here shares. Source it right after `set -euo pipefail`:
#   . "$(dirname "$0")/lib/common.sh"
# stdout is for results; everything a person reads goes to stderr.

# Debian keeps depmod and others where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

# say TEXT…: one line of progress.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# fail TEXT…: it could not be done (exit 1).
fail() { say "$*"; exit 1; }

# bad TEXT…: it was asked for in a wrong way (exit 2).
bad() { say "$* (see --help)"; exit 2; }

# usage: the script's header comment, as its help.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# need COMMAND…: fail unless all of them are installed.
need() {
  local command
  for command; do
    type -P "$command" >/dev/null || fail "$command is not installed; run scripts/setup"
  done
}

# first PATH…: print the first of them that exists; status 1 if none does.
first() {
  local path
  for path; do [[ ! -e $path ]] || { printf '%s\n' "$path"; return; }; done
  return 1
}

# debian_arch ARCH: what Debian calls a machine that Linux and Rust call ARCH.
debian_arch() {
  case $1 in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) bad "unknown architecture: '$1'; it is x86_64 or aarch64" ;;
  esac
}

# cache_dir: the folder for what can be fetched again.
cache_dir() {
  local home=${GUEST_INIT_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/guest-init}
  mkdir -p "$home" && realpath "$home"
}
