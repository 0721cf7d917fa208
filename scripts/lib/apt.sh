# shellcheck shell=bash
# apt.sh: Debian packages in the cache, downloaded, verified and unpacked, never installed. Source it after common.sh.
#
# A private apt does it, which neither reads nor changes what is installed here. Each archive in this machine's apt
# sources is asked for the suite that is wanted; Debian's signature tells which of them is Debian's.
#
# environment:
#   DEBIAN_MIRROR   the archive to fetch from   (the one in this machine's apt sources)

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# once DIR COMMAND ARG…: unless DIR is there, have the command fill $work/out, and rename that to DIR.
# One run at a time does it, in a folder beside; the rename then shows it whole to all.
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

# set_up_apt SUITE ARCH…: a private apt, in $work/apt, that knows Debian's SUITE and its security updates for these
# machines, as Debian names them; a package without one is of the first.
set_up_apt() {
  local suite=$1 archive dist source n=0
  need apt-get apt-cache dpkg-deb
  [[ -e $keyring ]] || fail "$keyring is missing; run scripts/setup"
  mkdir -p "$work/apt"/{sources,lists/partial,archives/partial}
  cat >"$work/apt/conf" <<END
#clear APT::Update;
#clear APT::Architectures;
APT::Architecture "$2";
APT::Architectures { $(printf '"%s"; ' "${@:2}") };
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Retries "5";
Dir::Cache "$work/apt";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/apt/sources";
Dir::State "$work/apt";
Dir::State::status "/dev/null";
END
  while read -r archive dist; do
    case $dist in
      *-security) dist=$suite-security ;;
      *-*) continue ;;
      *) dist=$suite ;;
    esac
    source=$work/apt/sources/$((++n)).list
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$archive" "$dist" >"$source"
    private apt-get -qq update >>"$work/apt/log" 2>&1 || rm "$source"
  done < <(archives)
}

# archives: the archives of this machine's apt sources, in whichever format they are written,
# as lines of URI and suite.
archives() {
  if [[ ${DEBIAN_MIRROR-} ]]; then
    printf '%s stable\n' "$DEBIAN_MIRROR"
  else
    apt-get --print-uris update -o Dir::State::lists="$work/apt/lists" |
      sed -nE "s|^'(.*)/dists/([^/]+)/InRelease'.*|\1 \2|p"
  fi
}

# private COMMAND ARG…: an apt command that sees only what set_up_apt set up.
private() { "$1" -c "$work/apt/conf" "${@:2}"; }

# package_names PATTERN: the packages whose whole name matches, oldest version first; without any it fails.
package_names() {
  private apt-cache pkgnames | grep -xE "$1" | sort -V ||
    { cat "$work/apt/log" >&2; fail "found no package $1 in Debian's archive"; }
}

# unpack DIR PACKAGE…: download packages, NAME or NAME:ARCH, and unpack them into DIR.
unpack() {
  local dir=$1 size deb
  shift
  mkdir -p "$work/deb" "$dir"
  size=$(private apt-get -qq --print-uris download "$@" | awk '{ n += $3 } END { print int(n / 1e6) }')
  say "downloading $* ($size MB)"
  (cd "$work/deb" && private apt-get -qq download "$@") || fail 'the download failed'
  for deb in "$work"/deb/*; do
    dpkg-deb -x "$deb" "$dir"
    rm "$deb"
  done
}
