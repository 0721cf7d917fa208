//! Several modules at once on two CPUs, and the memory of loaded modules' files.

use guest_init::failure::Code;

use crate::support::machine::Arch;
use crate::support::scene::{BARE, compress, file_of, replace, small, spinning, with_module};
use crate::support::{Console, Image, Kernel, Machine, Vm};

/// Boots an image on two CPUs.
fn boot_on_two(image: Image, words: &str) -> Console {
    Vm::new(&image.build()).options(["--smp", "2"]).append(words).run()
}

const LIST: &str = "guest_init.modules=\"ext4; virtio_net; dummy numdummies=2; loop max_loop=3; ifb\"";

#[test]
fn any_number_of_jobs_loads_the_same_modules() {
    let modules_with = |jobs: &str| {
        let console = boot_on_two(small(), &format!("guest_init.jobs={jobs} {LIST}")).agent_ran();
        let console = console.has("  dummy1  ").has("max_loop=3");
        let mut modules: Vec<_> = console.modules().into_iter().map(String::from).collect();
        modules.sort();
        modules
    };
    let one = modules_with("1");
    assert!(one.len() >= 5, "{one:?}");
    assert_eq!(modules_with("auto"), one);
    assert_eq!(modules_with("64"), one);
}

#[test]
fn with_four_jobs_the_entries_start_in_the_order_of_the_list() {
    let console = boot_on_two(small(), &format!("guest_init.log=debug guest_init.jobs=4 {LIST}")).agent_ran();
    console.in_order(&["/ext4.ko", "/virtio_net.ko", "/dummy.ko", "/loop.ko", "/ifb.ko"]);
}

#[test]
fn at_level_debug_each_step_that_begins_has_an_end_with_its_thread() {
    let console = boot_on_two(small(), &format!("guest_init.log=debug guest_init.jobs=2 {LIST}")).agent_ran();
    let console = console.in_order(&[
        "guest-init: activity: planning",
        "guest-init: activity: loading for the list",
        "guest-init: insmod kernel/",
        "guest-init: modules loaded: ",
        "guest-init: activity: on the way to the agent",
        "guest-init: executing /sbin/agent",
    ]);
    let lines: Vec<_> = console.log().filter_map(|line| Some(line.split_once("guest-init: ")?.1)).collect();
    let begun = lines.iter().enumerate().filter_map(|(at, line)| {
        let path = line.strip_prefix("insmod ")?.split(' ').next()?;
        Some((at, path.rsplit('/').next()?.split('.').next()?.replace('-', "_")))
    });
    let begun: Vec<_> = begun.collect();
    assert!(begun.len() >= 5, "{console}");
    for (at, name) in begun {
        let ends = lines[at..].iter().filter_map(|line| line.strip_prefix(&format!("{name}: done in ")));
        let ends: Vec<_> = ends.filter_map(|end| end.split_once(" us by thread ")).collect();
        let [(time, thread)] = ends[..] else { panic!("{name}: {ends:?}\n{console}") };
        assert!(time.parse::<u32>().is_ok() && ["0", "1"].contains(&thread), "{name}: {time}, {thread}");
    }
}

#[test]
fn of_two_failures_the_first_of_the_list_is_reported() {
    for jobs in ["1", "4"] {
        let line = "load virtio_net: ENOEXEC: no module";
        let image = with_module(with_module(small(), "virtio_net", "no module"), "loop", "no module");
        boot_on_two(image, &format!("guest_init.jobs={jobs} {LIST}")).failed(Code::NotAModule, line);
    }
}

#[test]
fn with_four_jobs_an_optional_entry_fails_alone() {
    let image = with_module(small(), "virtio_net", "no module");
    let words = "guest_init.jobs=4 guest_init.modules=\"dummy; ?virtio_net; loop; ext4; ifb\"";
    let console = boot_on_two(image, words).agent_ran();
    let console = console.has("guest-init: load virtio_net: ENOEXEC: no module").has("optional, passed over");
    let modules = console.modules();
    assert!(["dummy", "loop", "ext4", "ifb"].iter().all(|name| modules.contains(name)), "{modules:?}");
}

#[test]
fn the_deadline_names_every_module_in_progress() {
    // Each module keeps a CPU to itself. The deadline's thread takes one from it, or has one.
    let named = |name: &str| replace(&spinning(), b"name=dummy\0", name.as_bytes());
    let image = with_module(small(), "dummy", spinning());
    let image = with_module(image, "ifb", named("name=dumbo\0")).build();
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    let words = format!("{preempt} guest_init.deadline=10 guest_init.jobs=2 guest_init.modules=\"dummy; ifb\"");
    let line = "deadline of 10 s: ETIMEDOUT: passed while loading ";
    let vm = Vm::new(&image).options(["--smp", &(2 + spare).to_string()]);
    let console = vm.append(&words).run().timed_out(Code::DeadlinePassed, line);
    // Either thread may have taken either module.
    let reported = console.log().find(|reported| reported.contains(line)).expect("the line is there");
    assert!(["loading dummy", " and ", "loading ifb"].iter().all(|part| reported.contains(part)), "{reported}");
}

#[test]
fn with_four_jobs_each_unknown_parameter_is_reported_for_its_own_module() {
    let names = ["dummy", "loop", "ifb"];
    let compressed = |name| compress(&Kernel::under_test().plain(name), "xz", &["--check=crc32"]);
    let image = names.into_iter().fold(small(), |image, name| with_module(image, name, compressed(name)));
    let list = names.map(|name| format!("{name} no_{name}=1; ")).concat();
    let console = boot_on_two(image, &format!("guest_init.jobs=4 guest_init.modules=\"{list}ext4\"")).agent_ran();
    let reported = |name| {
        let line = format!("guest-init: plan {name} no_{name}=1: EINVAL: the module has no such parameter");
        console.log().filter(|text| text.contains(&line)).count()
    };
    assert_eq!(names.map(reported), [1; 3], "{console}");
    assert_eq!(console.log().filter(|text| text.contains("no such parameter")).count(), 3, "{console}");
}

/// The agent's answer to `--cat` of a file that does not exist.
fn is_gone(path: &str) -> String {
    format!("agent: cat {path}: ENOENT")
}

#[test]
fn files_of_loaded_modules_are_removed() {
    let (loaded, other) = (file_of("dummy"), file_of("loop"));
    let look = format!("-- --cat {loaded} --finit {other} --cat /sbin/guest-init --exec /sbin/modprobe -v dummy ;");
    let console = boot_on_two(small(), &format!("guest_init.modules=dummy -- {look}")).agent_ran();
    // modprobe stays, with all that it needs to find that dummy is loaded.
    console
        .has(&is_gone(&loaded))
        .has(&format!("agent: finit {other}: ok"))
        .has_not(&is_gone("/sbin/guest-init"))
        .has("agent: exec /sbin/modprobe: exit 0");
}

#[test]
fn keep_modules_keeps_the_files_of_loaded_modules() {
    let file = file_of("dummy");
    let words = format!("guest_init.keep_modules=1 guest_init.modules=dummy -- --finit {file}");
    boot_on_two(small(), &words).agent_ran().has(&format!("agent: finit {file}: EEXIST"));
}

#[test]
fn guest_init_itself_is_removed_if_no_modprobe_is_a_link_to_it() {
    let look = "-- --cat /sbin/guest-init";
    let console = boot_on_two(small().layout(BARE), &format!("guest_init.modules=dummy {look}")).agent_ran();
    console.has(&is_gone("/sbin/guest-init"));
    let console = boot_on_two(small().layout(BARE), &format!("guest_init.keep_modules=1 {look}")).agent_ran();
    console.has_not(&is_gone("/sbin/guest-init"));
}
