# shellcheck shell=bash disable=SC2154 # use_arch sets the variables
# toolchain.sh: find a Rust compiler that has a target's standard library. Source it after common.sh, arch.sh and
# apt.sh.
#
# If rustup has the target, its compiler is used. If not, the compiler is the one with which Debian's security suite
# builds browsers. It is unpacked in the cache, with the libraries that it needs, std for x86_64 and aarch64, and the
# source of std, which is built for other architectures and against musl.

# use_toolchain TARGET: set the environment, $cargo_flags, $rust_flags, $path_flags and $link_flags so that cargo builds
# for the target, and the variables of its architecture (use_arch). CARGO_ENCODED_RUSTFLAGS must hold $rust_flags too.
use_toolchain() {
  local target=$1 variable
  use_target "$target"
  [[ $target =~ ^[^-]+-unknown-linux-(gnu|musl)$ ]] || bad "unknown target: '$target'"
  cargo_flags=() rust_flags=()
  if ! has_std "$target"; then
    use_debian_rust
    [[ $target != *-musl ]] || use_musl
    has_std "$target" || build_std
  fi
  # The source paths that panics print are those of crates and of the compiler, without this machine's folders.
  # shellcheck disable=SC2034 # the caller uses it
  path_flags=("--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=crates"
    "--remap-path-prefix=$("${RUSTC:-rustc}" --print sysroot)=rust")
  need "$gnu-gcc"
  variable=CARGO_TARGET_${target^^}
  export "${variable//-/_}_LINKER=$gnu-gcc"
  if [[ $unstable_asm ]]; then
    export RUSTC_BOOTSTRAP=1
    rust_flags=(--cfg rustix_use_experimental_asm)
    export "${variable//-/_}_RUSTFLAGS=${rust_flags[*]}"
  fi
  use_lld
}

# build_std: let cargo build std as well.
build_std() {
  export RUSTC_BOOTSTRAP=1
  # shellcheck disable=SC2034,SC2054 # the caller uses it; the comma is cargo's
  cargo_flags=(-Zbuild-std=std,panic_abort -Zbuild-std-features=)
}

# use_lld: link with the LLVM linker that rustup's compilers bring along, by the script guest.ld. GNU's linker can't
# leave out unwind tables. Debian's compiler has no such linker, so the one of the compiler in PATH is used.
use_lld() {
  local sysroot host lld
  link_flags=()
  sysroot=$(rustc --print sysroot)
  host=$(rustc -vV | sed -n 's/^host: //p')
  lld=$sysroot/lib/rustlib/$host/bin/gcc-ld
  [[ -x $lld/ld.lld ]] || return 0
  local argument
  for argument in -B"$lld" -fuse-ld=lld -Wl,-T,scripts/lib/guest.ld -Wl,--no-eh-frame-hdr; do
    # shellcheck disable=SC2034 # the caller uses it
    link_flags+=(-C "link-arg=$argument")
  done
}

# has_lld TARGET: whether guest-init is linked by the LLVM linker for that target.
has_lld() (
  use_toolchain "$1"
  [[ ${link_flags[*]} ]]
)

# linker_map TARGET FEATURES: print the path of the linker's map that scripts/build makes of guest-init.
linker_map() {
  local folder=${CARGO_BUILD_BUILD_DIR:-${CARGO_TARGET_DIR:-target}}
  realpath -m "$folder/$1/guest/guest-init${2:+-$2}.map"
}

# has_std TARGET: whether the installed compiler has the target's standard library.
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

# The libraries that the compiler needs beside the C library. From icu on they are those of libxml2 and libedit2.
rust_libraries='lib(std-rust-web-[0-9.]+|llvm[0-9]+|z3-4|edit2|xml2|ffi8|icu[0-9]+|bsd0|md0)'

# fetch_rust: fill $work/out with Debian's compiler, the libraries that it is linked to, std for two architectures,
# musl, and the source of std. All are fetched at once because their versions must agree, and old versions vanish.
fetch_rust() {
  local host other libraries source
  use_arch "$(uname -m)"
  host=$debian
  if [[ $host == amd64 ]]; then other=arm64; else other=amd64; fi
  set_up_apt bookworm "$host" "$other"
  mapfile -t libraries < <(private apt-cache depends --recurse --important rustc-web | grep -xE "$rust_libraries")
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

# use_musl: put musl where rustup's compilers have theirs. The unwinder that std links to is an empty library, because
# panics abort.
use_musl() {
  local root own musl file
  root=$(cache_dir)/rust
  own=$root/usr/lib/rustlib/$rust-unknown-linux-musl/lib/self-contained musl=$root/usr/lib/${gnu%-gnu}-musl
  [[ -d $musl ]] || bad "musl is fetched for x86_64 and aarch64, not for $rust"
  need "$gnu-gcc"
  mkdir -p "$own"
  for file in crt1.o crti.o crtn.o libc.a; do ln -sf "$musl/$file" "$own"; done
  for file in crtbegin.o crtend.o; do ln -sf "$("$gnu-gcc" -print-file-name="$file")" "$own"; done
  ar rcs "$own/libunwind.a"
}
