# shellcheck shell=bash
# common.sh: functions that all scripts share. Source it right after `set -euo pipefail`:
#   . "$(dirname "$0")/lib/common.sh"
# Results go to stdout, messages for a person to stderr.

# On Debian, depmod and others are in folders that an ordinary user's PATH lacks.
PATH=$PATH:/usr/sbin:/sbin

# say TEXT…: one line of progress.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# fail TEXT…: end with status 1, because something could not be done.
fail() { say "$*"; exit 1; }

# bad TEXT…: end with status 2, because an argument is wrong.
bad() { say "$* (see --help)"; exit 2; }

# usage: print the script's header comment, which is its help.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# need COMMAND…: fail unless all these commands are installed.
need() {
  local command
  for command; do
    type -P "$command" >/dev/null || fail "$command is not installed; run scripts/setup"
  done
}

# first PATH…: print the first path that exists; status 1 if none does.
first() {
  local path
  for path; do [[ ! -e $path ]] || { printf '%s\n' "$path"; return; }; done
  return 1
}

# package_version: print the version of Cargo's package.
package_version() { sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml; }

# commit: print the commit of this clone, with -dirty if a file differs from it, or nothing for sources without git. The
# length is fixed, because git's own abbreviations get longer as a clone grows.
commit() {
  local id
  if [[ -e .git ]] && id=$(git rev-parse HEAD 2>/dev/null); then
    id=${id:0:12}
    [[ ! $(git status --porcelain --untracked-files=no) ]] || id+=-dirty
    printf '%s\n' "$id"
  fi
}

# cache_dir: print the folder for files that can be fetched again.
cache_dir() {
  local home=${GUEST_INIT_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/guest-init}
  mkdir -p "$home" && realpath "$home"
}

# once DIR COMMAND ARG…: unless DIR exists, let the command fill $work/out, and rename that to DIR. A lock lets one
# process at a time do so, and because of the rename nobody sees a half-filled DIR.
once() {
  [[ ! -e $1 ]] || return 0
  need flock
  work=${1%/*}/.work-${1##*/}
  mkdir -p "${1%/*}"
  (
    exec 9>"${1%/*}/.lock-${1##*/}"
    flock 9
    [[ ! -e $1 ]] || exit 0
    rm -rf "$work"
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/out"
    "${@:2}"
    mv -T "$work/out" "$1"
  )
}
