//! `cargo +nightly fuzz run spec`: any bytes as a policy in JSON.

#![no_main]

libfuzzer_sys::fuzz_target!(|json: &[u8]| tollgate_fuzz::spec(json));
