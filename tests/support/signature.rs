//! Signatures of modules, made by openssl as scripts/sign-file of the kernel makes them.

use std::process::{Command, Output};

use super::folder::Folder;

/// The last bytes of a signed module.
pub const MARK: &[u8] = b"~Module signature appended~\n";

/// A key and its certificate.
pub struct Key {
    folder: Folder,
    /// The common name in the certificate.
    pub name: String,
}

impl Key {
    /// Makes a key by these arguments of `openssl req -newkey`: `["rsa:2048"]` or `["ec", "-pkeyopt", …]`.
    pub fn new(name: &str, kind: &[&str]) -> Self {
        let folder = Folder::new();
        let subject = format!("/O=Example/CN={name}");
        let files = ["-keyout", "key.pem", "-outform", "DER", "-out", "certificate.der"];
        let rest = ["-x509", "-nodes", "-days", "9", "-subj", &subject];
        openssl(&folder, &[&["req", "-newkey"], kind, &files, &rest].concat());
        openssl(&folder, &["x509", "-inform", "DER", "-in", "certificate.der", "-out", "certificate.pem"]);
        Self { folder, name: name.into() }
    }

    /// A key on a curve.
    pub fn on_curve(name: &str, curve: &str) -> Self {
        Self::new(name, &["ec", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")])
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> Vec<u8> {
        std::fs::read(self.folder.path("certificate.der")).expect("the certificate")
    }

    /// The certificate's serial number, with colons.
    pub fn serial(&self) -> String {
        let output = openssl(&self.folder, &["x509", "-in", "certificate.pem", "-noout", "-serial"]);
        let text = String::from_utf8(output.stdout).expect("a number");
        let digits = text.trim().trim_start_matches("serial=").as_bytes();
        let pairs: Vec<_> = digits.chunks(2).map(|pair| str::from_utf8(pair).expect("digits")).collect();
        // A number whose first bit is set has a zero before it in DER.
        let sign = if digits[0] >= b'8' { "00:" } else { "" };
        format!("{sign}{}", pairs.join(":"))
    }

    /// The text by which guest-init names the key.
    pub fn shown(&self) -> String {
        format!("\"{}\" (serial {})", self.name, self.serial())
    }

    /// A CMS message that signs a module.
    pub fn message(&self, module: &[u8], digest: &str, options: &[&str]) -> Vec<u8> {
        self.folder.file("module", module);
        let form = ["cms", "-sign", "-binary", "-nocerts", "-outform", "DER", "-in", "module", "-out", "message"];
        let by = ["-signer", "certificate.pem", "-inkey", "key.pem", "-md", digest];
        openssl(&self.folder, &[&form[..], &by, options].concat());
        std::fs::read(self.folder.path("message")).expect("the message")
    }

    /// A signed module.
    pub fn sign(&self, module: &[u8], digest: &str) -> Vec<u8> {
        append(module, 2, &self.message(module, digest, &["-noattr"]))
    }
}

/// A module with a signature of the type of this number.
pub fn append(module: &[u8], kind: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a length").to_be_bytes();
    [module, message, &[0, 0, kind, 0, 0, 0, 0, 0], &length, MARK].concat()
}

/// A module without its signature.
pub fn unsigned(module: &[u8]) -> Vec<u8> {
    const NUMBERS: usize = 12;
    let signed = module.strip_suffix(MARK).expect("a signed module");
    let length = *signed.last_chunk::<4>().expect("a length");
    signed[..signed.len() - NUMBERS - u32::from_be_bytes(length) as usize].to_vec()
}

fn openssl(folder: &Folder, arguments: &[&str]) -> Output {
    let output = Command::new("openssl").current_dir(folder.path("")).args(arguments).output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments:?}: {}", output.stderr.escape_ascii());
    output
}
