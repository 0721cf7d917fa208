//! Compressed modules that the kernel does not take as they are: the one part of the guest with decoders (MODPROBE.md 11, 12.3).

extern crate alloc;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::text::Text;

/// At most this many first bytes tell a format.
pub const LONGEST_MAGIC: usize = 6;

macro_rules! formats {
    ($($format:ident: $name:literal, $suffix:literal, [$($byte:literal),*], $option:literal, $firmware:expr, $decoder:ident;)*) => {
        /// How a file is compressed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Format {
            $(#[doc = concat!("`.ko", $suffix, "`")] $format,)*
        }

        impl Format {
            /// Every format, in the table's order.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$format),*];

            /// Recognises a file by its first bytes, as libkmod does, whatever its name says.
            pub const fn of(file: &[u8]) -> Option<Self> {
                match file {
                    $([$($byte,)* ..] => Some(Self::$format),)*
                    _ => None,
                }
            }

            /// The name that the kernel has for it in /sys/module/compression, which is also its program's.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$format => $name),* }
            }

            /// What the name of a compressed file ends with: `.gz`, …
            pub const fn suffix(self) -> &'static str {
                match self { $(Self::$format => $suffix),* }
            }

            /// The kernel's configuration option for modules in this format, without `CONFIG_`.
            pub const fn kernel_option(self) -> &'static str {
                match self { $(Self::$format => $option),* }
            }

            /// Whether the kernel decompresses firmware in this format (CONFIG_FW_LOADER_COMPRESS).
            pub const fn is_for_firmware(self) -> bool {
                match self { $(Self::$format => $firmware),* }
            }

            #[cfg(feature = "decompress")]
            fn decode(self, file: &[u8]) -> Result<Vec<u8>, Reason> {
                match self { $(Self::$format => decode::$decoder(file)),* }
            }
        }

        $(const _: () = assert!([$($byte),*].len() <= LONGEST_MAGIC);)*
    };
}

// The table of formats, in the order in which the kernel looks for firmware (fw_get_filesystem_firmware in
// drivers/base/firmware_loader/main.c). CONTRIBUTING.md says what else a new row takes.
formats! {
    // name, suffix, first bytes, kernel option, firmware too, decoder in `decode`
    Gzip: "gzip", ".gz", [0x1f, 0x8b], "MODULE_COMPRESS_GZIP", false, gzip;
    Zstd: "zstd", ".zst", [0x28, 0xb5, 0x2f, 0xfd], "MODULE_COMPRESS_ZSTD", true, zstd;
    Xz: "xz", ".xz", [0xfd, b'7', b'z', b'X', b'Z', 0], "MODULE_COMPRESS_XZ", true, xz;
}

impl Format {
    /// Decompresses a file, to at most 256 MiB; or says why that can't be done.
    #[cfg(not(feature = "decompress"))]
    pub fn unpack(self, _file: Cow<'static, [u8]>) -> Result<Vec<u8>, Reason> {
        Err(Text::of(format_args!("this kernel can't decompress {}, and guest-init was built without", self.name())))
    }

    /// Decompresses a file, to at most 256 MiB; or says why that can't be done.
    #[cfg(feature = "decompress")]
    pub fn unpack(self, file: Cow<'static, [u8]>) -> Result<Vec<u8>, Reason> {
        self.decode(&file).map_err(|error| Text::of(format_args!("its {} data is damaged: {error}", self.name())))
    }
}

/// Why a file can't be decompressed.
pub type Reason = Text<160>;

#[cfg(feature = "decompress")]
mod decode {
    extern crate alloc;

    use alloc::vec::Vec;
    use core::fmt::Display;

    use ruzstd::decoding::StreamingDecoder;
    use ruzstd::io::Read;
    use xz4rust::{XzDecoder, XzError};
    use zune_inflate::{DeflateDecoder, DeflateOptions};

    use super::Reason;
    use crate::text::Text;

    /// The bound on what a file may grow to, in bytes; the largest modules have a tenth of it.
    const LARGEST: usize = 256 << 20;
    /// The largest xz dictionary and zstd window, in bytes: those of `xz -9` and of `zstd --ultra`.
    const LARGEST_WINDOW: usize = 128 << 20;
    /// How much is decompressed at once, in bytes.
    const STEP: usize = 256 << 10;
    const TOO_LARGE: &str = "more than 256 MiB come out of it";

    pub fn gzip(file: &[u8]) -> Result<Vec<u8>, Reason> {
        // The length stands at the end, and zune-inflate sees to it that it is true; its own limit is a rough one.
        let length = file.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
        if length > LARGEST {
            return Err(Text::of(TOO_LARGE));
        }
        let options = DeflateOptions::default().set_limit(LARGEST).set_size_hint(length);
        let unpacked = DeflateDecoder::new_with_options(file, options).decode_gzip();
        // Its texts are lines, with their ends.
        unpacked.map_err(|error| Text::of(Reason::of(format_args!("{:?}", error.error)).as_str().trim_end()))
    }

    pub fn xz(mut file: &[u8]) -> Result<Vec<u8>, Reason> {
        const DICTIONARY: usize = 1 << 20;
        let mut decoder = XzDecoder::in_heap_with_alloc_dict_size(DICTIONARY, LARGEST_WINDOW);
        let mut is_whole = false;
        drain(|room| {
            while !file.is_empty() {
                let step = decoder.decode(file, room)?;
                file = file.get(step.input_consumed()..).unwrap_or_default();
                is_whole = step.is_end_of_stream();
                if is_whole {
                    // Another may follow, behind padding.
                    let padding = file.iter().take_while(|&&byte| byte == 0).count();
                    file = file.get(padding..).unwrap_or_default();
                    decoder.reset();
                }
                match step.output_produced() {
                    0 if !step.made_progress() => return Err(XzError::NeedsLargerInputBuffer),
                    0 => {}
                    count => return Ok(count),
                }
            }
            if is_whole { Ok(0) } else { Err(XzError::NeedsLargerInputBuffer) }
        })
    }

    pub fn zstd(file: &[u8]) -> Result<Vec<u8>, Reason> {
        let decoder = StreamingDecoder::new_with_max_window_size(file, LARGEST_WINDOW as u64);
        let mut decoder = decoder.map_err(Text::of)?;
        let unpacked = drain(|room| decoder.read(room))?;
        let frame = decoder.into_frame_decoder();
        match frame.get_checksum_from_data() {
            Some(checksum) if frame.get_calculated_checksum() != Some(checksum) => Err(Text::of("checksum")),
            _ => Ok(unpacked),
        }
    }

    /// Reads until nothing comes any more.
    fn drain<E: Display>(mut read: impl FnMut(&mut [u8]) -> Result<usize, E>) -> Result<Vec<u8>, Reason> {
        let mut unpacked = Vec::new();
        loop {
            let length = unpacked.len();
            unpacked.resize(length + STEP, 0);
            let count = read(unpacked.get_mut(length..).unwrap_or_default()).map_err(Text::of)?;
            unpacked.truncate(length + count);
            match () {
                () if unpacked.len() > LARGEST => return Err(Text::of(TOO_LARGE)),
                () if count == 0 => return Ok(unpacked),
                () => {}
            }
        }
    }
}

#[cfg(all(test, feature = "decompress"))]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"a module, and a module";
    /// The text in every format.
    const FILES: [&[u8]; Format::ALL.len()] = [
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03KT\xc8\xcdO)\xcdI\xd5QH\xccKQH\x84\xf2\x00\xf2$\xa0\x99\x16\x00\x00\x00",
        b"(\xb5/\xfd\x04h\xb1\x00\x00a module, and a module\xe5QkJ",
        b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x02\x00!\x01\x1c\x00\x00\x00\x10\xcfX\xcc\xe0\x00\x15\x00\x14]\x000\x88\x09\xa73\xa9B\x8c[\x08#\x96\x9b\x88\x11\xaf\xb4\xf5\xc3\x00\x00\xa4\x22\xf6\x12\x0b<xY\x00\x010\x16\x896\x14\x0b\x1f\xb6\xf3}\x01\x00\x00\x00\x00\x04YZ",
    ];

    fn unpack(file: &[u8]) -> Result<Vec<u8>, Reason> {
        Format::of(file).expect("a format").unpack(Cow::Owned(file.to_vec()))
    }

    #[test]
    fn what_is_whole_is_unpacked() {
        for (file, format) in FILES.into_iter().zip(Format::ALL) {
            assert_eq!(Format::of(file), Some(format));
            assert_eq!(unpack(file).as_deref(), Ok(TEXT));
        }
        // Two streams with padding between are one file to xz.
        let [.., xz] = FILES;
        assert_eq!(unpack(&[xz, &[0; 4], xz].concat()), Ok([TEXT, TEXT].concat()));
    }

    #[test]
    fn what_is_cut_short_or_damaged_is_refused() {
        for file in FILES {
            for end in 6..file.len() {
                let cut = file.get(..end).expect("it is longer");
                assert!(unpack(cut).is_err(), "{end} bytes of {}", file.escape_ascii());
            }
            let mut damaged = file.to_vec();
            damaged[file.len() / 2] ^= 1;
            assert!(unpack(&damaged).is_err(), "{}", file.escape_ascii());
        }
        let [.., xz] = FILES;
        assert!(unpack(&[xz, b"garbage."].concat()).is_err());
    }

    #[test]
    fn a_length_of_more_than_256_mib_is_refused_before_anything_is_unpacked() {
        let [gzip, ..] = FILES;
        let with_length = |length: u32| {
            let contents = gzip.get(..gzip.len() - 4).expect("it has a length");
            unpack(&[contents, &length.to_le_bytes()].concat()).unwrap_err()
        };
        assert_eq!(with_length((256 << 20) + 1).as_str(), "its gzip data is damaged: more than 256 MiB come out of it");
        assert_ne!(with_length(256 << 20).as_str(), with_length(u32::MAX).as_str());
    }
}
