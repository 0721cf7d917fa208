# shellcheck shell=bash disable=SC2154 # scripts/test sets the variables
# test.sh: the stage `package` of scripts/test. Source it after common.sh, arch.sh and guest.sh, and run it in the
# project's top folder.

# package: what cargo install makes of the crate, and the packages of scripts/package on a system that has nothing else.
package() {
  use_arch "$(uname -m)"
  # On the disk with the target folder there is room for a copy of it and of a module tree.
  mkdir -p "$target_folder"
  scratch=$(mktemp -d -p "$target_folder")
  trap 'rm -rf "$scratch"' EXIT
  say 'the crate'
  published_crate
  say 'the packages'
  packages=$(scripts/package --profile quick --output "$scratch/packages")
  version=$(package_version)
  deb=$packages/guest-init_${version}_$debian.deb
  lintian --tag-display-limit 0 --fail-on error,warning "$deb" || fail 'lintian found faults'
  same_bytes_elsewhere
  say 'a system that has the package and nothing else'
  fresh_system "$deb"
}

# published_crate: install the crate as it would be published. Uncommitted changes are packaged as well. Cargo itself
# would build the package from files that all have one old date, and take a changed file for an unchanged one; so the
# files are unpacked with the current date.
published_crate() (
  apart cargo package --quiet --locked --allow-dirty --no-verify
  cd "$target_folder/apart/package" || exit
  rm -rf guest-init-*/
  tar -xzmf guest-init-*.crate
  cd guest-init-*/ || exit
  apart cargo install --quiet --locked --debug --config 'profile.dev.package.guest-init.opt-level=0' --path . \
    --root "$scratch/crate"
  # Cargo can't build a guest-init that may be PID 1.
  [[ $(ls "$scratch/crate/bin") == guest-image ]] || fail 'cargo install installs other programs than guest-image'
)

# same_bytes_elsewhere: build the packages once more: in another folder, without git, by another user's settings. The
# crates from the registry are taken from the first build. They can't depend on the folder, because no program has its
# path.
same_bytes_elsewhere() {
  local folder=$scratch/elsewhere build=${CARGO_BUILD_BUILD_DIR:-$target_folder} profile triple=$rust-unknown-linux-gnu
  mkdir -p "$scratch/files"
  dpkg-deb -x "$deb" "$scratch/files"
  ! has_path_of_folder "$scratch/files" || fail "$deb has the path of a folder of this machine"
  for profile in quick guest; do
    mkdir -p "$folder/target/$triple"
    cp -a "$build/$profile" "$folder/target"
    cp -a "$build/$triple/$profile" "$folder/target/$triple"
  done
  # The copied sources are younger than what was built of the first ones, so Cargo builds them.
  git ls-files -z | xargs -0 cp --parents -t "$folder"
  (
    umask 077
    TZ=Asia/Tokyo CARGO_TARGET_DIR=$folder/target CARGO_BUILD_BUILD_DIR=$folder/target \
      GUEST_INIT_COMMIT=$(commit) SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) \
      DEBFULLNAME=$(git log -1 --format=%an) DEBEMAIL=$(git log -1 --format=%ae) \
      "$folder/scripts/package" --profile quick --output "$scratch/again" >/dev/null
  )
  diff -r "$packages" "$scratch/again" || fail 'the packages differ if they are built in another folder'
}

# fresh_system DEB: install the package in an empty root, build an image there, and boot it. The root has a module tree
# and an agent, and no other program.
fresh_system() {
  local root=$scratch/root kernel as_root=() output
  ((EUID == 0)) || as_root=(--map-root-user)
  kernel=$(scripts/kernel 6.1)
  mkdir -p "$root"/{lib,proc,var/{log,lib/dpkg/{info,updates}}}
  touch "$root/var/lib/dpkg/status"
  unshare "${as_root[@]}" dpkg --root="$root" --install "$1" >/dev/null
  cp -r "$kernel/lib/modules" "$root/lib"
  cp "$(scripts/build)/demo-agent" "$root/agent"
  [[ $(unshare "${as_root[@]}" --root="$root" /usr/sbin/guest-init --version) == \
    "guest-init $version ($(commit), decompress)" ]] || fail 'guest-init has another version'
  build_inside "$root" --agent /agent --release "$(<"$kernel/release")" --output /initramfs.img \
    --quiet 'e1000e; i915'
  scripts/vm --kernel "$kernel" --initrd "$root/initramfs.img" --nic e1000e --timeout 300 \
    --append 'guest_init.modules="e1000e EEE=1; i915"' >"$scratch/console" || true
  grep -q '^agent: done' "$scratch/console" || { cat "$scratch/console"; fail 'the VM did not reach its agent'; }
  rm "$root/usr/sbin/guest-init"
  ! output=$(build_inside "$root" --no-agent 2>&1) || fail 'an image without guest-init'
  [[ $output == *'none of /usr/sbin/guest-init, /usr/local/sbin/guest-init exists; install '* ]] || fail "$output"
}

# build_inside ROOT ARGUMENT…: run `guest-image build` in the root.
build_inside() {
  unshare "${as_root[@]}" --mount --pid --fork --root="$1" --mount-proc /usr/bin/guest-image build "${@:2}"
}
