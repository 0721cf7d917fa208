# shellcheck shell=bash disable=SC2154 # use_arch sets the variables
# guest.sh: the stage `guest` of scripts/test. Source it after common.sh, arch.sh and toolchain.sh, and run it in the
# project's top folder.
#
# guest-init starts without a C library and without a dynamic loader (src/bare), so nothing prepares thread-local
# storage, applies relocations or calls constructors. The checks here find a file that would need that.

# guest [TARGET]: build the file for a target, this machine's if none is named, and check it.
guest() {
  local target=${1-} init
  if [[ $target ]]; then
    use_target "$target"
  else
    use_arch "$(uname -m)"
    target=$rust-unknown-linux-gnu
  fi
  init=$(scripts/build --target "$target")/guest-init
  needs_no_preparation "$init" "$rust"
  ! has_path_of_folder "$init" || fail "$init contains the path of a folder of this machine"
  # The patterns stand for modules of the source, so one target is enough: for another, a compiler inlines other
  # functions and names some sections otherwise.
  if [[ $target == "$(uname -m)-unknown-linux-gnu" ]] && has_lld "$target"; then
    every_pattern_matches scripts/lib/guest.ld "$(linker_map "$target" decompress)"
  fi
  say "$init is static, $(stat -c %s "$init") bytes"
  run "$init" --version | grep -qxF "guest-init $(package_version) ($(commit), decompress)" ||
    fail "$init does not print its version"
  diff <(crates "$target") tests/support/guest-crates || fail "tests/support/guest-crates does not list the guest's crates"
}

# has_path_of_folder PATH: whether a file, or a file below a folder, has the path of a folder of this machine in it.
has_path_of_folder() {
  grep -rqaF -e "$PWD/" -e "${CARGO_HOME:-$HOME/.cargo}" -e "${RUSTUP_HOME:-$HOME/.rustup}" -e "$(cache_dir)" "$1"
}

# crates TARGET: print the names of the crates that guest-init is made of.
crates() (
  use_toolchain "$1"
  cargo tree --locked -e normal --no-default-features --features bare,decompress --prefix none --target "$1" |
    awk '{ print $1 }' | sort -u
)

# run PROGRAM ARGUMENT…: run a program of the architecture of use_arch on this machine.
run() {
  if [[ $qemu_user == "$(uname -m)" ]]; then "$@"; else "qemu-$qemu_user" "$@"; fi
}

# needs_no_preparation FILE ARCH: fail if something would have to prepare the program before its first instruction.
needs_no_preparation() {
  local found allowed='^$' sections='\.((pre)?init_array|fini_array|ctors|dtors)| (REL|RELA|RELR) '
  # compiler-rt's two constructors for aarch64 may stay without a call: see src/bare/start/aarch64.rs.
  [[ $2 != aarch64 ]] || allowed='\.init_array +INIT_ARRAY +[0-9a-f]+ [0-9a-f]+ 0000(08|10) '
  found=$(readelf -lW "$1" | grep -E '^ *(INTERP|DYNAMIC|TLS) ' || true
    readelf -SW "$1" | grep -E "$sections" | grep -vE "$allowed" || true)
  [[ ! $found ]] || fail "$1 needs a dynamic loader or a C library's start:"$'\n'"$found"
}

# every_pattern_matches SCRIPT MAP: fail if a pattern of the linker script takes no input section to its output section,
# as happens when a module of the source is renamed. The map has a line for each output section, `… .text.rare`, and
# below it one for each input section, `… FILE:(.text.NAME)`. It does not list what is discarded.
every_pattern_matches() {
  local output patterns pattern inputs
  local -a words
  while read -r output patterns; do
    [[ $output != /DISCARD/ ]] || continue
    inputs=$(awk -v output="$output" '$5 ~ /^\./ { inside = $5 == output }
      inside && match($0, /:\(.*\)$/) { print substr($0, RSTART + 2, RLENGTH - 3) }' "$2")
    read -ra words <<<"$patterns"
    for pattern in "${words[@]}"; do
      grep -qxE "$(glob_as_regex "$pattern")" <<<"$inputs" ||
        fail "$1: $output: no section is named $pattern ($2 lists the names)"
    done
  done < <(output_sections "$1")
}

# output_sections SCRIPT: a line for each output section of the linker script, its name and the patterns of its inputs.
output_sections() {
  tr '\n' ' ' <"$1" | sed -E 's#/\*([^*]|\*[^/])*\*/##g' | grep -oE '[^ ]+ : [^{]*\{[^}]*\}' |
    sed -E 's# : [^{]*\{# #; s#\*\(|[)}]# #g'
}

# glob_as_regex GLOB: a pattern whose only special character is `*`, as a regular expression.
glob_as_regex() { sed 's/[.$]/\\&/g; s/\*/.*/g' <<<"$1"; }
