# shellcheck shell=bash
# apt.sh: download, verify and unpack Debian packages in the cache, without installing them. Source it after common.sh.
#
# A private apt neither reads nor changes what is installed on this machine. It asks each archive of this machine's apt
# sources for the wanted suite, and keeps an archive only if Debian signed the suite.
#
# environment:
#   DEBIAN_MIRROR   the archive to fetch from   (the one in this machine's apt sources)

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# set_up_apt SUITE ARCH…: set up a private apt in $work/apt that knows Debian's SUITE and its security updates for these
# architectures, in Debian's names. A package is of the first one unless its name ends in :ARCH.
set_up_apt() {
  local suite=$1 archive dist source n=0
  need apt-get apt-cache dpkg-deb
  [[ -e $keyring ]] || fail "$keyring is missing; run scripts/setup"
  # shellcheck disable=SC2154 # once sets work
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

# archives: print the archives of this machine's apt sources, whatever their format, as lines of URI and suite.
archives() {
  if [[ ${DEBIAN_MIRROR-} ]]; then
    printf '%s stable\n' "$DEBIAN_MIRROR"
  else
    apt-get --print-uris update -o Dir::State::lists="$work/apt/lists" |
      sed -nE "s|^'(.*)/dists/([^/]+)/InRelease'.*|\1 \2|p"
  fi
}

# private COMMAND ARG…: run an apt command with the configuration of set_up_apt.
private() { "$1" -c "$work/apt/conf" "${@:2}"; }

# package_names PATTERN: print the packages whose whole name matches, oldest version first. Fail if there is none.
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
