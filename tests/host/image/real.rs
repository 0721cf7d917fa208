//! guest-image build with a kernel's tree: the whole tree, and the part that single modules need.
//!
//! Most tests need the names and the indexes alone, so empty files stand in for the modules.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::machine::{PPC64LE, RISCV64, S390X};
use guest_init::resolve::tree::index::IndexKind;

use super::work::{Work, plan, read, unpack};
use crate::support::Kernel;
use crate::support::program::{init, init_for};

/// A folder with the indexes of a kernel's tree and empty modules, and the lines of its modules.dep.
fn hollow(kernel: &Kernel) -> (Work, Vec<String>) {
    let work = Work::new();
    let tree = kernel.modules();
    let target = |path: &str| format!("lib/modules/{}/{path}", kernel.release);
    for entry in fs::read_dir(&tree).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("modules.") {
            work.file(&target(&name), fs::read(tree.join(&name)).unwrap());
        }
    }
    let dep = fs::read_to_string(tree.join("modules.dep")).unwrap();
    let lines: Vec<_> = dep.lines().map(String::from).collect();
    lines.iter().for_each(|line| work.file(&target(line.split(':').next().unwrap()), ""));
    (work, lines)
}

fn name_of(line: &str) -> &str {
    let path = line.split(':').next().unwrap();
    path.rsplit('/').next().unwrap().split('.').next().unwrap()
}

fn build(work: &Work, arguments: &[&str]) {
    work.build(&[&["--compress", "none", "--module-dir", "lib/modules", "--agent", "agent"], arguments].concat());
}

/// All entries of an index, sorted by key. The values of a key keep their order.
fn index(files: &ModuleTrees, kind: IndexKind) -> Vec<(Vec<u8>, u32, Vec<u8>)> {
    let mut entries = Vec::new();
    let tree = files.sources(&[]);
    let each = tree.trees.index(0, kind).unwrap().each(&mut |key, priority, value| {
        entries.push((key.to_vec(), priority, value.to_vec()));
    });
    each.unwrap();
    entries.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    entries
}

#[test]
fn the_indexes_of_all_modules_equal_depmods() {
    let kernel = Kernel::version("6.1");
    let (work, lines) = hollow(&kernel);
    build(&work, &["--all-modules"]);
    unpack(&work.image(), &work.path("guest"));

    let modules = work.path("guest/lib/modules");
    let ours = ModuleTrees::open(modules.to_str().unwrap(), &kernel.release, &[]).unwrap();
    let theirs =
        ModuleTrees::open(kernel.directory.join("lib/modules").to_str().unwrap(), &kernel.release, &[]).unwrap();
    for kind in IndexKind::ALL {
        let [binary, _] = kind.files();
        assert!(index(&ours, kind) == index(&theirs, kind), "{binary}");
        // depmod may write the nodes in another order, but it writes as many bytes.
        let sizes =
            [&modules.join(&kernel.release), &kernel.modules()].map(|tree| fs::read(tree.join(binary)).unwrap().len());
        assert_eq!(sizes[0], sizes[1], "{binary}");
    }
    let text = |tree: &std::path::Path| fs::read_to_string(tree.join("modules.dep")).unwrap();
    assert!(text(&modules.join(&kernel.release)) == text(&kernel.modules()));

    assert!(lines.len() > 1000);
    same_for_modprobe(&work, &kernel, &names(&kernel, &lines));
}

/// Names of modules, and names that their aliases and symbols match.
fn names(kernel: &Kernel, lines: &[String]) -> Vec<String> {
    let aliases = ["modules.alias", "modules.symbols"].map(|name| {
        let text = fs::read_to_string(kernel.modules().join(name)).unwrap();
        let patterns = text.lines().filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' ')).step_by(29);
        patterns.map(|(pattern, _)| pattern.replace(['*', '?'], "0")).collect::<Vec<_>>()
    });
    let mut names: Vec<_> = lines.iter().step_by(3).map(|line| name_of(line).into()).collect();
    names.extend(aliases.into_iter().flatten().filter(|name| !name.contains('[')));
    names.extend(
        ["virtio_pci", "ext4", "fs-ext4", "tracefs", "fs-tracefs", "crypto-crc32c", "no-such"].map(String::from),
    );
    names
}

/// Asserts that kmod's modprobe finds the same in the image as in the kernel's tree.
fn same_for_modprobe(work: &Work, kernel: &Kernel, names: &[String]) {
    fs::create_dir(work.path("no-config")).unwrap();
    let show = |root: &std::path::Path, names: &[String]| {
        let mut command = Command::new("modprobe");
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        command.arg("-C").arg(work.path("no-config")).arg("-d").arg(root).args([
            "-S",
            &kernel.release,
            "-a",
            "-D",
            "--",
        ]);
        let output = command.args(names).output().expect("modprobe, of the package kmod, is installed");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap().replace(root.to_str().unwrap(), "")
    };
    for names in names.chunks(500) {
        let (ours, theirs) = (show(&work.path("guest"), names), show(&kernel.directory, names));
        assert!(theirs.lines().count() > 100);
        let differences: BTreeSet<_> = ours.lines().zip(theirs.lines()).filter(|(a, b)| a != b).take(5).collect();
        assert!(ours == theirs, "{differences:#?}");
    }
}

#[test]
fn a_plan_is_the_same_in_the_image_and_in_the_whole_tree() {
    let kernel = Kernel::version("6.1");
    let (work, lines) = hollow(&kernel);
    let mut lists: Vec<_> = lines.iter().step_by(101).map(|line| name_of(line).to_string()).collect();
    lists.push("e1000e InterruptThrottleRate=3000,3000,3000 EEE=1; i915; fs-ext4; nfsd; pci:v00001AF4d00001041sv0sd0bc02sc00i00".into());
    for list in lists {
        build(&work, &[&list]);
        let guest = work.path("guest");
        let image = work.image();
        unpack(&image, &guest);
        let there = plan(&guest.join("lib/modules"), &kernel.release, &list).unwrap();
        assert_eq!(there, plan(&work.path("lib/modules"), &kernel.release, &list).unwrap(), "{list}");
        let count = image.iter().filter(|entry| entry.path.contains(".ko")).count();
        let loaded: BTreeSet<_> =
            there.lines().filter(|line| line.starts_with("insmod")).map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(count, loaded.len(), "{list}");
        fs::remove_dir_all(guest).unwrap();
    }
}

#[test]
fn an_image_of_two_drivers_holds_them_unchanged() {
    let kernel = Kernel::version("6.1");
    let work = Work::new();
    let directory = kernel.directory.join("lib/modules");
    let arguments = ["e1000e EEE=1; i915", "--module-dir", directory.to_str().unwrap(), "--agent", "agent"];
    work.build(&[&arguments[..], &["--compress", "zstd"]].concat());
    let image = read(&work.path("initramfs.img"));
    let modules: Vec<_> = image.iter().filter(|entry| entry.path.ends_with(".ko")).collect();
    assert!((10..40).contains(&modules.len()));
    for module in &modules {
        assert!(module.content == fs::read(kernel.directory.join(&module.path)).unwrap(), "{}", module.path);
    }
    let unpacked: usize = image.iter().map(|entry| entry.content.len()).sum();
    let packed = fs::metadata(work.path("initramfs.img")).unwrap().len() as usize;
    assert!(packed < unpacked / 3 && unpacked < 20 << 20, "{packed} {unpacked}");
}

#[test]
fn an_image_for_another_architecture_has_its_modules_and_no_others() {
    let work = Work::new();
    for (machine, version) in [(&S390X, "6.1"), (&PPC64LE, "6.1"), (&RISCV64, "6.12")] {
        let kernel = Kernel::of(machine.name, version);
        let directory = kernel.directory.join("lib/modules");
        let arguments = ["virtio_net; ext4", "--module-dir", directory.to_str().unwrap(), "--agent", "init"];
        work.file("init", init());
        let refused = work.fails(&arguments);
        let reason = format!(": ENOEXEC: built for {machine}, this machine is x86_64\n");
        assert!(refused.starts_with("guest-image: load ") && refused.ends_with(&reason), "{refused}");
        let all = work.fails(&[&["--all-modules"], &arguments[1..]].concat());
        assert!(all.ends_with(&reason), "{all}");

        work.file("init", init_for(machine));
        work.build(&arguments);
        let image = read(&work.path("initramfs.img"));
        let guest = work.path("guest");
        unpack(&image, &guest);
        let mut check = Command::new(env!("CARGO_BIN_EXE_guest-image"));
        check.arg("check").arg("--root").arg(&guest).arg("--kernel").arg(kernel.directory.join("vmlinuz"));
        let checked = check.arg("virtio_net csum=0; ext4").output().unwrap();
        let printed = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.status.success() && printed.contains(" and start its agent"), "{printed}");
        fs::remove_dir_all(guest).unwrap();
        work.remove_image();
    }
}

#[test]
fn an_image_of_a_kernel_with_compressed_modules_holds_the_bytes_that_xz_makes_of_them() {
    let kernel = Kernel::version("6.12");
    let work = Work::new();
    let directory = kernel.directory.join("lib/modules");
    work.build(&["e1000e; virtio_net", "--module-dir", directory.to_str().unwrap(), "--agent", "agent"]);
    let image = read(&work.path("initramfs.img"));
    let modules: Vec<_> = image.iter().filter(|entry| entry.path.contains(".ko")).collect();
    assert!(modules.len() >= 4, "{}", modules.len());
    for module in &modules {
        let source = kernel.directory.join(format!("{}.xz", module.path));
        let plain = Command::new("xz").arg("-dc").arg(source).output().expect("xz runs").stdout;
        assert!(module.content == plain, "{}", module.path);
        assert!(plain.ends_with(b"~Module signature appended~\n"), "{}", module.path);
    }
    unpack(&image, &work.path("guest"));
    let list = "e1000e; virtio_net";
    let there = plan(&work.path("guest/lib/modules"), &kernel.release, list).unwrap();
    let in_tree = plan(&directory, &kernel.release, list).unwrap();
    assert_eq!(there, in_tree.replace(".ko.xz", ".ko"));
}
