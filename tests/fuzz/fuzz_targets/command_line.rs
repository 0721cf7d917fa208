//! libFuzzer's main for `targets::request::command_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::request::command_line(data));
