//! The certificates in a kernel whose keys may sign modules: the keyring `.builtin_trusted_keys`.

use std::ops::Range;

use memchr::memmem::find_iter;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;

/// A certificate, which need not keep all rules of RFC 5280: the kernel asks for less.
pub type Certificate = CertificateInner<Raw>;

/// The version of a certificate, which is 3: the first element of its content, in `[0]`.
const VERSION_3: &[u8] = &[0xa0, 3, 2, 1, 2];
/// The tag of a certificate and of its content.
const SEQUENCE: u8 = 0x30;
/// The alignment of the certificates, and of each number behind them, in bytes: `.align 8` of the assembler means eight
/// bytes on some architectures, and two to the power of eight on others.
const ALIGNMENTS: [usize; 2] = [8, 256];
/// The most room behind the certificates that is kept for another one (CONFIG_SYSTEM_EXTRA_CERTIFICATE_SIZE).
const MOST_ROOM: usize = 64 << 10;

/// Finds the certificates in an uncompressed kernel (certs/system_certificates.S). They stand one behind another.
/// `None`: there are none.
///
/// Other certificates are passed over: those of the signature of an EFI program, and the revoked ones of
/// CONFIG_SYSTEM_REVOCATION_KEYS. Only behind the keyring stand its size and that of its first certificate.
pub fn builtin_trusted_keys(kernel: &[u8], big_endian: bool) -> Option<Vec<Certificate>> {
    let mut end = 0;
    find_iter(kernel, VERSION_3).filter_map(|at| start_of(kernel, at)).find_map(|start| {
        (start >= end).then_some(())?;
        let (mut certificates, mut first) = (Vec::new(), 0);
        end = start;
        while let Some((certificate, size)) = kernel.get(end..).and_then(certificate) {
            certificates.push(certificate);
            end += size;
            first = if first == 0 { size } else { first };
        }
        let is_keyring = |alignment| Numbers { kernel, big_endian, alignment }.follow(start..end, first);
        (!certificates.is_empty() && ALIGNMENTS.into_iter().any(is_keyring)).then_some(certificates)
    })
}

/// Reads numbers of a kernel.
struct Numbers<'k> {
    kernel: &'k [u8],
    big_endian: bool,
    alignment: usize,
}

impl Numbers<'_> {
    /// Whether the size of the certificates, and that of the first or 0, follow behind them, with zeros between. The
    /// second is 0 if the kernel's build made no key of its own (CONFIG_MODULE_SIG_KEY="").
    fn follow(&self, certificates: Range<usize>, first: usize) -> bool {
        let size = certificates.len();
        let start = certificates.start + size.next_multiple_of(self.alignment);
        let places = (start..start + MOST_ROOM).step_by(self.alignment);
        let mut numbers = places.map(|at| self.at(at)).skip_while(|number| *number == Some(0));
        numbers.next() == Some(Some(size))
            && numbers.next().flatten().is_some_and(|number| [first, 0].contains(&number))
    }

    fn at(&self, at: usize) -> Option<usize> {
        let bytes = *self.kernel.get(at..)?.first_chunk()?;
        usize::try_from(if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }).ok()
    }
}

/// The start of the certificate whose version stands at `at`: before it stand the headers of the certificate and of its
/// content, of two to four bytes each.
fn start_of(kernel: &[u8], at: usize) -> Option<usize> {
    let headers = (2..=4).flat_map(|outer| (2..=4).map(move |inner| (outer, inner)));
    headers.into_iter().find_map(|(outer, inner)| {
        let start = at.checked_sub(outer + inner)?;
        let (header, content) = header(kernel.get(start..)?)?;
        let (inner_header, inner_content) = self::header(kernel.get(start + outer..)?)?;
        ((header, inner_header) == (outer, inner) && inner + inner_content < content).then_some(start)
    })
}

/// The certificate at the start of `bytes`, with its size.
fn certificate(bytes: &[u8]) -> Option<(Certificate, usize)> {
    let (header, content) = header(bytes)?;
    let size = header + content;
    Certificate::from_der(bytes.get(..size)?).ok().map(|certificate| (certificate, size))
}

/// The sizes of the header and of the content of the sequence at the start of `bytes`.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [SEQUENCE, size @ ..=0x7f, ..] => Some((2, size.into())),
        [SEQUENCE, 0x81, size, ..] => Some((3, size.into())),
        [SEQUENCE, 0x82, high, low, ..] => Some((4, usize::from(high) << 8 | usize::from(low))),
        _ => None,
    }
}
