//! libFuzzer's main for `targets::index::text_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::index::text_index(data));
