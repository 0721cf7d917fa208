//! guest-image with much input: whole trees, and thousands of pods. The work may grow as the input does, and no faster.
//!
//! Work is the time that the program had a CPU, which other programs on this machine hardly change.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};

use guest_init::request::MOST_ENTRIES;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::support::Kernel;
use crate::support::folder::Folder;
use crate::support::module::module;
use crate::support::program::init;
use crate::support::small_tree::depmod;

/// The most by which work may grow if the input doubles. Work that grows with the input's square grows fourfold.
const MOST: f64 = 2.9;

/// The nanoseconds of CPU time of `guest-image ARGUMENT…`, which must succeed. They are read after its end and before
/// its process is gone (Documentation/scheduler/sched-stats.rst).
#[track_caller]
fn work(folder: &Folder, arguments: &[&str]) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
    command.current_dir(folder.path("")).args(arguments).stdin(Stdio::null());
    let [output, errors] = ["output", "errors"].map(|name| fs::File::create(folder.path(name)).unwrap());
    let mut child = command.stdout(output).stderr(errors).spawn().unwrap();
    let id = Pid::from_child(&child);
    waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    let text = fs::read_to_string(format!("/proc/{}/schedstat", child.id())).unwrap();
    let errors = fs::read_to_string(folder.path("errors")).unwrap();
    assert!(child.wait().unwrap().success(), "{errors}");
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Asserts that twice the input makes at most [`MOST`] times the work. The second try counts if another program
/// disturbed the first.
#[track_caller]
fn grows_as_the_input(mut work: impl FnMut(usize) -> f64, count: usize) {
    let mut growth = || work(2 * count) / work(count);
    let growths = [growth(), growth()];
    assert!(growths.iter().any(|growth| *growth < MOST), "{growths:?}");
}

#[test]
fn thousands_of_pods_are_read_from_one_file() {
    let folder = Folder::new();
    folder.file("configuration.toml", "[hypervisor.qemu]\nkernel_params = \"\"\n");
    let pod = |number: usize| {
        let annotation = "io.katacontainers.config.agent.kernel_modules";
        format!(
            "kind: Pod\nmetadata:\n  name: p{number}\n  annotations: {{{annotation}: \"e1000e EEE={number}; i915\"}}\n"
        )
    };
    let documents = |count: usize| (0..count).map(|number| format!("---\n{}", pod(number))).collect::<String>();
    let list = |count: usize| {
        let items = (0..count).map(|number| format!("- {}", pod(number).replace('\n', "\n  ")));
        format!("kind: List\nitems:\n{}\n", items.collect::<Vec<_>>().join("\n"))
    };
    let forms: [&dyn Fn(usize) -> String; 2] = [&documents, &list];
    for form in forms {
        let read = |count| {
            folder.file("pods.yaml", form(count));
            let work = work(&folder, &["kata", "configuration.toml", "pods.yaml"]);
            let output = fs::read_to_string(folder.path("output")).unwrap();
            assert_eq!(output.lines().filter(|line| line.contains("guest_init.modules=")).count(), count);
            work
        };
        grows_as_the_input(read, 2_000);
    }
}

#[test]
fn many_lists_are_checked_with_one_read_of_the_kernel() {
    let kernel = Kernel::version("6.1");
    let [root, image] = [kernel.directory.clone(), kernel.directory.join("vmlinuz")];
    let folder = Folder::new();
    let read = |count: usize| {
        let mut pods = String::new();
        for number in 0..count {
            let list = format!("dummy numdummies={number}");
            let annotations = format!("{{io.katacontainers.config.agent.kernel_modules: \"{list}\"}}");
            write!(pods, "---\nkind: Pod\nmetadata: {{name: p{number}, annotations: {annotations}}}\n").unwrap();
        }
        folder.file("pods.yaml", pods);
        let options = ["--check", "--root", root.to_str().unwrap(), "--kernel", image.to_str().unwrap()];
        work(&folder, &[&["kata", "pods.yaml"], &options[..]].concat())
    };
    let (one, eight) = (read(1), read(8));
    assert!(eight < MOST * one, "{one} ns for one list, {eight} ns for eight");
}

/// Makes a root with this many modules. Returns its name and that of each module.
fn root(folder: &Folder, count: usize) -> (String, Vec<String>) {
    let root = format!("root-{count}");
    let directory = format!("{root}/lib/modules/1.0");
    let names: Vec<_> = (0..count).map(|number| format!("m{number}")).collect();
    for name in &names {
        folder.file(&format!("{directory}/kernel/{name}.ko"), module(&["vermagic=1.0 SMP "], b""));
    }
    ["order", "builtin", "builtin.modinfo"]
        .iter()
        .for_each(|index| folder.file(&format!("{directory}/modules.{index}"), ""));
    depmod(&folder.path(&root), "1.0");
    (root, names)
}

#[test]
fn a_list_of_all_that_a_vm_takes_is_checked() {
    let folder = Folder::new();
    let (root, names) = root(&folder, MOST_ENTRIES);
    let check = |count: usize| work(&folder, &["check", "--root", &root, &names[..count].join(";")]);
    grows_as_the_input(check, MOST_ENTRIES / 2);
}

#[test]
fn an_image_of_a_whole_tree_is_built() {
    const COUNT: usize = 1_500;
    let folder = Folder::new();
    folder.file("guest-init", init());
    let roots = [COUNT, 2 * COUNT].map(|count| root(&folder, count).0);
    let words = ["build", "--init", "guest-init", "--no-agent", "--all-modules", "--compress", "none"];
    for options in [&[][..], &["--firmware-dir", "."]] {
        let build =
            |count: usize| work(&folder, &[&words[..], &["--root", &roots[count / COUNT - 1]], options].concat());
        grows_as_the_input(build, COUNT);
    }
}
