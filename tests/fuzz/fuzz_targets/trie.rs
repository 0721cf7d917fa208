//! libFuzzer's main for `targets::index::trie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::index::trie(data));
