//! libFuzzer's main for `targets::plan::plan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::plan::plan(data));
