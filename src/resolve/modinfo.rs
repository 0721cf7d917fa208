//! The `.modinfo` section of a module's file: NUL-terminated strings `key=value`, as modinfo(8) prints them.

use core::ffi::CStr;

use crate::elf::Elf;
use crate::request::name::same;

/// The size of struct kernel_param on every 64-bit machine, in bytes (linux/moduleparam.h).
const KERNEL_PARAM: usize = 40;

/// The `.modinfo` strings of a module.
///
/// ```no_run
/// use guest_init::resolve::modinfo::ModInfo;
///
/// let file = std::fs::read("/lib/modules/6.1.0-56-amd64/kernel/drivers/net/dummy.ko")?;
/// let modinfo = ModInfo::find(&file).expect("a module");
/// assert_eq!(modinfo.release(), Some(&b"6.1.0-56-amd64"[..]));
/// assert!(modinfo.has_parameter(b"numdummies"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ModInfo<'a> {
    file: &'a [u8],
    strings: &'a [u8],
    /// The number of entries in the section `__param`: one for each parameter that the code has.
    parameters: usize,
}

impl<'a> ModInfo<'a> {
    /// Finds the section in a file. `None`: the file is no module, or is cut short.
    pub fn find(file: &'a [u8]) -> Option<Self> {
        let elf = Elf::new(file)?;
        let parameters = elf.section(b"__param").unwrap_or_default().len() / KERNEL_PARAM;
        elf.section(b".modinfo").map(|strings| Self { file, strings, parameters })
    }

    /// All values of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.strings;
        let strings = core::iter::from_fn(move || {
            let string = CStr::from_bytes_until_nul(rest).ok()?.to_bytes();
            rest = rest.get(string.len() + 1..)?;
            Some(string)
        });
        strings.filter_map(move |string| string.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    /// The kernel release that the module was built for: the first word of `vermagic`.
    pub fn release(&self) -> Option<&'a [u8]> {
        self.values("vermagic").next()?.split(|&b| b == b' ').next()
    }

    /// The names of the parameters that `.modinfo` lists, by `parmtype=NAME:TYPE` and by `parm=NAME:DESCRIPTION`. A
    /// name that has both comes twice.
    pub fn parameters(&self) -> impl Iterator<Item = &'a [u8]> {
        self.names("parmtype").chain(self.names("parm"))
    }

    /// Whether the module has a parameter.
    ///
    /// module_param_cb without MODULE_PARM_DESC leaves nothing in `.modinfo` (MODPROBE.md 8.5). If `__param` has more
    /// entries than `.modinfo` has names, any NUL-terminated string of the file that equals `name` is accepted.
    pub fn has_parameter(&self, name: &[u8]) -> bool {
        self.parameters().any(|known| same(known, name)) || self.has_hidden_parameters() && self.has_string(name)
    }

    /// Whether the code has parameters that `.modinfo` does not list.
    fn has_hidden_parameters(&self) -> bool {
        let typed = self.names("parmtype").count();
        let is_typed = |name: &&[u8]| self.names("parmtype").any(|other| same(other, name));
        // Nearly always every parameter has a type. Then the second count, which takes longer, is not needed.
        typed < self.parameters && typed + self.names("parm").filter(|name| !is_typed(name)).count() < self.parameters
    }

    /// The names before the colon in all values of a key.
    fn names(&self, key: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values(key).filter_map(|value| value.split(|&b| b == b':').next())
    }

    /// Whether the file holds a string, with a NUL or an end of the file on either side.
    fn has_string(&self, name: &[u8]) -> bool {
        self.file.split(|&b| b == 0).any(|string| same(string, name))
    }
}
