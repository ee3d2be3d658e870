//! Tells the linker that Node provides what the addon imports.

fn main() {
    napi_build::setup();
}
