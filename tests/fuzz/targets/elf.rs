//! A module's file: its signature, its sections, its .modinfo, and the parameters that it does not have.

use guest_init::elf::Elf;
use guest_init::failure::Code;
use guest_init::resolve::modinfo::ModInfo;
use guest_init::resolve::parameters::unknown;
use guest_init::resolve::signature::{Signature, SignatureRefusal, Signer};
use guest_init::resolve::tree::module::Module;

use super::{check_failure, check_printable, check_within, first_line};

/// Input: parameters on the first line, then the file.
pub fn elf(input: &[u8]) {
    let (parameters, file) = first_line(input);
    check_signature(file);
    let Some(elf) = Elf::new(file) else {
        assert!(ModInfo::find(file).is_none());
        return;
    };
    for name in [&b".modinfo"[..], b"__param", b"", parameters] {
        check_within(elf.section(name).unwrap_or_default(), file);
    }
    check_within(elf.interpreter().unwrap_or_default(), file);
    if let Some(info) = ModInfo::find(file) {
        check_info(&info, parameters, file);
    }
}

/// The file may also be a message without a module.
fn check_signature(file: &[u8]) {
    if let Signature::Cms { module, message } = Signature::of(file) {
        check_within(module, file);
        check_within(message, file);
    }
    let of_message = Signer::of(file).map_or(SignatureRefusal::Missing, SignatureRefusal::Wrong);
    for refusal in [SignatureRefusal::without_key(Signature::of(file)), of_message] {
        if let SignatureRefusal::UnknownKey(signer) | SignatureRefusal::Wrong(signer) = refusal {
            check_within(signer.name.unwrap_or_default(), file);
            check_within(signer.number, file);
        }
        let text = refusal.to_string();
        assert!(text.len() <= 500, "{} bytes: {text}", text.len());
        check_printable(&text);
    }
}

fn check_info(info: &ModInfo<'_>, parameters: &[u8], file: &[u8]) {
    for text in info.values("vermagic").chain(info.release()).chain(info.parameters()) {
        check_within(text, file);
        assert!(!text.contains(&0));
    }
    assert!(info.parameters().take(16).all(|name| info.has_parameter(name)));
    unknown(&Module::named(b"a-module"), parameters, parameters.len(), info, None, &mut |failure| {
        assert_eq!(failure.code, Code::UnknownParameter);
        check_failure(&failure);
    });
}
