//! Several modules at once on two CPUs, and the memory that loaded ones give back.

mod support;

use guest_init::failure::Code;
use support::machine::Arch;
use support::scene::{BARE, replace, small, spinning, with_module};
use support::{Console, Image, Kernel, Machine, Vm};

/// Boots an image on two CPUs.
fn boot(image: Image, words: &str) -> Console {
    Vm::new(&image.build()).options(["--smp", "2"]).append(words).run()
}

const LIST: &str = "guest_init.modules=\"ext4; virtio_net; dummy numdummies=2; loop max_loop=3; ifb\"";

#[test]
fn several_at_once_load_what_one_loads() {
    let modules_with = |jobs: &str| {
        let console = boot(small(), &format!("guest_init.jobs={jobs} {LIST}")).agent_ran();
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
fn the_entries_begin_in_the_order_of_the_list() {
    let console = boot(small(), &format!("guest_init.log=debug guest_init.jobs=4 {LIST}")).agent_ran();
    console.in_order(&["/ext4.ko", "/virtio_net.ko", "/dummy.ko", "/loop.ko", "/ifb.ko"]);
}

#[test]
fn the_first_failure_of_the_list_is_the_one_reported() {
    for jobs in ["1", "4"] {
        let line = "load virtio_net: ENOEXEC: no module";
        let image = with_module(with_module(small(), "virtio_net", "no module"), "loop", "no module");
        boot(image, &format!("guest_init.jobs={jobs} {LIST}")).failed(Code::NotAModule, line);
    }
}

#[test]
fn an_optional_entry_fails_alone() {
    let image = with_module(small(), "virtio_net", "no module");
    let words = "guest_init.jobs=4 guest_init.modules=\"dummy; ?virtio_net; loop; ext4; ifb\"";
    let console = boot(image, words).agent_ran();
    let console = console.has("guest-init: load virtio_net: ENOEXEC: no module").has("optional, passed over");
    let modules = console.modules();
    assert!(["dummy", "loop", "ext4", "ifb"].iter().all(|name| modules.contains(name)), "{modules:?}");
}

#[test]
fn the_deadline_names_all_that_is_in_progress() {
    // Each keeps a CPU to itself; the deadline's thread takes one from it, or has one.
    let named = |name: &str| replace(&spinning(), b"name=dummy\0", name.as_bytes());
    let image = with_module(small(), "dummy", spinning());
    let image = with_module(image, "ifb", named("name=dumbo\0")).build();
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    let words = format!("{preempt} guest_init.deadline=3 guest_init.jobs=2 guest_init.modules=\"dummy; ifb\"");
    let line = "deadline of 3 s: ETIMEDOUT: passed while loading ";
    let vm = Vm::new(&image).options(["--smp", &(2 + spare).to_string()]);
    let console = vm.append(&words).run().timed_out(Code::DeadlinePassed, line);
    // Which of the two threads has which module is nobody's promise.
    let told = console.log().find(|told| told.contains(line)).expect("it was told");
    assert!(["loading dummy", " and ", "loading ifb"].iter().all(|part| told.contains(part)), "{told}");
}

/// What `--cat` says of a file that is not there.
fn is_gone(path: &str) -> String {
    format!("agent: cat {path}: ENOENT")
}

fn file_of(module: &str) -> String {
    let kernel = Kernel::under_test();
    format!("/lib/modules/{}/{}", kernel.release, kernel.module(module).1)
}

#[test]
fn the_files_of_loaded_modules_are_given_back() {
    let (loaded, other) = (file_of("dummy"), file_of("loop"));
    let look = format!("-- --cat {loaded} --finit {other} --cat /sbin/guest-init --exec /sbin/modprobe -v dummy ;");
    let console = boot(small(), &format!("guest_init.modules=dummy -- {look}")).agent_ran();
    // Whether it needs to be loaded again is for modprobe to know, which stays with what it needs.
    console
        .has(&is_gone(&loaded))
        .has(&format!("agent: finit {other}: ok"))
        .has_not(&is_gone("/sbin/guest-init"))
        .has("agent: exec /sbin/modprobe: exit 0");
}

#[test]
fn nothing_is_given_back_where_that_is_asked_for() {
    let file = file_of("dummy");
    let words = format!("guest_init.keep_modules=1 guest_init.modules=dummy -- --finit {file}");
    boot(small(), &words).agent_ran().has(&format!("agent: finit {file}: EEXIST"));
}

#[test]
fn guest_init_itself_is_given_back_where_nobody_calls_it_as_modprobe() {
    let look = "-- --cat /sbin/guest-init";
    let console = boot(small().layout(BARE), &format!("guest_init.modules=dummy {look}")).agent_ran();
    console.has(&is_gone("/sbin/guest-init"));
    let console = boot(small().layout(BARE), &format!("guest_init.keep_modules=1 {look}")).agent_ran();
    console.has_not(&is_gone("/sbin/guest-init"));
}
