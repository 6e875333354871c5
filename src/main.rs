//! See `wsprobe --help`, and the library for everything else.

use std::process::ExitCode;

fn main() -> ExitCode {
    wsprobe::cli::main()
}
