//! The decoders: a whole file in, a whole module or a fault out.

extern crate alloc;

use alloc::vec::Vec;

use ruzstd::decoding::errors::{
    BlockHeaderReadError, DecodeBlockContentError, DecompressBlockError, FrameDecoderError, FrameHeaderError,
    ReadFrameHeaderError,
};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;
use xz4rust::{XzDecoder, XzError};
use zune_inflate::errors::DecodeErrorStatus;
use zune_inflate::{DeflateDecoder, DeflateOptions};

use super::{Format, Reason};
use crate::text::Text;

/// The largest decompressed file, in bytes. The largest modules of distributions have a tenth of that.
const LARGEST: usize = 256 << 20;
/// The largest dictionary of xz, and the largest window of zstd, in bytes: those of `xz -9` and of `zstd --ultra`.
const LARGEST_WINDOW: usize = 128 << 20;
/// The number of bytes that are decompressed at once.
const STEP: usize = 256 << 10;
/// The bytes of decompressed data for one of compressed data, at most (deflate's longest match has 258 bytes and
/// takes two bits).
const MOST_OF_DEFLATE: usize = 1032;

/// The fault for which a file is not decompressed. The decoders' own errors are finer, and name their code's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file ends before its data does.
    Truncated,
    /// The data can't be decoded.
    Damaged,
    /// Either of the two: zune-inflate has one error for most of both.
    TruncatedOrDamaged,
    /// The data was decoded, and its checksum or its length is another one.
    Checksum,
    /// The data has a feature that no decoder here has: a filter, a kind of checksum, a dictionary.
    Unsupported,
    /// The dictionary or the window is larger than 128 MiB.
    LargeWindow,
    /// The decompressed file is larger than 256 MiB.
    TooLarge,
}

impl Fault {
    /// The fault in a sentence, with what to do about it.
    pub(super) fn reason(self, format: Format) -> Reason {
        let (fault, remedy) = match self {
            Self::Truncated => ("ends early: the file is truncated", "copy it again"),
            Self::Damaged => ("is damaged", "copy the file again"),
            Self::TruncatedOrDamaged => ("is damaged, or the file is truncated", "copy it again"),
            Self::Checksum => ("does not fit its checksum: it is damaged", "copy the file again"),
            Self::Unsupported => ("has a filter, checksum or dictionary that is not supported", "compress it without"),
            Self::LargeWindow => ("needs a window of more than 128 MiB", "compress it at a lower level"),
            Self::TooLarge => ("has more than 256 MiB when decompressed", "store the module uncompressed"),
        };
        Text::of(format_args!("its {} data {fault}; {remedy}", format.name()))
    }
}

pub(super) fn gzip(file: &[u8]) -> Result<Vec<u8>, Fault> {
    // The last four bytes are the decompressed length (RFC 1952, 2.3.1). zune-inflate checks that it is true. The
    // length is checked here as well, because zune-inflate decompresses somewhat more than its limit. The end of a
    // truncated file is some other number.
    let length = file.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    let is_possible = length <= file.len().saturating_mul(MOST_OF_DEFLATE);
    if is_possible && length > LARGEST {
        return Err(Fault::TooLarge);
    }
    let options = DeflateOptions::default().set_limit(LARGEST);
    let options = if is_possible { options.set_size_hint(length) } else { options };
    DeflateDecoder::new_with_options(file, options).decode_gzip().map_err(|error| match error.error {
        DecodeErrorStatus::InsufficientData => Fault::Truncated,
        DecodeErrorStatus::MismatchedCRC(..)
        | DecodeErrorStatus::MismatchedAdler(..)
        | DecodeErrorStatus::Generic("ISIZE does not match actual bytes") => Fault::Checksum,
        DecodeErrorStatus::OutputLimitExceeded(..) => Fault::TooLarge,
        DecodeErrorStatus::Generic(_) | DecodeErrorStatus::GenericStr(_) | DecodeErrorStatus::CorruptData => {
            Fault::TruncatedOrDamaged
        }
    })
}

pub(super) fn xz(mut file: &[u8]) -> Result<Vec<u8>, Fault> {
    const DICTIONARY: usize = 1 << 20;
    let mut decoder = XzDecoder::in_heap_with_alloc_dict_size(DICTIONARY, LARGEST_WINDOW);
    let mut is_whole = false;
    drain(|room| {
        while !file.is_empty() {
            let step = decoder.decode(file, room).map_err(|error| xz_fault(&error))?;
            file = file.get(step.input_consumed()..).unwrap_or_default();
            is_whole = step.is_end_of_stream();
            if is_whole {
                // Another stream may follow, after padding of zeros (Stream Padding in the .xz file format).
                let padding = file.iter().take_while(|&&byte| byte == 0).count();
                file = file.get(padding..).unwrap_or_default();
                decoder.reset();
            }
            match step.output_produced() {
                0 if !step.made_progress() => return Err(Fault::Truncated),
                0 => {}
                count => return Ok(count),
            }
        }
        if is_whole { Ok(0) } else { Err(Fault::Truncated) }
    })
}

fn xz_fault(error: &XzError) -> Fault {
    match error {
        XzError::ContentCrc32Mismatch(..) | XzError::ContentCrc64Mismatch(..) | XzError::IndexCrc32Mismatch(..) => {
            Fault::Checksum
        }
        XzError::UnsupportedStreamHeaderOption
        | XzError::UnsupportedBlockHeaderOption
        | XzError::UnsupportedLzmaProperties(_)
        | XzError::UnsupportedCheckType(_)
        | XzError::UnsupportedBcjFilter(_)
        | XzError::Sha256NotSupported => Fault::Unsupported,
        XzError::DictionaryTooLarge(_) => Fault::LargeWindow,
        XzError::NeedsLargerInputBuffer => Fault::Truncated,
        _ => Fault::Damaged,
    }
}

pub(super) fn zstd(mut file: &[u8]) -> Result<Vec<u8>, Fault> {
    // The decoder itself, because ruzstd's StreamingDecoder keeps no more of an error than its text.
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(LARGEST_WINDOW as u64);
    decoder.init(&mut file).map_err(|error| zstd_fault(&error))?;
    let unpacked = drain(|room| {
        while decoder.can_collect() == 0 && !decoder.is_finished() {
            let blocks = decoder.decode_blocks(&mut file, BlockDecodingStrategy::UptoBlocks(1));
            blocks.map_err(|error| zstd_fault(&error))?;
        }
        decoder.read(room).map_err(|_| Fault::Damaged)
    })?;
    match decoder.get_checksum_from_data() {
        Some(checksum) if decoder.get_calculated_checksum() != Some(checksum) => Err(Fault::Checksum),
        _ => Ok(unpacked),
    }
}

fn zstd_fault(error: &FrameDecoderError) -> Fault {
    use FrameDecoderError as Error;
    match error {
        Error::WindowSizeTooBig { .. }
        | Error::FrameHeaderError(FrameHeaderError::WindowTooBig { .. })
        | Error::FailedToInitialize(FrameHeaderError::WindowTooBig { .. }) => Fault::LargeWindow,
        Error::DictNotProvided { .. } => Fault::Unsupported,
        Error::ReadFrameHeaderError(
            ReadFrameHeaderError::MagicNumberReadError(_)
            | ReadFrameHeaderError::FrameDescriptorReadError(_)
            | ReadFrameHeaderError::WindowDescriptorReadError(_)
            | ReadFrameHeaderError::DictionaryIdReadError(_)
            | ReadFrameHeaderError::FrameContentSizeReadError(_),
        )
        | Error::FailedToReadBlockHeader(BlockHeaderReadError::ReadError(_))
        | Error::FailedToReadBlockBody(
            DecodeBlockContentError::ReadError { .. }
            | DecodeBlockContentError::DecompressBlockError(DecompressBlockError::BlockContentReadError(_)),
        )
        | Error::FailedToReadChecksum(_) => Fault::Truncated,
        _ => Fault::Damaged,
    }
}

/// Reads until a read returns no more bytes.
fn drain(mut read: impl FnMut(&mut [u8]) -> Result<usize, Fault>) -> Result<Vec<u8>, Fault> {
    let mut unpacked = Vec::new();
    loop {
        let length = unpacked.len();
        unpacked.resize(length + STEP, 0);
        let count = read(unpacked.get_mut(length..).unwrap_or_default())?;
        unpacked.truncate(length + count);
        match () {
            () if unpacked.len() > LARGEST => return Err(Fault::TooLarge),
            () if count == 0 => return Ok(unpacked),
            () => {}
        }
    }
}
