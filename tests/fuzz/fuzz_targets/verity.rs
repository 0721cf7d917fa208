//! libFuzzer's main for `targets::disk::verity`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::disk::verity(data));
