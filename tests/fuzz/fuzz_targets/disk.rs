//! libFuzzer's main for `targets::disk::disk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::disk::disk(data));
