//! libFuzzer's main for `targets::elf::elf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::elf::elf(data));
