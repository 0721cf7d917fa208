//! guest-init-recipes(7): every command of the page is run, and every file of it is read.
//!
//! guest-image, QEMU, dracut and mkosi are the real ones. Programs that a test machine can't run have stand-ins in
//! `recipes/stand-ins`, which check what they are given and do what a recipe needs of them. A command that is neither
//! installed nor has a stand-in fails, and so does a block in a language that is not known here.

mod blocks;
mod calls;
mod firecracker;
mod places;

use std::fs;
use std::process::{Command, Stdio};

use crate::support::root;
use blocks::{Block, Recipe};
use places::Place;

/// The line that the demonstration's agent ends with.
const DONE: &str = "agent: done";

/// Runs a recipe in a folder of its own. Returns what its commands printed.
fn run(name: &str) -> (Place, String) {
    let recipe = Recipe::read(name);
    recipe.blocks.iter().for_each(Block::check);
    let place = Place::for_recipe(name);
    let script = place.file("recipe.sh", recipe.script());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail"]).arg(script).current_dir(place.work()).envs(place.environment());
    let output = bash.stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{printed}\n{errors}", output.status);
    calls::check(&place.calls());
    (place, printed + &errors)
}

#[test]
fn every_recipe_is_tested() {
    let tests = fs::read_to_string(root().join("tests/host/recipes.rs")).unwrap();
    for name in blocks::names().iter().filter(|name| *name != "before") {
        assert!(tests.contains(&format!("run(\"{name}\")")), "tests/host/recipes.rs does not run {name}");
    }
}

#[test]
fn the_page_begins_with_the_values_that_recipes_use() {
    let before = Recipe::read("before");
    let [block] = &before.blocks[..] else { panic!("{:?}", before.blocks) };
    let names: Vec<_> = block.text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(names, ["init", "agent", "root", "release", "kernel", "accel", "jails"]);
}

#[test]
fn a_kata_initrd_reaches_its_agent_and_an_image_has_guest_init() {
    let (_, printed) = run("kata");
    assert!(printed.contains("e1000e") && printed.contains(DONE), "{printed}");
    assert!(printed.contains("the VM would load"), "{printed}");
}

#[test]
fn a_pod_of_katas_gets_the_words_of_the_recipe() {
    let (place, printed) = run("pods");
    let words = printed.lines().next().unwrap();
    let pod = fs::read_to_string(place.work().join("pod.yaml")).unwrap();
    assert!(pod.contains(&format!(".kernel_params: \"{words}\"")), "{words}\n{pod}");
}

#[test]
fn an_extension_is_verified() {
    let (_, printed) = run("extension");
    assert!(printed.contains("verity_params = \"root_hash=") && printed.contains("the VM would load"), "{printed}");
}

#[test]
fn firecracker_and_its_jailer_find_their_files_and_the_host_hears_of_the_agent() {
    let (place, printed) = run("firecracker");
    assert_eq!(printed.matches("guest-init: started /sbin/agent").count(), 2, "{printed}");
    assert_eq!(
        place.calls().iter().map(|call| &call[0][..]).collect::<Vec<_>>(),
        ["firecracker", "jailer", "firecracker"]
    );
}

#[test]
fn cloud_hypervisor_finds_its_files_and_the_host_hears_of_the_agent() {
    let (_, printed) = run("cloud-hypervisor");
    assert_eq!(printed.matches("guest-init: started /sbin/agent").count(), 1, "{printed}");
}

#[test]
fn a_microvm_reaches_its_agent() {
    let (_, printed) = run("microvm");
    assert!(printed.contains("eth0") && printed.contains(DONE), "{printed}");
}

#[test]
fn a_containers_root_reaches_its_program() {
    let (_, printed) = run("container");
    assert_eq!(printed.lines().filter(|line| line.starts_with("eth0 ")).count(), 2, "{printed}");
}

#[test]
fn mkosi_takes_the_configuration() {
    let (_, printed) = run("mkosi");
    assert!(printed.contains("linux-image-cloud-amd64") && printed.contains("cpio"), "{printed}");
}

#[test]
fn an_image_of_initramfs_tools_reaches_the_agent() {
    let (_, printed) = run("initramfs-tools");
    assert!(printed.contains(DONE), "{printed}");
}

#[test]
fn an_image_of_dracut_reaches_the_agent() {
    let (_, printed) = run("dracut");
    assert!(printed.contains(DONE), "{printed}");
}

#[test]
fn nvidias_modules_have_their_options_and_their_firmware() {
    let (_, printed) = run("nvidia");
    for text in ["insmod updates/nvidia-uvm.ko", "NVreg_DeviceFileMode=0666", "nvidia/1.0/gsp.bin"] {
        assert!(printed.contains(text), "{text}\n{printed}");
    }
    assert!(!printed.contains("no such parameter"), "{printed}");
}
