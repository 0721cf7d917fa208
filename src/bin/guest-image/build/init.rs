//! The guest-init of an image: the file of `--init`, or the one that was installed with guest-image. Only a guest-init
//! that scripts/build made can be PID 1.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use guest_init::bare::note::{OWNER, SECTION};
use guest_init::elf::Elf;
use guest_init::guest::system::files::map;
use guest_init::machine::Machine;

/// Where packages install guest-init.
const INSTALLED: [&str; 2] = ["/usr/sbin/guest-init", "/usr/local/sbin/guest-init"];

/// Finds the guest-init that was installed with this program, or else by a package.
pub fn installed() -> Result<PathBuf> {
    let program = std::env::current_exe().context("the path of this program")?;
    let beside = program.parent().and_then(Path::parent).map(|prefix| prefix.join("sbin/guest-init"));
    let places: Vec<PathBuf> = beside.into_iter().chain(INSTALLED.map(PathBuf::from)).collect();
    if let Some(found) = places.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    let mut places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
    places.dedup();
    bail!(
        "no guest-init is installed: none of {} exists; install the package guest-init, or run scripts/install in its \
         source, or name the file that scripts/build makes with --init",
        places.join(", ")
    )
}

/// Refuses a file that is not guest-init, and Cargo's ordinary build of guest-init, which would refuse to be PID 1.
/// Returns the machine that the file is for.
pub fn check(path: &Path) -> Result<&'static Machine> {
    let name = path.display();
    // Nothing of a mapped file is read before it is needed.
    let file = File::open(path).and_then(|file| Ok(map(&file.into())?)).with_context(|| name.to_string())?;
    let reason = match Elf::new(file) {
        None => "not a 64-bit ELF program".to_string(),
        Some(elf) if !has_note(&elf) => format!("not a build of guest-init that can be PID 1: no note {SECTION} in it"),
        Some(elf) if elf.interpreter().is_some() => "linked dynamically".to_string(),
        Some(elf) => match elf.machine() {
            Some(machine) => return Ok(machine),
            None => "built for a machine that guest-init does not run on".into(),
        },
    };
    bail!("--init {name}: {reason}; run scripts/build and name the guest-init that it makes")
}

/// Whether a file has the note of guest-init's run-time. The owner's name stands behind three numbers (elf(5)).
fn has_note(elf: &Elf<'_>) -> bool {
    const NUMBERS: usize = 3 * size_of::<u32>();
    let note = elf.section(SECTION.as_bytes()).and_then(|note| note.get(NUMBERS..));
    note.is_some_and(|note| note.starts_with(OWNER))
}
