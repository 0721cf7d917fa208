# shellcheck shell=bash disable=SC2154 # use_arch and scripts/package set the variables
# sbom.sh: the list of the crates in a package, by cargo-cyclonedx. Source it after common.sh and arch.sh.

# make_sbom FILE: write the SBOM for the programs of the package.
make_sbom() {
  local folder=$work/sbom target=$rust-unknown-linux-gnu
  # The tool writes into the source, beside Cargo.toml. In the copy are the files that Cargo needs for its answer, without
  # the tests, whose features would count as well.
  mkdir -p "$folder"
  cp -r Cargo.toml Cargo.lock src "$folder"
  sed -i -e '/^members = /d' -e '/^guest-init = { path/d' "$folder/Cargo.toml"
  (cd "$folder" && "$(cyclonedx)" cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps \
    --target "$target" "${features[@]}" --override-filename sbom) || fail 'cargo cyclonedx failed'
  programs "$folder" <"$folder/sbom.json" >"$1"
}

# programs FOLDER: filter an SBOM: of the package's own parts only the programs that are installed, and no path of the
# folder that it was made in.
programs() {
  local names=guest-init
  [[ $arch != "$(uname -m)" ]] || names+=' guest-image'
  python3 -c '
import json, sys
text = sys.stdin.read().replace("path+file://" + sys.argv[1], "path+file://")
sbom = json.loads(text)
package = sbom["metadata"]["component"]
package["components"] = [part for part in package["components"] if part["name"] in sys.argv[2].split()]
json.dump(sbom, sys.stdout, indent=2, ensure_ascii=False)
print()' "$1" "$names"
}

# cyclonedx: print the path of cargo-cyclonedx, which Cargo fetches and builds once, in about a minute.
cyclonedx() {
  local version=0.5.9 directory
  directory=$(cache_dir)/cargo-cyclonedx-$version
  once "$directory" install_cyclonedx "$version"
  printf '%s\n' "$directory/bin/cargo-cyclonedx"
}

# install_cyclonedx VERSION: fill $work/out. A debug build is made twice as fast, and fast enough.
install_cyclonedx() {
  local log=$work/log
  say "building cargo-cyclonedx $1, which takes about a minute"
  CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --root "$work/out" --target-dir "$work/target" --version "$1" \
    cargo-cyclonedx >"$log" 2>&1 || { cat "$log" >&2; fail 'cargo install failed'; }
}
