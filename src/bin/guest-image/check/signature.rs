//! The check of a module's signature against the certificates in a kernel, as the kernel does it
//! (crypto/asymmetric_keys/pkcs7_verify.c and pkcs7_trust.c).

use cms::cert::IssuerAndSerialNumber;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use guest_init::resolve::signature::{Signature, SignatureRefusal, Signer};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1v15::Pkcs1v15Sign;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::referenced::OwnedToRef;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};

use super::kernel_image::Certificate;

/// The result of a check that finds nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A key of the kernel signed the module.
    Verified,
    /// It has a signature, and the reason for which it was not verified.
    Unverified(String),
}

const ID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ID_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ID_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const ID_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// The parent of ecdsa-with-SHA224 to ecdsa-with-SHA512.
const ECDSA_WITH_SHA2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Checks the signature of a module's file. Without the kernel's certificates only its form is checked.
pub fn check<'a>(file: &'a [u8], keys: Option<&[Certificate]>) -> Result<Trust, SignatureRefusal<'a>> {
    let (module, message) = match Signature::of(file) {
        Signature::None => return Err(SignatureRefusal::Missing),
        Signature::Malformed => return Err(SignatureRefusal::Malformed),
        Signature::OtherType(_) => return Err(SignatureRefusal::Unsupported(None)),
        Signature::Cms { module, message } => (module, message),
    };
    let name = Signer::of(message).ok_or(SignatureRefusal::Malformed)?;
    let Some(data) = signed_data(message) else {
        return Ok(Trust::Unverified("its message has a form that only the kernel may read".into()));
    };
    if data.encap_content_info.econtent.is_some() {
        return Err(SignatureRefusal::Malformed);
    }
    let signer = data.signer_infos.0.get(0).ok_or(SignatureRefusal::Malformed)?;
    if data.encap_content_info.econtent_type != ID_DATA || signer.signed_attrs.is_some() {
        return Err(SignatureRefusal::Wrong(name));
    }
    let Some(keys) = keys else { return Ok(Trust::Unverified("the kernel's keys are not known".into())) };
    if data.signer_infos.0.len() > 1 || data.certificates.is_some() {
        return Ok(Trust::Unverified("it has several signers, or brings certificates".into()));
    }
    let key = keys.iter().find(|key| is_of(key, &signer.sid)).ok_or(SignatureRefusal::UnknownKey(name))?;
    match verify(key.tbs_certificate().subject_public_key_info(), signer, module) {
        Some(true) => Ok(Trust::Verified),
        Some(false) => Err(SignatureRefusal::Wrong(name)),
        None => Ok(Trust::Unverified(format!(
            "guest-image lacks its algorithms, digest {} and signature {}",
            signer.digest_alg.oid, signer.signature_algorithm.oid
        ))),
    }
}

fn signed_data(message: &[u8]) -> Option<SignedData> {
    ContentInfo::from_der(message).ok()?.content.decode_as().ok()
}

/// Whether a signature names this certificate. The kernel compares the bytes of the names.
fn is_of(certificate: &Certificate, id: &SignerIdentifier) -> bool {
    let certificate = certificate.tbs_certificate();
    match id {
        SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber { issuer, serial_number }) => {
            serial_number.as_bytes() == certificate.serial_number().as_bytes()
                && issuer.to_der().is_ok_and(|issuer| certificate.issuer().to_der().is_ok_and(|other| other == issuer))
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            let own = certificate.get_extension::<SubjectKeyIdentifier>();
            matches!(own, Ok(Some((_, own))) if own == *id)
        }
    }
}

/// Whether a key signed a module. `None`: an algorithm that guest-image does not have. The kernel knows a signature by
/// RSA only under the identifier of RSA keys (`pkcs7_sig_note_pkey_algo` in pkcs7_parser.c).
fn verify(key: &SubjectPublicKeyInfoOwned, signer: &SignerInfo, module: &[u8]) -> Option<bool> {
    let signature = signer.signature.as_bytes();
    let (digest, padding) = match signer.digest_alg.oid {
        ID_SHA256 => (Sha256::digest(module).to_vec(), Pkcs1v15Sign::new::<Sha256>()),
        ID_SHA384 => (Sha384::digest(module).to_vec(), Pkcs1v15Sign::new::<Sha384>()),
        ID_SHA512 => (Sha512::digest(module).to_vec(), Pkcs1v15Sign::new::<Sha512>()),
        _ => return None,
    };
    let curve = || key.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok();
    let key = key.owned_to_ref();
    match (key.algorithm.oid, signer.signature_algorithm.oid) {
        (RSA, RSA) => Some(rsa::PublicKey::try_from(key).ok()?.verify(padding, &digest, signature).is_ok()),
        (EC, algorithm) if algorithm.parent() == Some(ECDSA_WITH_SHA2) => match curve()? {
            P256 => ecdsa::<p256::ecdsa::VerifyingKey, p256::ecdsa::DerSignature>(key, &digest, signature),
            P384 => ecdsa::<p384::ecdsa::VerifyingKey, p384::ecdsa::DerSignature>(key, &digest, signature),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an ECDSA signature of a digest fits a key. `None`: the key can't be read.
fn ecdsa<'k, K, S>(key: SubjectPublicKeyInfoRef<'k>, digest: &[u8], signature: &[u8]) -> Option<bool>
where
    K: TryFrom<SubjectPublicKeyInfoRef<'k>> + PrehashVerifier<S>,
    S: for<'s> TryFrom<&'s [u8]>,
{
    let key = K::try_from(key).ok()?;
    Some(S::try_from(signature).is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok()))
}
