//! What a module says of itself: the `.modinfo` section of its file, strings `key=value` (modinfo(8)).

use core::ffi::CStr;

use crate::elf::Elf;
use crate::request::name::same;

/// sizeof(struct kernel_param) on every 64-bit machine (linux/moduleparam.h).
const KERNEL_PARAM: usize = 40;

/// The strings of a module.
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
    /// How many parameters its code has.
    parameters: usize,
}

impl<'a> ModInfo<'a> {
    /// Finds them. `None`: the file is no module, or not whole.
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

    /// The kernel release that it was built for: the first word of its `vermagic`.
    pub fn release(&self) -> Option<&'a [u8]> {
        self.values("vermagic").next()?.split(|&b| b == b' ').next()
    }

    /// The names of its parameters, as far as it says, some of them twice: `parmtype=NAME:TYPE`, and
    /// `parm=NAME:DESCRIPTION`.
    pub fn parameters(&self) -> impl Iterator<Item = &'a [u8]> {
        self.names("parmtype").chain(self.names("parm"))
    }

    /// Whether it has a parameter.
    ///
    /// A parameter with call-backs and without a description is not among the strings. Where the code has more than are,
    /// a name counts that stands in the file as a string of its own.
    pub fn has_parameter(&self, name: &[u8]) -> bool {
        self.parameters().any(|known| same(known, name)) || self.has_hidden_parameters() && self.has_string(name)
    }

    fn has_hidden_parameters(&self) -> bool {
        let typed = self.names("parmtype").count();
        let is_typed = |name: &&[u8]| self.names("parmtype").any(|other| same(other, name));
        // Nearly always all are typed, which is soon seen.
        typed < self.parameters && typed + self.names("parm").filter(|name| !is_typed(name)).count() < self.parameters
    }

    fn names(&self, key: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values(key).filter_map(|value| value.split(|&b| b == b':').next())
    }

    fn has_string(&self, name: &[u8]) -> bool {
        self.file.split(|&b| b == 0).any(|string| same(string, name))
    }
}
