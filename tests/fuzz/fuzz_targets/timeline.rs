//! libFuzzer's main for `targets::timeline::timeline`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::timeline::timeline(data));
