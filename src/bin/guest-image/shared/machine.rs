//! The machine of a VM, as far as it decides which modules its kernel takes.

use guest_init::elf::Elf;
use guest_init::failure::{Code, Failure};
use guest_init::machine::Machine;
use guest_init::resolve::tree::module::Module;

/// Refuses a module that was built for another machine than this one, if that is known.
///
/// Failure: [`Code::NotAModule`], as PID 1 ends with it.
pub fn check_module(module: &Module<'_>, contents: &[u8], machine: Option<&Machine>) -> Result<(), Failure> {
    let reason = machine.and_then(|machine| Elf::new(contents)?.misfit(machine.name));
    reason.map_or(Ok(()), |reason| Err(Failure::new(Code::NotAModule, module, reason)))
}
