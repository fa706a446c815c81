//! A database over a disk of JavaScript's, and the bytes of its file while it is closed.

use crate::driver::HostDriver;
use crate::host::thrown;
use crate::session::Session;
use orrerydb::disk::{AlignedBuf, DiskOp, DiskReply, FileId};
use orrerydb::{Driver, Error, MemoryDriver, Options, Result, SqlState};
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// See the file's head.
#[wasm_bindgen]
pub struct Database {
    driver: Arc<HostDriver>,
    options: Options,
    open: Option<orrerydb::Database>,
}

#[wasm_bindgen]
impl Database {
    /// A database, not yet open, over disk number `disk`; 0 is one in memory. `options` as in `orrerydb::Options`.
    #[wasm_bindgen(constructor)]
    pub fn new(disk: u32, options: &str) -> Result<Database, JsValue> {
        let driver = match disk {
            0 => HostDriver::Memory(MemoryDriver::new()),
            disk => HostDriver::Disk(disk),
        };
        let options = options.parse().map_err(thrown)?;
        Ok(Database { driver: Arc::new(driver), options, open: None })
    }

    /// Opens, makes or recovers it.
    pub fn open(&mut self) -> Result<(), JsValue> {
        let (driver, options) = (self.driver.clone(), &self.options);
        let opened = match *driver {
            HostDriver::Memory(_) => orrerydb::Database::in_memory_with(driver, options),
            HostDriver::Disk(_) => orrerydb::Database::with_driver(driver, options),
        };
        self.open = Some(opened.map_err(thrown)?);
        Ok(())
    }

    fn database(&self) -> Result<&orrerydb::Database, JsValue> {
        let closed = || thrown(Error::new(SqlState::CANNOT_CONNECT_NOW, "the database is closed"));
        self.open.as_ref().ok_or_else(closed)
    }

    /// A session of its own.
    pub fn session(&self) -> Result<Session, JsValue> {
        Ok(Session::new(self.database()?.connect()))
    }

    /// Folds what is in memory into the file.
    pub fn checkpoint(&self) -> Result<(), JsValue> {
        self.database()?.checkpoint().map_err(thrown)
    }

    /// What is wrong with the file, a line each.
    pub fn check(&self) -> Result<Vec<String>, JsValue> {
        let (_, findings) = self.database()?.check().map_err(thrown)?;
        Ok(findings.iter().map(|finding| format!("{finding:?}")).collect())
    }

    /// The logical state's hash, 16 hex digits.
    #[wasm_bindgen(js_name = stateHash)]
    pub fn state_hash(&self) -> Result<String, JsValue> {
        let hash = self.database()?.state_hash().map_err(thrown)?;
        Ok(format!("{hash:016x}"))
    }

    /// Does the housekeeping that is due; how many milliseconds from now it wants the next turn, -1 for never.
    pub fn housekeep(&self) -> f64 {
        let wake_at = self.open.as_ref().and_then(orrerydb::Database::housekeep);
        wake_at.map_or(-1.0, |at| at.saturating_sub(self.driver.now()) as f64 / 1000.0)
    }

    /// Closes cleanly: what was written is in the one file then.
    pub fn close(&mut self) -> Result<(), JsValue> {
        self.open.take().map_or(Ok(()), orrerydb::Database::close).map_err(thrown)
    }

    /// Bytes of the file; 0 when there is none. For a closed database.
    #[wasm_bindgen(js_name = fileLength)]
    pub fn file_length(&self) -> f64 {
        match self.driver.perform(DiskOp::Len { file: FileId::Data }) {
            Ok(DiskReply::Len(len)) => len as f64,
            _ => 0.0,
        }
    }

    /// A part of the file. For a closed database.
    #[wasm_bindgen(js_name = fileRead)]
    pub fn file_read(&self, offset: f64, len: usize) -> Result<Vec<u8>, JsValue> {
        match self.driver.perform(DiskOp::Read { file: FileId::Data, offset: offset as u64, len }) {
            Ok(DiskReply::Read(bytes)) => Ok(bytes.to_vec()),
            Ok(_) => Err(thrown(Error::internal("the disk answered another question"))),
            Err(error) => Err(thrown(error.into())),
        }
    }

    /// Writes a part of the file, and makes it durable. Before the database is opened.
    #[wasm_bindgen(js_name = fileWrite)]
    pub fn file_write(&self, offset: f64, bytes: &[u8]) -> Result<(), JsValue> {
        let (file, data) = (FileId::Data, AlignedBuf::from(bytes));
        let written = self.driver.perform(DiskOp::Write { file, offset: offset as u64, data });
        let synced = written.and_then(|_| self.driver.perform(DiskOp::Sync { file }));
        synced.map(drop).map_err(|error| thrown(error.into()))
    }

    /// The value of a key.
    #[wasm_bindgen(js_name = kvGet)]
    pub fn kv_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, JsValue> {
        self.database()?.key_value().get(key).map_err(thrown)
    }

    /// Sets a key.
    #[wasm_bindgen(js_name = kvSet)]
    pub fn kv_set(&self, key: &[u8], value: &[u8]) -> Result<(), JsValue> {
        self.database()?.key_value().set(key, value).map_err(thrown)
    }

    /// Removes a key; whether it was there.
    #[wasm_bindgen(js_name = kvDelete)]
    pub fn kv_delete(&self, key: &[u8]) -> Result<bool, JsValue> {
        self.database()?.key_value().delete(key).map_err(thrown)
    }

    /// Keys that begin with `prefix`, each followed by its value, each behind its length (u32, little-endian).
    #[wasm_bindgen(js_name = kvList)]
    pub fn kv_list(&self, prefix: &[u8], limit: u32) -> Result<Vec<u8>, JsValue> {
        let pairs = self.database()?.key_value().list(prefix, limit as usize).map_err(thrown)?;
        let mut packed = Vec::new();
        for part in pairs.iter().flat_map(|(key, value)| [key, value]) {
            packed.extend_from_slice(&(part.len() as u32).to_le_bytes());
            packed.extend_from_slice(part);
        }
        Ok(packed)
    }
}
