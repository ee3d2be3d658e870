//! `cargo +nightly fuzz run image`: any bytes as an image, as they are and with a length and hash that are right.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tollgate_fuzz::image(bytes);
    tollgate_fuzz::rehashed_image(bytes);
});
