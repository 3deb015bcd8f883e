//! Has the linker keep one copy of functions that are alike, which makes the program smaller by 0.14 MB, and leave out the tables
//! by which a stack is unwound and their index, another 1.1 MB. Nothing in it compares functions by their addresses, and nothing is
//! unwound: a panic says where it happened and ends the program.

/// Leaves out the tables; everything else is laid out as always (ld(1), "INSERT").
const SCRIPT: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) } } INSERT AFTER .text;\n";

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |key: &str| std::env::var(key).unwrap_or_default();
    // The linker of the toolchain for this target is lld, which can; others do not know the words.
    let lld = variable("TARGET") == "x86_64-unknown-linux-gnu";
    if lld && variable("PROFILE") == "release" {
        let script = format!("{}/no-unwinding.ld", variable("OUT_DIR"));
        std::fs::write(&script, SCRIPT)?;
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
    }
    Ok(())
}
