//! The signature behind a module's code: its form, its signer, and the reason for which a kernel refuses it.
//!
//! ```text
//! module | CMS message | algo hash id_type signer_len key_id_len pad[3] sig_len (big-endian) | MARK
//! ```
//!
//! The form is `struct module_signature` of linux/module_signature.h. The message is SignedData of RFC 5652 in DER. The
//! file may be hostile: every length in it is checked, and one that leads out of its element gives `None`.

use core::fmt::{self, Display, Formatter, Write};

use crate::resolve::der::{Elements, FIRST, INTEGER, KEY_ID, SEQUENCE, SET, elements, take};
use crate::text::Shown;

/// The last bytes of a signed module (MODULE_SIGNATURE_MARKER).
const MARK: &[u8] = b"~Module signature appended~\n";
/// The number of a signature that is a CMS message (PKEY_ID_PKCS7).
const CMS: u8 = 2;

/// The signature of a module's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature<'a> {
    /// The file has none.
    None,
    /// Its lengths or its unused bytes are wrong. The kernel's errno is EBADMSG.
    Malformed,
    /// A type that the kernel does not know, by its number. The kernel's errno is ENOPKG.
    OtherType(u8),
    /// A CMS message about the module in front of it.
    Cms {
        /// The bytes that were signed.
        module: &'a [u8],
        /// The message.
        message: &'a [u8],
    },
}

impl<'a> Signature<'a> {
    /// Finds the signature as the kernel does (`mod_check_sig` of kernel/module_signature.c).
    pub fn of(file: &'a [u8]) -> Self {
        let Some(signed) = file.strip_suffix(MARK) else { return Self::None };
        Self::before_mark(signed).unwrap_or(Self::Malformed)
    }

    fn before_mark(signed: &'a [u8]) -> Option<Self> {
        let (rest, [algorithm, hash, kind, unused @ .., a, b, c, d]) = signed.split_last_chunk::<12>()?;
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (module, message) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
        match (kind, [*algorithm, *hash], *unused) {
            _ if module.is_empty() => None,
            (&CMS, [0, 0], [0, 0, 0, 0, 0]) => Some(Self::Cms { module, message }),
            (&CMS, ..) => None,
            (kind, ..) => Some(Self::OtherType(*kind)),
        }
    }
}

/// The name by which a signature refers to the signer's certificate, as modinfo(8) prints it: `signer` and `sig_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer<'a> {
    /// The common name of the certificate's issuer, which may be empty. `None`: the signature has the key's identifier
    /// instead.
    pub name: Option<&'a [u8]>,
    /// The certificate's serial number, or the key's identifier.
    pub number: &'a [u8],
}

impl<'a> Signer<'a> {
    /// The most bytes of a name that are printed (`ub-common-name` of RFC 5280).
    const LONGEST_NAME: usize = 64;
    /// The most bytes of a number that are printed. A serial number has up to 20 and a sign.
    const LONGEST_NUMBER: usize = 21;

    /// Reads the first signer of a CMS message.
    pub fn of(message: &'a [u8]) -> Option<Self> {
        // ContentInfo: the type, and SignedData in [0].
        let [_, data] = elements(take(message, SEQUENCE)?)?;
        let mut data = Elements(take(data.content_if(FIRST)?, SEQUENCE)?);
        // The signers are the last of four to six elements: certificates and revocations before them may be missing.
        data.nth(2)?;
        let mut signers = data.next()?;
        while signers.tag != SET {
            signers = data.next()?;
        }
        // SignerInfo: the version, and either the issuer with the serial number, or the key's identifier in [0].
        let [_, id] = elements(take(signers.content, SEQUENCE)?)?;
        if id.tag == KEY_ID {
            return Some(Self { name: None, number: id.content });
        }
        let [issuer, number] = elements(id.content_if(SEQUENCE)?)?;
        let name = common_name(issuer.content_if(SEQUENCE)?).unwrap_or_default();
        Some(Self { name: Some(name), number: number.content_if(INTEGER)? })
    }
}

impl Display for Signer<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (before, behind) = match self.name {
            Some(name) => {
                let name = name.get(..Self::LONGEST_NAME).unwrap_or(name);
                write!(f, "\"{}\"", Shown(name))?;
                (" (serial ", ")")
            }
            None => ("key ", ""),
        };
        f.write_str(before)?;
        for (at, byte) in self.number.iter().take(Self::LONGEST_NUMBER).enumerate() {
            if at > 0 {
                f.write_char(':')?;
            }
            for digit in [byte >> 4, byte & 0xf] {
                f.write_char(char::from(if digit < 10 { b'0' + digit } else { b'A' - 10 + digit }))?;
            }
        }
        f.write_str(behind)
    }
}

/// Why a kernel refuses the signature of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureRefusal<'a> {
    /// There is none, and the kernel requires one.
    Missing,
    /// The signature, or the message in it, can't be read.
    Malformed,
    /// The kernel does not know the signature's type, or an algorithm of it.
    Unsupported(Option<Signer<'a>>),
    /// The kernel does not have the signer's key.
    UnknownKey(Signer<'a>),
    /// The kernel has the signer's key, and rejects the signature.
    Wrong(Signer<'a>),
}

impl<'a> SignatureRefusal<'a> {
    /// The reason for which a kernel without any key refuses a signature.
    pub fn without_key(signature: Signature<'a>) -> Self {
        match signature {
            Signature::None => Self::Missing,
            Signature::OtherType(_) => Self::Unsupported(None),
            Signature::Malformed => Self::Malformed,
            Signature::Cms { message, .. } => Signer::of(message).map_or(Self::Malformed, Self::UnknownKey),
        }
    }
}

impl Display for SignatureRefusal<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (signer, text) = match self {
            Self::Missing => (None, "it has no signature, and this kernel requires one"),
            Self::Malformed => (None, "its signature is malformed"),
            Self::Unsupported(None) => (None, "its signature has a type that this kernel does not know"),
            Self::Unsupported(signer) => (signer.as_ref(), "with an algorithm that this kernel lacks"),
            Self::UnknownKey(signer) => (Some(signer), "a key that this kernel does not have"),
            Self::Wrong(signer) => (
                Some(signer),
                "and the signature does not fit: the module was changed after that, or the key is revoked",
            ),
        };
        if let Some(signer) = signer {
            write!(f, "signed by {signer}, ")?;
        }
        f.write_str(text)
    }
}

/// The object identifier 2.5.4.3, id-at-commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The common name in a name: a sequence of sets of pairs, each of a type and a text.
fn common_name(name: &[u8]) -> Option<&[u8]> {
    for set in Elements(name) {
        for pair in Elements(set.content) {
            let [kind, text] = elements(pair.content)?;
            if kind.content == COMMON_NAME {
                return Some(text.content);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    const OBJECT_ID: u8 = 0x06;

    /// An element of DER of up to 255 bytes.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len() as u8;
        let header: &[u8] = if length < 0x80 { &[tag, length] } else { &[tag, 0x81, length] };
        [header, content].concat()
    }

    /// A message with this identifier of its signer. It has certificates, which are passed over.
    fn message(id: &[u8]) -> Vec<u8> {
        let version = der(INTEGER, &[1]);
        let signer = der(SEQUENCE, &[&version, id, &der(SEQUENCE, b"")].concat());
        let certificates = der(FIRST, &der(SEQUENCE, b"x"));
        let parts = [version, der(SET, b""), der(SEQUENCE, b""), certificates, der(SET, &signer)].concat();
        der(SEQUENCE, &[der(OBJECT_ID, b"signed"), der(FIRST, &der(SEQUENCE, &parts))].concat())
    }

    /// The issuer and the serial number of a certificate. The issuer has an organisation besides its name.
    fn issuer_and_serial_number(name: &[u8]) -> Vec<u8> {
        let pair =
            |kind: &[u8], text: &[u8]| der(SET, &der(SEQUENCE, &[der(OBJECT_ID, kind), der(0x0c, text)].concat()));
        let issuer = der(SEQUENCE, &[pair(&[0x55, 4, 10], b"Example"), pair(COMMON_NAME, name)].concat());
        der(SEQUENCE, &[issuer, der(INTEGER, &[0, 0xab, 7])].concat())
    }

    /// A module of one byte with this signature, whose type has this number.
    fn signed(kind: u8, message: &[u8]) -> Vec<u8> {
        let length = (message.len() as u32).to_be_bytes();
        [b"m", message, &[0, 0, kind, 0, 0, 0, 0, 0], &length, MARK].concat()
    }

    fn signer(message: &[u8]) -> Option<String> {
        Signer::of(message).map(|signer| signer.to_string())
    }

    #[test]
    fn a_signer_is_printed_as_modinfo_does() {
        let by_name = message(&issuer_and_serial_number(b"A \"key\"\n"));
        assert_eq!(signer(&by_name).as_deref(), Some("\"A \"key\"\\x0a\" (serial 00:AB:07)"));
        assert_eq!(signer(&message(&der(KEY_ID, &[1, 0xff]))).as_deref(), Some("key 01:FF"));
        let nameless = der(SEQUENCE, &[der(SEQUENCE, b""), der(INTEGER, &[9])].concat());
        assert_eq!(signer(&message(&nameless)).as_deref(), Some("\"\" (serial 09)"));
        let long = message(&issuer_and_serial_number(&[b'x'; 100]));
        assert_eq!(signer(&long), Some(std::format!("\"{}\" (serial 00:AB:07)", "x".repeat(64))));
    }

    #[test]
    fn a_signature_is_found_as_the_kernel_finds_it() {
        let message = message(&issuer_and_serial_number(b"x"));
        let file = signed(CMS, &message);
        assert_eq!(Signature::of(&file), Signature::Cms { module: b"m", message: &message });
        assert_eq!(Signature::of(&file[1..]), Signature::Malformed, "no module is left");
        assert_eq!(Signature::of(&file[..file.len() - 1]), Signature::None);
        assert_eq!(Signature::of(MARK), Signature::Malformed);
        assert_eq!(Signature::of(&signed(3, &message)), Signature::OtherType(3));
        for unused in [0, 1, 3, 4, 5, 6, 7] {
            let mut file = file.clone();
            file[1 + message.len() + unused] = 1;
            assert_eq!(Signature::of(&file), Signature::Malformed, "{unused}");
        }
    }

    #[test]
    fn a_message_that_ends_early_or_has_wrong_lengths_has_no_signer_or_another() {
        let message = message(&issuer_and_serial_number(b"x"));
        for length in 0..message.len() {
            assert_eq!(Signer::of(&message[..length]), None);
        }
        for at in 0..message.len() {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut message = message.clone();
                message[at] = byte;
                assert!(signer(&message).is_none_or(|text| text.len() < 400));
            }
        }
    }

    #[test]
    fn a_refusal_names_the_signer() {
        let message = message(&issuer_and_serial_number(b"x"));
        let signer = Signer::of(&message).unwrap();
        for (refusal, text) in [
            (SignatureRefusal::Missing, "it has no signature, and this kernel requires one"),
            (
                SignatureRefusal::UnknownKey(signer),
                "signed by \"x\" (serial 00:AB:07), a key that this kernel does not have",
            ),
            (
                SignatureRefusal::Unsupported(Some(signer)),
                "signed by \"x\" (serial 00:AB:07), with an algorithm that this kernel lacks",
            ),
        ] {
            assert_eq!(refusal.to_string(), text);
        }
    }
}
