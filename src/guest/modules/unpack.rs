//! Decompression of modules that the kernel does not decompress itself (MODPROBE.md 11, 12.3). Only this file uses
//! decoders.

extern crate alloc;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::text::Text;

/// The most bytes at the start of a file that identify a format.
pub const LONGEST_MAGIC: usize = 6;

macro_rules! formats {
    ($($format:ident: $name:literal, $suffix:literal, [$($byte:literal),*], $option:literal, $firmware:expr, $decoder:ident;)*) => {
        /// The compression of a file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Format {
            $(#[doc = concat!("`.ko", $suffix, "`")] $format,)*
        }

        impl Format {
            /// All formats, in the order of the table.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$format),*];

            /// Recognises the compression of a file by its first bytes, not by its name (MODPROBE.md 11.1).
            pub const fn of(file: &[u8]) -> Option<Self> {
                match file {
                    $([$($byte,)* ..] => Some(Self::$format),)*
                    _ => None,
                }
            }

            /// The name of the format in /sys/module/compression, which is also the name of the program that makes such
            /// files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$format => $name),* }
            }

            /// The end of a compressed file's name: `.gz`, …
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

            /// Decompresses a whole file.
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
    /// Returns the reason for which this build decompresses nothing.
    #[cfg(not(feature = "decompress"))]
    pub fn unpack(self, _file: Cow<'static, [u8]>) -> Result<Vec<u8>, Reason> {
        Err(Text::of(format_args!("this kernel can't decompress {}, and guest-init was built without", self.name())))
    }

    /// Decompresses a file to at most 256 MiB. The error is the reason for which that can't be done.
    #[cfg(feature = "decompress")]
    pub fn unpack(self, file: Cow<'static, [u8]>) -> Result<Vec<u8>, Reason> {
        self.decode(&file).map_err(|error| Text::of(format_args!("its {} data is damaged: {error}", self.name())))
    }
}

/// The reason for which a file can't be decompressed.
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

    /// The largest decompressed file, in bytes. The largest modules of distributions have a tenth of that.
    const LARGEST: usize = 256 << 20;
    /// The largest dictionary of xz, and the largest window of zstd, in bytes: those of `xz -9` and of `zstd --ultra`.
    const LARGEST_WINDOW: usize = 128 << 20;
    /// The number of bytes that are decompressed at once.
    const STEP: usize = 256 << 10;
    const TOO_LARGE: &str = "more than 256 MiB come out of it";

    pub fn gzip(file: &[u8]) -> Result<Vec<u8>, Reason> {
        // The last four bytes are the decompressed length (RFC 1952, 2.3.1). zune-inflate checks that it is true. The
        // length is checked here as well, because zune-inflate decompresses somewhat more than its limit.
        let length = file.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
        if length > LARGEST {
            return Err(Text::of(TOO_LARGE));
        }
        let options = DeflateOptions::default().set_limit(LARGEST).set_size_hint(length);
        let unpacked = DeflateDecoder::new_with_options(file, options).decode_gzip();
        // zune-inflate's errors end in a newline.
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
                    // Another stream may follow, after padding of zeros (Stream Padding in the .xz file format).
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

    /// Reads until a read returns no more bytes.
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
    /// The text, compressed in each format.
    const FILES: [&[u8]; Format::ALL.len()] = [
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03KT\xc8\xcdO)\xcdI\xd5QH\xccKQH\x84\xf2\x00\xf2$\xa0\x99\x16\x00\x00\x00",
        b"(\xb5/\xfd\x04h\xb1\x00\x00a module, and a module\xe5QkJ",
        b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x02\x00!\x01\x1c\x00\x00\x00\x10\xcfX\xcc\xe0\x00\x15\x00\x14]\x000\x88\x09\xa73\xa9B\x8c[\x08#\x96\x9b\x88\x11\xaf\xb4\xf5\xc3\x00\x00\xa4\x22\xf6\x12\x0b<xY\x00\x010\x16\x896\x14\x0b\x1f\xb6\xf3}\x01\x00\x00\x00\x00\x04YZ",
    ];

    fn unpack(file: &[u8]) -> Result<Vec<u8>, Reason> {
        Format::of(file).expect("a format").unpack(Cow::Owned(file.to_vec()))
    }

    #[test]
    fn a_whole_file_is_decompressed() {
        for (file, format) in FILES.into_iter().zip(Format::ALL) {
            assert_eq!(Format::of(file), Some(format));
            assert_eq!(unpack(file).as_deref(), Ok(TEXT));
        }
        // An xz file may have several streams, with padding between them.
        let [.., xz] = FILES;
        assert_eq!(unpack(&[xz, &[0; 4], xz].concat()), Ok([TEXT, TEXT].concat()));
    }

    #[test]
    fn a_truncated_or_damaged_file_is_refused() {
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
    fn a_length_of_more_than_256_mib_is_refused_before_anything_is_decompressed() {
        let [gzip, ..] = FILES;
        let with_length = |length: u32| {
            let contents = gzip.get(..gzip.len() - 4).expect("it has a length");
            unpack(&[contents, &length.to_le_bytes()].concat()).unwrap_err()
        };
        assert_eq!(with_length((256 << 20) + 1).as_str(), "its gzip data is damaged: more than 256 MiB come out of it");
        assert_ne!(with_length(256 << 20).as_str(), with_length(u32::MAX).as_str());
    }
}
