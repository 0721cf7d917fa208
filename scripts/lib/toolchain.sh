# shellcheck shell=bash
# toolchain.sh: a Rust compiler that has a target's standard library. Source it after common.sh and apt.sh.
#
# Where rustup has the target, that is rustup's. Where it has not, it is the one that Debian's security suite carries for
# its browsers: unpacked in the cache, with the libraries that it needs, std for both architectures, and std's source,
# of which one is built against musl.

# use_toolchain TARGET: have cargo build for it, by the environment, $cargo_flags and $link_flags.
use_toolchain() {
  local target=$1 arch=${1%%-*} variable cc
  debian_arch "$arch" >/dev/null
  [[ $target =~ ^[^-]+-unknown-linux-(gnu|musl)$ ]] || bad "unknown target: '$target'"
  cargo_flags=()
  if ! has_std "$target"; then
    use_debian_rust
    [[ $target != *-musl ]] || use_musl "$arch"
  fi
  cc=$arch-linux-gnu-gcc
  need "$cc"
  variable=CARGO_TARGET_${target^^}_LINKER
  export "${variable//-/_}=$cc"
  use_lld
}

# use_lld: have the LLVM linker that rustup's compilers bring along leave out unwind tables: GNU's
# can't.
use_lld() {
  local sysroot host lld
  link_flags=()
  sysroot=$("${RUSTC:-rustc}" --print sysroot)
  host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
  lld=$sysroot/lib/rustlib/$host/bin/gcc-ld
  [[ -x $lld/ld.lld ]] || return 0
  local argument
  for argument in -B"$lld" -fuse-ld=lld -Wl,-T,scripts/lib/guest.ld -Wl,--no-eh-frame-hdr; do
    # shellcheck disable=SC2034 # it is the caller's
    link_flags+=(-C "link-arg=$argument")
  done
}

# linker_map TARGET FEATURES: where scripts/build has the linker write its map of guest-init.
linker_map() {
  local folder=${CARGO_BUILD_BUILD_DIR:-${CARGO_TARGET_DIR:-target}}
  realpath -m "$folder/$1/guest/guest-init${2:+-$2}.map"
}

# has_std TARGET: whether the installed compiler has that target's standard library.
has_std() {
  local sysroot
  sysroot=$("${RUSTC:-rustc}" --print sysroot)
  compgen -G "$sysroot/lib/rustlib/$1/lib/libstd-*.rlib" >/dev/null
}

# use_debian_rust: set RUSTC to Debian's compiler.
use_debian_rust() {
  local root
  root=$(cache_dir)/rust
  once "$root" fetch_rust
  export RUSTC=$root/rustc
}

# What the compiler needs beside the C library; libxml2 and libedit2 bring the second half.
rust_libraries='lib(std-rust-web-[0-9.]+|llvm[0-9]+|z3-4|edit2|xml2|ffi8|icu[0-9]+|bsd0|md0)'

# fetch_rust: Debian's compiler with std for both architectures, the libraries it is linked to, musl, and std's source.
# They come at once, since they must be of one version and older ones vanish.
fetch_rust() {
  local host other libraries source
  host=$(debian_arch "$(uname -m)")
  if [[ $host == amd64 ]]; then other=arm64; else other=amd64; fi
  set_up_apt bookworm "$host" "$other"
  mapfile -t libraries < <(private apt-cache depends --recurse --important rustc-web | grep -xE "$rust_libraries")
  # shellcheck disable=SC2154 # once sets work
  source=$work/source
  unpack "$source" rust-web-src
  unpack "$work/out" rustc-web {libstd-rust-web-dev,musl-dev}{,:"$other"} "${libraries[@]}"
  mkdir -p "$work/out/usr/lib/rustlib/src/rust"
  mv "$source"/usr/src/*/library "$work/out/usr/lib/rustlib/src/rust"
  cat >"$work/out/rustc" <<'END'
#!/bin/sh
root=$(dirname "$0")/usr
export LD_LIBRARY_PATH="$(echo "$root"/lib/*-linux-gnu)"
exec "$root/bin/rustc" --sysroot "$root" "$@"
END
  chmod +x "$work/out/rustc"
}

# use_musl ARCH: have cargo build std too, and the compiler find musl where rustup's has a musl of its own.
# The unwinder that std names is there for the linker's sake alone: panics abort.
use_musl() {
  local arch=$1 root own musl gcc file
  root=$(cache_dir)/rust
  own=$root/usr/lib/rustlib/$arch-unknown-linux-musl/lib/self-contained musl=$root/usr/lib/$arch-linux-musl
  gcc=$arch-linux-gnu-gcc
  need "$gcc"
  mkdir -p "$own"
  for file in crt1.o crti.o crtn.o libc.a; do ln -sf "$musl/$file" "$own"; done
  for file in crtbegin.o crtend.o; do ln -sf "$("$gcc" -print-file-name="$file")" "$own"; done
  ar rcs "$own/libunwind.a"
  export RUSTC_BOOTSTRAP=1
  # shellcheck disable=SC2034,SC2054 # it is the caller's, and cargo's comma
  cargo_flags=(-Zbuild-std=std,panic_abort -Zbuild-std-features=)
}
