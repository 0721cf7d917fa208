//! Compressed modules that the kernel does not take as they are: the one part of the guest with decoders (KMOD 4).

extern crate std;

use std::borrow::Cow;
use std::vec::Vec;

use crate::text::Text;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// .ko.gz
    Gzip,
    /// .ko.xz
    Xz,
    /// .ko.zst
    Zstd,
}

impl Format {
    /// Recognises a file by its first bytes, as libkmod does, whatever its name says.
    pub const fn of(file: &[u8]) -> Option<Self> {
        match file {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Its name in /sys/module/compression.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Decompresses a file, to at most 256 MiB; or says why that can't be done.
    #[cfg(not(feature = "decompress"))]
    pub fn unpack(self, _file: Cow<'static, [u8]>) -> Result<Vec<u8>, Reason> {
        Err(Text::of(format_args!("this kernel can't decompress {}, and guest-init was built without", self.name())))
    }

    /// Decompresses a file, to at most 256 MiB; or says why that can't be done.
    #[cfg(feature = "decompress")]
    pub fn unpack(self, file: Cow<'static, [u8]>) -> Result<Vec<u8>, Reason> {
        let unpacked = match self {
            Self::Gzip => decode::gzip(&file),
            Self::Xz => decode::xz(file),
            Self::Zstd => decode::zstd(&file),
        };
        unpacked.map_err(|error| Text::of(format_args!("its {} data is damaged: {error}", self.name())))
    }
}

/// Why a file can't be decompressed.
pub type Reason = Text<160>;

#[cfg(feature = "decompress")]
mod decode {
    extern crate std;

    use core::num::NonZeroUsize;
    use std::borrow::Cow;
    use std::io::{self, Cursor, Read};
    use std::string::ToString;
    use std::vec::Vec;

    /// The bound on what a file may grow to, in bytes; the largest modules have a tenth of it.
    const LARGEST: u64 = 256 << 20;
    /// The largest xz dictionary and zstd window, in bytes: those of `xz -9` and of `zstd --ultra`.
    const LARGEST_WINDOW: usize = 128 << 20;

    const BUFFER: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();

    pub fn gzip(file: &[u8]) -> io::Result<Vec<u8>> {
        drain(flate2::bufread::GzDecoder::new(file))
    }

    pub fn xz(file: Cow<'static, [u8]>) -> io::Result<Vec<u8>> {
        const DICTIONARY: usize = 1 << 20;
        let decoder = xz4rust::XzDecoder::in_heap_with_alloc_dict_size(DICTIONARY, LARGEST_WINDOW);
        drain(xz4rust::XzReader::new_with_buffer_size_and_decoder(Cursor::new(file), BUFFER, decoder))
    }

    pub fn zstd(file: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(file, LARGEST_WINDOW as u64)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let unpacked = drain(&mut decoder)?;
        let frame = decoder.into_frame_decoder();
        match frame.get_checksum_from_data() {
            Some(checksum) if frame.get_calculated_checksum() != Some(checksum) => Err(io::Error::other("checksum")),
            _ => Ok(unpacked),
        }
    }

    fn drain(decoder: impl Read) -> io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        decoder.take(LARGEST + 1).read_to_end(&mut unpacked)?;
        match unpacked.len() as u64 > LARGEST {
            true => Err(io::Error::other("more than 256 MiB come out of it")),
            false => Ok(unpacked),
        }
    }
}
