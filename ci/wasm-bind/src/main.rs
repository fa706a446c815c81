//! `orrery-wasm-bind MODULE FOLDER`: writes the JavaScript around a module that `wasm-bindgen` was compiled into, and the module
//! itself, as ES modules for browsers and Node alike. Apart from `xtask`, which is built for every check and must stay quick.

use wasm_bindgen_cli_support::Bindgen;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = arguments.as_slice() else {
        eprintln!("usage: orrery-wasm-bind MODULE FOLDER");
        std::process::exit(2);
    };
    let mut bindgen = Bindgen::new();
    let written = bindgen
        .input_path(module)
        .web(true)
        .map(|bindgen| bindgen.typescript(false).omit_default_module_path(false).out_name("orrerydb_wasm"))
        .and_then(|bindgen| bindgen.generate(folder));
    if let Err(error) = written {
        eprintln!("orrery-wasm-bind: {error:?}");
        std::process::exit(1);
    }
}
