//! What JavaScript gives (`js/host.js`): disks by number, the clock, entropy, errors.

use orrerydb::Error;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./host.js")]
extern "C" {
    /// Kind, number and length of each file, in threes.
    #[wasm_bindgen(js_name = diskList)]
    pub(crate) fn disk_list(disk: u32) -> Vec<f64>;
    /// These give a length, or what went wrong as a negative number (`driver.rs`); `disk_message` then says it in words.
    #[wasm_bindgen(js_name = diskLength)]
    pub(crate) fn disk_length(disk: u32, kind: u32, number: f64) -> f64;
    #[wasm_bindgen(js_name = diskRead)]
    pub(crate) fn disk_read(disk: u32, kind: u32, number: f64, offset: f64, into: &mut [u8]) -> f64;
    #[wasm_bindgen(js_name = diskWrite)]
    pub(crate) fn disk_write(disk: u32, kind: u32, number: f64, offset: f64, data: &[u8]) -> f64;
    #[wasm_bindgen(js_name = diskSync)]
    pub(crate) fn disk_sync(disk: u32, kind: u32, number: f64) -> f64;
    #[wasm_bindgen(js_name = diskAllocate)]
    pub(crate) fn disk_allocate(disk: u32, kind: u32, number: f64, length: f64) -> f64;
    #[wasm_bindgen(js_name = diskTruncate)]
    pub(crate) fn disk_truncate(disk: u32, kind: u32, number: f64, length: f64) -> f64;
    #[wasm_bindgen(js_name = diskRemove)]
    pub(crate) fn disk_remove(disk: u32, kind: u32, number: f64) -> f64;
    #[wasm_bindgen(js_name = diskStream)]
    pub(crate) fn disk_stream(disk: u32, name: &str, write: bool) -> f64;
    #[wasm_bindgen(js_name = diskMessage)]
    pub(crate) fn disk_message() -> String;
    /// Microseconds since the Unix epoch.
    #[wasm_bindgen(js_name = nowMicros)]
    pub(crate) fn now_micros() -> f64;
    #[wasm_bindgen(js_name = sleepMicros)]
    pub(crate) fn sleep_micros(micros: f64);
    /// 32 bits that nobody can guess.
    pub(crate) fn entropy() -> u32;
    /// The next bytes of the COPY under way; 0 at the end.
    #[wasm_bindgen(js_name = copyRead)]
    pub(crate) fn copy_read(into: &mut [u8]) -> u32;
    pub(crate) fn panicked(message: &str);
    #[wasm_bindgen(js_name = makeError)]
    fn make_error(
        code: &str,
        message: &str,
        position: u32,
        detail: Option<String>,
        hint: Option<String>,
    ) -> JsValue;
}

/// An error as the package's `OrreryError`; position 0 is none.
#[cold]
pub(crate) fn thrown(error: Error) -> JsValue {
    let position = error.position().unwrap_or(0);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    make_error(error.code().as_str(), error.message(), position, owned(error.detail()), owned(error.hint()))
}
