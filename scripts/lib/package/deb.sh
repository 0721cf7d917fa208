# shellcheck shell=bash disable=SC2154 # use_arch and scripts/package set the variables
# deb.sh: the Debian package. Source it after common.sh and arch.sh.

# make_deb ROOT FILE: make the package of the files below ROOT, to which Debian's own are added.
make_deb() {
  local root=$1 documents=$1/usr/share/doc/guest-init
  rm "$documents/CHANGELOG.md"
  changelog >"$documents/changelog"
  gzip -9n "$documents/changelog" "$root"/usr/share/man/man?/*
  install -D -m 644 scripts/lib/package/lintian-overrides "$root/usr/share/lintian/overrides/guest-init"
  overrides_for "$root" "$root/usr/share/lintian/overrides/guest-init"
  mkdir "$root/DEBIAN"
  (cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
  control "$root" >"$root/DEBIAN/control"
  # dpkg-deb takes the time of all files from SOURCE_DATE_EPOCH. With one thread xz writes the same bytes everywhere.
  dpkg-deb --root-owner-group --threads-max=1 -Zxz --build "$root" "$2" >/dev/null
}

# deb_version: print the version in Debian's form, in which a `~` lets 0.2.0-rc.1 come before 0.2.0 (deb-version(7)).
deb_version() { printf '%s\n' "${version/-/\~}"; }

# control ROOT: print the package's control file.
control() {
  local size
  # The sum of the files' sizes, as dpkg-gencontrol counts them: in KiB, each rounded up.
  size=$(find "$1/usr" -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')
  cat <<END
Package: guest-init
Version: $(deb_version)
Architecture: $debian
Maintainer: $DEBFULLNAME <$DEBEMAIL>
Installed-Size: $size
Section: admin
Priority: optional
END
  if [[ $arch == "$(uname -m)" ]]; then
    cat <<'END'
Suggests: erofs-utils
Description: init of a microVM, and the tool that builds images with it
 guest-init is one static file between the kernel of a VM and its agent. As
 PID 1 it mounts /proc, /sys, /dev and /run, loads the kernel modules that this
 VM was asked to load, and becomes the agent. If a step fails, it logs the
 reason and panics the VM with a code.
 .
 guest-image builds images that guest-init boots, checks lists of modules
 against a kernel and its modules, translates Kata Containers' configuration,
 and explains failures. It is static as well.
END
  else
    cat <<'END'
Description: init of a microVM
 guest-init is one static file between the kernel of a VM and its agent. As
 PID 1 it mounts /proc, /sys, /dev and /run, loads the kernel modules that this
 VM was asked to load, and becomes the agent. If a step fails, it logs the
 reason and panics the VM with a code.
 .
 For this architecture the package has no guest-image. The guest-image of any
 other builds images with this guest-init.
END
  fi
}

# changelog: print the newest section of CHANGELOG.md in Debian's format (deb-changelog(5)).
changelog() {
  printf 'guest-init (%s) unstable; urgency=medium\n\n' "$(deb_version)"
  # One item a line, without the marks of Markdown; then lines of at most 79 columns.
  awk '/^## / { if (found++) exit; next } !found || /^$/ { next }
    /^- / { print line; line = "  * " substr($0, 3); next }
    /^  / { line = line " " substr($0, 3); next }
    { print line; line = "  [ " $0; sub(/:$/, "", line); line = line " ]" }
    END { print line }' CHANGELOG.md | tr -d '`' | grep . | while IFS= read -r line; do
    fold -s -w 74 <<<"$line" | sed -e '2,$s/^/    /' -e 's/ *$//'
  done
  printf '\n -- %s <%s>  %s\n' "$DEBFULLNAME" "$DEBEMAIL" "$(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" -R)"
}

# overrides_for ROOT FILE: leave out the overrides for programs that are not in the package.
overrides_for() {
  [[ -e $1/usr/bin/guest-image ]] || sed -i '\|usr/bin/guest-image|d' "$2"
}

# copyright: print the licences, in Debian's format, with those of the crates in the programs.
copyright() {
  local holder
  holder=$(sed -n 's/^Copyright (c) //p' LICENSE-MIT)
  cat <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: guest-init

Files: *
Copyright: $holder
License: Expat or Apache-2.0
Comment:
 The programs are linked statically.$([[ $arch != "$(uname -m)" ]] ||
    printf ' guest-image contains the GNU C library (LGPL-2.1+),\n whose source is in the source package glibc.')
 These crates are in them, under these licences:
 .
END
  cargo tree --locked --target "$rust-unknown-linux-gnu" -e normal,no-proc-macro --prefix none -f '{p}: {l}' \
    "${features[@]}" | sed -E '/^guest-init v/d; s/ v([0-9])/ \1/; s/ \(\*\)$//; s/^/  /' | LC_ALL=C sort -u
  printf '\nLicense: Expat\n'
  sed -e '1,/^$/d' LICENSE-MIT | sed -e '/^Copyright/,/^$/d' -e 's/^$/./' -e 's/^/ /'
  cat <<'END'

License: Apache-2.0
 On Debian systems the full text of this licence is in
 /usr/share/common-licenses/Apache-2.0.
END
}
