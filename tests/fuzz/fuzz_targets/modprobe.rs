//! libFuzzer's main for `targets::request::modprobe`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::request::modprobe(data));
