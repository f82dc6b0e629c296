//! A static program moves itself to where it is loaded: a third of a megabyte of places to be changed, which the linker can write down in a
//! twentieth of that (RELR). What starts a program with musl reads that since musl 1.2.4.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("musl") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
