//! libFuzzer's main for `targets::config::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::config::config(data));
