//! The same VM with Debian's udev: what its rules load for all devices is what `@devices` loads, except for what
//! [`reasons`] says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::Hardware;
use super::look::{AGENT, Look, able_to_look};
use crate::support::image::Built;
use crate::support::{Console, Image, Kernel, Machine, Vm, script};

/// PID 1 of the VM with udev. It does what Debian's initramfs does, then looks.
const SCRIPT: &str = "#!/bin/busybox sh
mount() { /bin/busybox mount \"$@\"; }
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
/sbin/modprobe -a $transport virtiofs
mount -t virtiofs -o ro modules /lib/modules
echo /request >/proc/sys/kernel/modprobe
exec >$agent_report 2>&1
/lib/systemd/systemd-udevd --daemon --resolve-names=never
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle && echo settled
/bin/busybox sh /look
/bin/busybox cat /run/requests
/bin/busybox poweroff -f
";

/// The modprobe of that VM's kernel, which calls it with `-q -- NAME`.
const REQUEST: &str = "#!/bin/busybox sh
echo \"request $3\" >>/run/requests
exec /sbin/modprobe \"$@\"
";

/// The directory that scripts/udev fills.
fn udev() -> PathBuf {
    script("udev", &["--arch", Machine::under_test().arch.name]).into()
}

/// An image for both VMs. It has the drivers of a share, and the share has the whole module tree. While PID 1 loads
/// modules, modprobe sees the image's own tree, in which the kernel must find the driver of a sound codec.
fn image() -> Built {
    let image = Image::new().modules("virtiofs; ?virtio_pci; ?virtio_mmio; snd_hda_codec_generic");
    let image = able_to_look(image).file("/udev", SCRIPT, 0o755).file("/request", REQUEST, 0o755);
    let folders = fs::read_dir(udev()).expect("the directory can be read").map(|entry| entry.expect("an entry"));
    let image = folders.fold(image, |image, folder| {
        let name = folder.file_name().into_string().expect("a name in UTF-8");
        image.add(&folder.path(), &format!("/{name}"))
    });
    image.build()
}

/// Boots the image with all devices and the share.
fn boot(image: &Built, hardware: &Hardware, words: &str) -> Console {
    let share = format!("modules={}", Kernel::under_test().directory.join("lib/modules").display());
    // A CPU with few features, for which udev loads few modules.
    let cpu: &[&str] = if Machine::under_test().arch.name == "x86_64" { &["--cpu", "Opteron_G3"] } else { &[] };
    let vm = hardware.in_vm(Vm::new(image)).options(["--share", &share]);
    vm.options(cpu.iter().copied()).append(words).run()
}

/// The modules that kmod loads for these names and aliases, with all that they need.
fn needed<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let kernel = Kernel::under_test();
    let mut modprobe = Command::new("modprobe");
    modprobe.args(["--config", "/dev/null", "--set-version", &kernel.release, "--dirname"]).arg(&kernel.directory);
    modprobe.args(["--quiet", "--all", "--show-depends", "--"]).args(names).env("PATH", "/usr/sbin:/sbin");
    let output = modprobe.output().expect("kmod is installed");
    let lines = String::from_utf8(output.stdout).expect("text");
    // insmod PATH PARAMETERS
    let files = lines.lines().filter_map(|line| line.strip_prefix("insmod ")?.split(' ').next()?.rsplit('/').next());
    files.map(|file| file.split('.').next().unwrap_or_default().replace('-', "_")).collect()
}

/// The modules that rules of udev's load by name, for other reasons than a modalias.
fn named_by_rules() -> BTreeSet<String> {
    let rules = fs::read_dir(udev().join("lib/udev/rules.d")).expect("udev has rules");
    let rules: String = rules.map(|file| fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
    let loads = rules.split("RUN{builtin}+=\"kmod load").skip(1).filter_map(|rest| rest.split('"').next());
    let names: Vec<_> = loads.flat_map(str::split_whitespace).collect();
    assert!(names.contains(&"sg"), "{names:?}");
    needed(names.into_iter())
}

/// Why udev loads modules that `@devices` does not load, and the modules that each reason explains.
fn reasons(udev: &Look, guest: &Look, console: &Console) -> [(&'static str, BTreeSet<String>); 4] {
    // The log has the beginning of a long modalias.
    let asked = |modalias: &str| console.log().any(|line| line.contains(&format!(" for {modalias:.60}")));
    let had_a_driver = guest.on_buses().filter(|(_, device)| device.driver.is_some() && !asked(&device.modalias));
    [
        ("what has the modalias is no device of a bus", needed(udev.of_classes().map(|(_, device)| &*device.modalias))),
        ("the device has a driver without them", needed(had_a_driver.map(|(_, device)| &*device.modalias))),
        ("a rule names them", named_by_rules()),
        ("the kernel requests them", needed(udev.requests.iter().map(String::as_str))),
    ]
}

/// The devices that have drivers: modalias and driver. Their numbers depend on the order of loading.
fn bound(look: &Look) -> BTreeSet<(&str, &str)> {
    look.on_buses().filter_map(|(_, device)| Some((&*device.modalias, device.driver.as_deref()?))).collect()
}

#[test]
fn the_same_modules_are_loaded_as_by_udev() {
    let (hardware, image) = (Hardware::of(Machine::under_test()), image());
    let words = format!("rdinit=/udev transport={}", Machine::under_test().virtio);
    let udev = Look::of(&boot(&image, &hardware, &words).has("settled"));
    let words = format!("guest_init.module_dir=virtiofs:modules:/ guest_init.modules=@devices {AGENT}");
    let console = boot(&image, &hardware, &words).agent_ran();
    let guest = Look::of(&console);

    let only_here: Vec<_> = guest.modules.difference(&udev.modules).collect();
    assert!(only_here.is_empty(), "udev loads no {only_here:?}\n{console}");
    let reasons = reasons(&udev, &guest, &console);
    let explained = |module: &&String| reasons.iter().any(|(_, modules)| modules.contains(*module));
    let unexplained: Vec<_> = udev.modules.difference(&guest.modules).filter(|module| !explained(module)).collect();
    assert!(unexplained.is_empty(), "only udev loads {unexplained:?}: {reasons:#?}\n{console}");
    assert_eq!(bound(&guest), bound(&udev), "{console}");
}
