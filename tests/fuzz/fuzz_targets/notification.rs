//! libFuzzer's main for `targets::notification::notification`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::notification::notification(data));
