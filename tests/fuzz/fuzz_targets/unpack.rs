//! libFuzzer's main for `targets::unpack::unpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::unpack::unpack(data));
