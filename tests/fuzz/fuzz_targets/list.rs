//! libFuzzer's main for `targets::request::list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::request::list(data));
