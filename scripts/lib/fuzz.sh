# shellcheck shell=bash
# fuzz.sh: the stages `fuzz` and `sanitize` of scripts/test, which build with AddressSanitizer, and `miri`. Source it
# after common.sh, and run it in the project's top folder.

# fuzz [TARGET [SECONDS]]: run one target, or all two at a time, for SECONDS each.
fuzz() {
  local seconds=${2:-20} targets target running=0 failed=''
  [[ $seconds =~ ^[1-9][0-9]*$ ]] || bad "fuzz: not a positive number of seconds: '$seconds'"
  targets=(tests/fuzz/fuzz_targets/*.rs)
  targets=("${targets[@]##*/}")
  targets=("${targets[@]%.rs}")
  if [[ ${1-} ]]; then
    [[ " ${targets[*]} " == *" $1 "* ]] || bad "fuzz: no target '$1'; there is ${targets[*]}"
    targets=("$1")
  fi
  fuzz_build
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  real_seeds "$work" "$(env -u KERNEL -u MODULES scripts/kernel 6.1)"
  for target in "${targets[@]}"; do
    ((running++ < 2)) || wait -n || failed=1
    fuzz_one "$target" "$seconds" "$work" &
  done
  # Jobs that ended before are counted as well; a wait without a job returns 127 at once.
  for ((; running > 0; running--)); do wait -n || (($? == 127)) || failed=1; done
  [[ ! $failed ]] || fail 'fuzz: a target failed, as printed above'
}

# with_asan FLAGS COMMAND ARG…: run cargo with AddressSanitizer, an unstable option that RUSTC_BOOTSTRAP allows.
with_asan() {
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address $1" \
    cargo "$2" --quiet --locked --target x86_64-unknown-linux-gnu "${@:3}"
}

# fuzz_build: build the targets' programs as cargo-fuzz does, and set $programs to their folder.
fuzz_build() {
  local coverage=-Cllvm-args=-sanitizer-coverage
  programs=${CARGO_TARGET_DIR:-tests/fuzz/target}/x86_64-unknown-linux-gnu/release
  cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
  with_asan "--cfg fuzzing -Cpasses=sancov-module $coverage-level=4 $coverage-inline-8bit-counters $coverage-pc-table \
    $coverage-trace-compares" build --release --manifest-path tests/fuzz/Cargo.toml
}

# fuzz_one TARGET SECONDS SEEDS: run a target and print the number of its inputs. An input that fails becomes a fixture.
fuzz_one() {
  local target=$1 corpus=tests/fuzz/corpus/$1 found=tests/fixtures/fuzz/$1 log=$3/$1.log
  local length=4096 folder folders=() status=0
  case $target in
    plan | text_index | timeline) length=8192 ;;
    trie) length=16384 ;;
    elf | unpack) length=32768 ;;
  esac
  mkdir -p "$corpus" "$found"
  for folder in "$corpus" tests/fuzz/seeds/"$target" "$3/$target" "$found"; do
    [[ ! -d $folder ]] || folders+=("$folder")
  done
  "$programs/$target" "${folders[@]}" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 -max_len="$length" \
    -dict=tests/fuzz/words.dict -detect_leaks=0 -print_final_stats=1 -artifact_prefix="$found/" >"$log" 2>&1 || status=1
  rmdir --ignore-fail-on-non-empty "$found"
  if ((!status)); then
    say "fuzz: $target: $(awk '/number_of_executed_units/ { inputs = $2 } / cov: / { edges = $4 }
      END { print inputs " inputs, " edges " edges" }' "$log")"
    return
  fi
  tail -n 60 "$log" >&2
  found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
  say "fuzz: $target failed; cargo test --test fuzz_regressions repeats it with ${found:-no input}"
  [[ ! -f $found ]] || base64 "$found" >&2
  return 1
}

# sanitize: AddressSanitizer over unit tests, the unsafe blocks that can run outside a VM, the heap, plans and damaged
# indexes.
sanitize() {
  # PID 1 never frees some of its memory, which is no leak.
  ASAN_OPTIONS=detect_leaks=0 with_asan '--cfg asan' test --no-default-features --features std,decompress \
    --lib --test pure
}

# miri: an interpreter that finds more undefined behaviour, over tests that need no system, and the fuzz targets' seeds.
miri() {
  RUSTUP_AUTO_INSTALL=0 cargo +nightly miri --version >/dev/null 2>&1 ||
    fail 'no Miri here: rustup toolchain install nightly --profile minimal --component miri,rust-src'
  # Too slow for Miri: tests that read the whole test program byte by byte, and those of the index writer.
  local -x MIRIFLAGS=-Zmiri-disable-isolation
  cargo +nightly miri test --quiet --locked --lib --test fuzz_regressions -- --skip elf:: --skip writer::
  cargo +nightly miri test --quiet --locked --test pure -- allocator:: unsafe_code::
}

# real_seeds FOLDER KERNEL: write pieces of a real module tree, a few KB each, into a folder for each target.
real_seeds() {
  local seeds=$1 tree small index alias='pci:v00008086d000010D3sv0sd0bc02sc00i00'
  tree=$2/lib/modules/$(<"$2/release")
  mkdir "$seeds"/{config,elf,plan,text_index,trie,unpack}
  small_tree "$tree" "$seeds"
  small=$seeds/lib/modules/1.0
  { echo ext4; head -n 60 "$tree/modules.softdep"; } >"$seeds/config/softdep"
  for index in dep alias symbols builtin builtin.modinfo; do
    { echo "$alias"; cat "$small/modules.$index"; } >"$seeds/text_index/$index"
  done
  for index in dep alias symbols builtin builtin.alias; do
    { echo "$alias"; cat "$small/modules.$index.bin"; } >"$seeds/trie/$index"
  done
  for index in dep dep.bin; do
    { printf 'e1000e EEE=1; vsock\n%s\n====\n' "$alias"
      head -n 20 "$tree/modules.softdep"
      printf '====\nquiet e1000e.debug=16 modprobe.blacklist=ptp\n====\n'
      head -c 3000 "$small/modules.$index"
      printf '====\n'
      head -n 8 "$small/modules.symbols"
      printf '====\n'
      grep -m 8 10D3 "$small/modules.alias"
      printf '====\n'
      cat "$small/modules.builtin"
      printf '====\n'
      head -z -n 20 "$small/modules.builtin.modinfo"; } >"$seeds/plan/$index"
  done
  { echo 'numdummies=2 nosuch=1'; cat "$small/dummy.ko"; } >"$seeds/elf/dummy"
  gzip -9 <"$small/dummy.ko" >"$seeds/unpack/dummy.ko.gz"
  xz --check=crc32 --lzma2=dict=2MiB <"$small/dummy.ko" >"$seeds/unpack/dummy.ko.xz"
  zstd -q -19 <"$small/dummy.ko" >"$seeds/unpack/dummy.ko.zst"
}

# small_tree TREE FOLDER: copy a few modules of TREE to FOLDER/lib/modules/1.0, and run depmod there.
small_tree() {
  local small=$2/lib/modules/1.0 name
  mkdir -p "$small"
  for name in dummy e1000e ptp pps_core vsock vmw_vsock_virtio_transport{,_common}; do
    find "$1/kernel" -name "$name.ko*" -exec cp {} "$small" \;
  done
  head -n 20 "$1/modules.builtin" >"$small/modules.builtin"
  head -z -n 60 "$1/modules.builtin.modinfo" >"$small/modules.builtin.modinfo"
  : >"$small/modules.order"
  depmod -b "$2" 1.0
}
