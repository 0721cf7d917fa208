# shellcheck shell=bash
# toolchain.sh: a Rust compiler that has a target's standard library. Source it after common.sh and apt.sh.
#
# Where rustup has the target, that is rustup's. Where it has not, it is the one that Debian's security suite carries for
# its browsers: unpacked in the cache, with the libraries that it needs and std for both architectures.

# use_toolchain TARGET: have cargo build for it, by the environment, $cargo_flags and $link_flags.
use_toolchain() {
  local target=$1 arch=${1%%-*} variable cc
  debian_arch "$arch" >/dev/null
  [[ $target =~ ^[^-]+-unknown-linux-(gnu|musl)$ ]] || bad "unknown target: '$target'"
  # shellcheck disable=SC2034 # both are for the caller
  cargo_flags=() link_flags=''
  if ! has_std "$target"; then
    use_debian_rust
    [[ $target != *-musl ]] || use_musl "$arch"
  fi
  cc=$arch-linux-gnu-gcc
  need "$cc"
  variable=CARGO_TARGET_${target^^}_LINKER
  export "${variable//-/_}=$cc"
}

# has_std TARGET: whether the installed compiler has that target's standard library.
has_std() { [[ -d $("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$1/lib ]]; }

# use_debian_rust: set RUSTC to Debian's compiler.
use_debian_rust() {
  local root
  root=$(cache_dir)/rust
  once "$root" fetch_rust
  export RUSTC=$root/rustc
}

# What the compiler needs beside the C library; libxml2 and libedit2 bring the second half.
rust_libraries='lib(std-rust-web-[0-9.]+|llvm[0-9]+|z3-4|edit2|xml2|ffi8|icu[0-9]+|bsd0|md0)'

# fetch_rust: Debian's compiler with std for both architectures, and the libraries it is linked to.
fetch_rust() {
  local host other libraries
  host=$(debian_arch "$(uname -m)")
  if [[ $host == amd64 ]]; then other=arm64; else other=amd64; fi
  set_up_apt bookworm "$host" "$other"
  mapfile -t libraries < <(private apt-cache depends --recurse --important rustc-web | grep -xE "$rust_libraries")
  # shellcheck disable=SC2154 # once sets work
  unpack "$work/out" rustc-web libstd-rust-web-dev{,:"$other"} "${libraries[@]}"
  cat >"$work/out/rustc" <<'END'
#!/bin/sh
root=$(dirname "$0")/usr
export LD_LIBRARY_PATH="$(echo "$root"/lib/*-linux-gnu)"
exec "$root/bin/rustc" --sysroot "$root" "$@"
END
  chmod +x "$work/out/rustc"
}

use_musl() { bad "not yet"; }
