# shellcheck shell=bash disable=SC2034 # other scripts use the variables
# arch.sh: the architectures that guest-init is built for, a block each. Source it after common.sh.

# The names by which Linux (uname -m) and the options of the scripts call them.
architectures=(x86_64 aarch64 riscv64 s390x ppc64le)

# use_arch ARCH: set these variables to the values of an architecture:
#
#   debian          Debian's name
#   oldest_suite    Debian's oldest suite that has it
#   kernels         its versions of Debian's kernel, the one that is booted unless another is named first
#   flavour         the end of the names of its kernel packages
#   rust            the beginning of the names of its Rust targets
#   gnu             the beginning of the names of its GNU tools
#   gnu_packages    Debian's packages with those tools and the C library, for a machine of another architecture
#   unstable_asm    1: crates of the guest take its assembly for an unstable feature of the compiler
#   qemu_system     the end of the name of the QEMU that emulates a whole machine
#   qemu_user       the end of the name of the QEMU that runs one program
#   qemu_packages   Debian's packages with the first
#   machines        the machines of scripts/vm, the one that is used unless another is named first
#   cpu             the CPU of scripts/vm
#   serial          the console
#   report_serial   the device that scripts/vm's option --report makes, as the guest calls it
#   report_device   the same, as QEMU calls it
#   demo_card       the network card of the demonstration, as scripts/vm calls it
#   demo_list       the list of the demonstration: the card's driver, with a parameter that exists and one that does not,
#                   and a driver of many modules without a device
use_arch() {
  gnu=$1-linux-gnu rust=$1 qemu_system=$1 qemu_user=$1 oldest_suite=bookworm flavour=''
  kernels='6.1 6.12 7.2' cpu=max unstable_asm='' demo_card=e1000e
  demo_list='e1000e InterruptThrottleRate=3000,3000,3000 EEE=1; nouveau'
  case $1 in
    x86_64)
      debian=amd64 qemu_packages=(qemu-system-x86) demo_list=${demo_list/nouveau/i915}
      machines='q35 microvm' serial=ttyS0 report_serial=ttyS1 report_device=isa-serial,index=1 ;;
    aarch64)
      debian=arm64 kernels+=' 6.12-16k' qemu_packages=(qemu-system-arm)
      # Under TCG this CPU is three times faster than max.
      machines='virt virt-mmio' cpu=cortex-a72 serial=ttyAMA0 report_serial=ttyS0 report_device=pci-serial ;;
    riscv64)
      debian=riscv64 oldest_suite=trixie cpu=rv64 kernels='6.12 7.2' rust=riscv64gc qemu_packages=(qemu-system-misc)
      machines='virt virt-mmio' serial=ttyS0 report_serial=ttyS1 report_device=pci-serial ;;
    s390x)
      debian=s390x kernels='6.1 7.2' unstable_asm=1 qemu_packages=(qemu-system-misc)
      machines=s390-ccw-virtio serial=ttysclp0 report_serial=sclp_line0 report_device=sclplmconsole
      demo_card=virtio-net demo_list='virtio_net csum=0 EEE=1; igb' ;;
    ppc64le)
      debian=ppc64el kernels='6.1 7.2' flavour=powerpc64le rust=powerpc64le gnu=powerpc64le-linux-gnu unstable_asm=1
      qemu_system=ppc64 qemu_packages=(qemu-system-ppc)
      machines=pseries serial=hvc0 report_serial=hvc1 report_device=spapr-vty ;;
    *) bad "unknown architecture: '$1'; it is one of ${architectures[*]}" ;;
  esac
  flavour=${flavour:-$debian} gnu_packages=("gcc-${gnu/_/-}" "libc6-dev-$debian-cross")
}

# use_target TRIPLE: the same, of the architecture of a Rust target.
use_target() {
  local arch
  for arch in "${architectures[@]}"; do
    use_arch "$arch"
    [[ ${1%%-*} != "$rust" ]] || return 0
  done
  bad "unknown target: '$1'"
}
