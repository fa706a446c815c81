//! `capi/include/orrery.h` is what cbindgen makes of the sources: held equal here, written anew on request.

use super::{read, write};
use crate::command::{Failure, Outcome};
use std::path::Path;

const HEADER: &str = "capi/include/orrery.h";
const SOURCES: &[&str] =
    &["error", "api_connection", "api_statement", "api_column", "api_key_value", "api_arrow"];

fn made() -> Result<String, Failure> {
    let config = cbindgen::Config::from_file("capi/cbindgen.toml").map_err(Failure::new)?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(Path::new("capi/src").join(source).with_extension("rs"));
    }
    let bindings = builder.generate().map_err(|e| Failure::new(format!("cbindgen: {e}")))?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).map_err(|_| Failure::new("cbindgen's header is not UTF-8"))
}

/// Fails when the header is stale.
pub fn check() -> Result<Outcome, Failure> {
    match read(HEADER)? == made()? {
        true => Ok(Outcome::Passed),
        false => Err(Failure::new(format!("{HEADER} is stale: run cargo xtask header"))),
    }
}

/// Writes the header.
pub fn update() -> Result<Outcome, Failure> {
    write(HEADER, &made()?)?;
    Ok(Outcome::Passed)
}
