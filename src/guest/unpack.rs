//! Compressed modules that the kernel does not take as they are: the one part of the guest with decoders (KMOD 4).

extern crate alloc;

use alloc::borrow::Cow;
use alloc::vec::Vec;

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
            Self::Xz => decode::xz(&file),
            Self::Zstd => decode::zstd(&file),
        };
        unpacked.map_err(|error| Text::of(format_args!("its {} data is damaged: {error}", self.name())))
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

    pub fn gzip(file: &[u8]) -> Result<Vec<u8>, Reason> {
        let options = DeflateOptions::default().set_limit(LARGEST);
        let unpacked = DeflateDecoder::new_with_options(file, options).decode_gzip();
        // Its texts are lines, with their ends.
        unpacked.map_err(|error| Text::of(Reason::of(format_args!("{:?}", error.error)).as_str().trim_end()))
    }

    pub fn xz(mut file: &[u8]) -> Result<Vec<u8>, Reason> {
        const DICTIONARY: usize = 1 << 20;
        let mut decoder = XzDecoder::in_heap_with_alloc_dict_size(DICTIONARY, LARGEST_WINDOW);
        drain(|room| {
            while !file.is_empty() {
                let step = decoder.decode(file, room)?;
                file = file.get(step.input_consumed()..).unwrap_or_default();
                if step.is_end_of_stream() {
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
            Ok(0)
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
                () if unpacked.len() > LARGEST => return Err(Text::of("more than 256 MiB come out of it")),
                () if count == 0 => return Ok(unpacked),
                () => {}
            }
        }
    }
}
