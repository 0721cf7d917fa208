//! Decompression of modules that the kernel does not decompress itself (MODPROBE.md 11, 12.3): the formats, and how
//! each is recognised. Only `decode` uses decoders.

extern crate alloc;

#[cfg(feature = "decompress")]
mod decode;

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
            fn decode(self, file: &[u8]) -> Result<Vec<u8>, decode::Fault> {
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
        self.decode(&file).map_err(|fault| fault.reason(self))
    }
}

/// The reason for which a file can't be decompressed.
pub type Reason = Text<160>;

#[cfg(all(test, feature = "decompress"))]
mod tests {
    use super::*;
    use decode::Fault;

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

    fn fault(file: &[u8]) -> Fault {
        Format::of(file).expect("a format").decode(file).unwrap_err()
    }

    #[test]
    fn a_truncated_file_is_refused_as_truncated() {
        for file in FILES {
            for end in 6..file.len() {
                let cut = file.get(..end).expect("it is longer");
                let is_gzip = Format::of(file) == Some(Format::Gzip);
                match fault(cut) {
                    Fault::Truncated => {}
                    Fault::TruncatedOrDamaged if is_gzip => {}
                    other => panic!("{other:?}: {end} bytes of {}", file.escape_ascii()),
                }
            }
        }
    }

    #[test]
    fn no_damaged_byte_passes_for_another_fault_than_it_is() {
        for file in FILES {
            for at in 6..file.len() {
                let mut damaged = file.to_vec();
                damaged[at] ^= 1;
                // Headers of gzip and zstd have bytes that no checksum covers.
                let Err(fault) = Format::of(&damaged).expect("a format").decode(&damaged) else { continue };
                assert_ne!(fault, Fault::TooLarge, "byte {at} of {}", file.escape_ascii());
            }
            let mut damaged = file.to_vec();
            damaged[file.len() / 2] ^= 1;
            let fault = fault(&damaged);
            assert!(
                matches!(fault, Fault::Damaged | Fault::TruncatedOrDamaged | Fault::Checksum),
                "{fault:?} {}",
                file.escape_ascii()
            );
        }
        let [.., xz] = FILES;
        assert_eq!(fault(&[xz, b"not another file"].concat()), Fault::Damaged);
    }

    /// The file with other bytes from `at` on.
    fn with(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut file = file.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }

    #[test]
    fn a_checksum_that_does_not_fit_is_named() {
        let [gzip, zstd, xz] = FILES;
        assert_eq!(fault(&with(gzip, gzip.len() - 8, b"crc!")), Fault::Checksum);
        assert_eq!(fault(&with(zstd, zstd.len() - 4, b"xxh!")), Fault::Checksum);
        // The block's CRC64 lies before the index, of 8 bytes with its CRC32, and the footer of 12.
        assert_eq!(fault(&with(xz, xz.len() - 28, b"crc64!!!")), Fault::Checksum);
    }

    #[test]
    fn a_feature_that_no_decoder_has_is_named() {
        let [_, zstd, _] = FILES;
        // The descriptor says that the id of a dictionary follows, in one byte (RFC 8878, 3.1.1.1).
        let with_dictionary = [&zstd[..4], b"\x05\x07", &zstd[5..]].concat();
        assert_eq!(fault(&with_dictionary), Fault::Unsupported);
        // printf 'a module' | xz --check=sha256
        let sha256 = b"\xfd7zXZ\x00\x00\x0a\xe1\xfb\x0c\xa1";
        assert_eq!(fault(sha256), Fault::Unsupported);
    }

    #[test]
    fn a_file_that_takes_too_much_memory_is_refused() {
        let [gzip, zstd, _] = FILES;
        let with_length = |length: u32, padding: usize| {
            let contents = gzip.get(..gzip.len() - 4).expect("it has a length");
            fault(&[contents, &[0].repeat(padding), &length.to_le_bytes()].concat())
        };
        // A length that the file is long enough for is believed, and refused before anything is decompressed.
        assert_eq!(with_length((256 << 20) + 1, 256 << 10), Fault::TooLarge);
        assert_ne!(with_length(u32::MAX, 0), Fault::TooLarge);
        // A window descriptor of 31 << 3 is 2 TiB (RFC 8878, 3.1.1.1.2).
        assert_eq!(fault(&[&zstd[..4], b"\x04\xf8", &zstd[5..]].concat()), Fault::LargeWindow);
    }

    #[test]
    fn each_fault_says_what_to_do() {
        let reasons = [
            (Fault::Truncated, "its xz data ends early: the file is truncated; copy it again"),
            (Fault::Damaged, "its xz data is damaged; copy the file again"),
            (Fault::TruncatedOrDamaged, "its xz data is damaged, or the file is truncated; copy it again"),
            (Fault::Checksum, "its xz data does not fit its checksum: it is damaged; copy the file again"),
            (
                Fault::Unsupported,
                "its xz data has a filter, checksum or dictionary that is not supported; compress it without",
            ),
            (Fault::LargeWindow, "its xz data needs a window of more than 128 MiB; compress it at a lower level"),
            (Fault::TooLarge, "its xz data has more than 256 MiB when decompressed; store the module uncompressed"),
        ];
        for (fault, reason) in reasons {
            assert_eq!(fault.reason(Format::Xz).as_str(), reason);
        }
    }
}
