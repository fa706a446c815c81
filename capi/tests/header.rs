//! `include/orrery.h` is what cbindgen makes of the sources; `ORRERY_UPDATE=1` writes it anew.

use std::path::Path;

const SOURCES: &[&str] =
    &["error", "api_connection", "api_statement", "api_column", "api_key_value", "api_arrow"];

#[test]
fn the_header_is_not_stale() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(here.join("src").join(source).with_extension("rs"));
    }
    let mut made = Vec::new();
    builder.generate().expect("a header").write(&mut made);
    let made = String::from_utf8(made).expect("UTF-8");
    let path = here.join("include/orrery.h");
    if std::env::var_os("ORRERY_UPDATE").is_some() {
        std::fs::write(&path, &made).expect("written");
    }
    let there = std::fs::read_to_string(&path).expect("include/orrery.h");
    assert!(there == made, "include/orrery.h is stale: run ORRERY_UPDATE=1 cargo test -p orrery-capi");
}
