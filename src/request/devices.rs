//! The entry `@devices` of a list: the devices of this VM, on all buses or on some.
//!
//! A device names the drivers that fit it by its modalias, `pci:v00008086d000010D3sv…`. The bus is what stands before
//! the first `:`, so a file of modaliases can be filtered as a VM's devices are.

use core::fmt;

use crate::text::Shown;

/// The first word of the entry.
const WORD: &[u8] = b"@devices";
/// The module whose parameters on the kernel command line announce devices. It is named beside the modaliases, because
/// these devices exist only after it is loaded.
pub const VIRTIO_MMIO: &[u8] = b"virtio_mmio";

/// The devices that an entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Devices<'a> {
    /// The names of the buses, separated by commas. `None`: all buses.
    buses: Option<&'a [u8]>,
}

impl<'a> Devices<'a> {
    /// The devices on all buses.
    pub const ALL: Self = Self { buses: None };

    /// Reads an entry that begins with `@`. The error says in words what is wrong with it.
    pub fn parse(text: &'a [u8]) -> Result<Self, &'static str> {
        let is_bus_byte = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        match text.strip_prefix(WORD) {
            Some([]) => Ok(Self::ALL),
            Some([b'=', buses @ ..]) if buses.iter().any(u8::is_ascii_whitespace) => Err(NO_PARAMETERS),
            Some([b'=', buses @ ..])
                if buses.split(|&b| b == b',').all(|bus| !bus.is_empty() && bus.iter().all(is_bus_byte)) =>
            {
                Ok(Self { buses: Some(buses) })
            }
            Some([b'=', ..]) => Err("a bus is what stands before the first `:` of a modalias, as in @devices=pci,usb"),
            Some([b' ' | b'\t', ..]) => Err(NO_PARAMETERS),
            _ => Err("the only entry that begins with `@` is @devices"),
        }
    }

    /// Whether the devices are on a bus that the entry asks for. `name` is their modalias, or [`VIRTIO_MMIO`], which
    /// brings devices on the buses `platform` and `virtio`.
    pub fn ask_for(&self, name: &[u8]) -> bool {
        match bus_of(name) {
            Some(bus) => self.ask_for_bus(bus),
            None => name == VIRTIO_MMIO && (self.ask_for_bus(b"virtio") || self.ask_for_bus(b"platform")),
        }
    }

    /// Whether the entry asks for a bus.
    pub fn ask_for_bus(&self, bus: &[u8]) -> bool {
        self.buses.is_none_or(|buses| buses.split(|&b| b == b',').any(|other| other == bus))
    }
}

/// The reason against `@devices x=1`.
const NO_PARAMETERS: &str = "@devices takes no parameters: options lines of modprobe.d and MODULE.PARAMETER= count";

/// The bus of a modalias. `None`: the name is no modalias.
pub fn bus_of(modalias: &[u8]) -> Option<&[u8]> {
    modalias.get(..modalias.iter().position(|&b| b == b':')?)
}

impl fmt::Display for Devices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(WORD))?;
        self.buses.map_or(Ok(()), |buses| write!(f, "={}", Shown(buses)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of some names that an entry asks for.
    fn asked(entry: &str) -> std::vec::Vec<&'static str> {
        let devices = Devices::parse(entry.as_bytes()).unwrap();
        let names = ["pci:v1", "usb:v1", "virtio:d1", "pcix:v1", ":v1", "pci", "virtio_mmio"];
        names.into_iter().filter(|name| devices.ask_for(name.as_bytes())).collect()
    }

    #[test]
    fn a_bus_is_what_stands_before_the_first_colon() {
        assert_eq!(asked("@devices"), ["pci:v1", "usb:v1", "virtio:d1", "pcix:v1", ":v1", "virtio_mmio"]);
        assert_eq!(asked("@devices=pci,usb"), ["pci:v1", "usb:v1"]);
        assert_eq!(asked("@devices=no-such_bus1"), [""; 0]);
    }

    #[test]
    fn the_driver_of_announced_devices_belongs_to_their_two_buses() {
        assert_eq!(asked("@devices=virtio"), ["virtio:d1", "virtio_mmio"]);
        assert_eq!(asked("@devices=platform"), ["virtio_mmio"]);
    }
}
