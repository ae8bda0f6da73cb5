//! The binary: arguments to the library, the library's verdict to an exit code.

fn main() {}
