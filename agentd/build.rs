//! Has the linker keep one copy of functions that are alike, which makes the program smaller by 0.14 MB, and leave out the index
//! by which a stack is unwound, another 0.14 MB. Nothing in it compares functions by their addresses, and nothing is unwound: a
//! panic says where it happened and ends the program.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|it| it == value);
    // The linker of the toolchain for this target is lld, which can; others do not know the word.
    let lld = is("TARGET", "x86_64-unknown-linux-gnu");
    if lld && is("PROFILE", "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}
