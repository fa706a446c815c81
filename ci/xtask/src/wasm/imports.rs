//! Reads the import and export names of a WASM module (core specification 1.0, §5.5): enough of the binary format to
//! know what a module takes from its host, and no more.

/// What a module takes and gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// `module.name` of each import.
    pub imports: Vec<String>,
    /// Name of each export.
    pub exports: Vec<String>,
}

const HEADER: &[u8] = b"\0asm\x01\0\0\0";
const IMPORT_SECTION: u8 = 2;
const EXPORT_SECTION: u8 = 7;

/// Reads a module. Any byte that does not fit the format is an error, never a guess.
pub fn read(module: &[u8]) -> Result<Sections, String> {
    let body = module.strip_prefix(HEADER).ok_or("not a WASM module of version 1")?;
    let mut reader = Reader { bytes: body };
    let mut sections = Sections::default();
    while !reader.bytes.is_empty() {
        let id = reader.byte()?;
        let length = reader.number()?;
        let mut section = Reader { bytes: reader.take(length)? };
        match id {
            IMPORT_SECTION => sections.imports = import_section(&mut section)?,
            EXPORT_SECTION => sections.exports = export_section(&mut section)?,
            _ => continue,
        }
        if !section.bytes.is_empty() {
            return Err(format!("section {id} is longer than its entries"));
        }
    }
    Ok(sections)
}

fn import_section(reader: &mut Reader<'_>) -> Result<Vec<String>, String> {
    let mut imports = Vec::new();
    for _ in 0..reader.number()? {
        let (module, name) = (reader.name()?, reader.name()?);
        imports.push(format!("{module}.{name}"));
        match reader.byte()? {
            0 => drop(reader.number()?),
            1 => {
                reader.byte()?;
                reader.limits()?;
            }
            2 => reader.limits()?,
            3 => {
                reader.byte()?;
                reader.byte()?;
            }
            4 => {
                reader.byte()?;
                reader.number()?;
            }
            kind => return Err(format!("import kind {kind} is unknown")),
        }
    }
    Ok(imports)
}

fn export_section(reader: &mut Reader<'_>) -> Result<Vec<String>, String> {
    let mut exports = Vec::new();
    for _ in 0..reader.number()? {
        exports.push(reader.name()?);
        reader.byte()?;
        reader.number()?;
    }
    Ok(exports)
}

struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], String> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or("the module ends in the middle")?;
        self.bytes = tail;
        Ok(head)
    }

    /// A `u32` in LEB128.
    fn number(&mut self) -> Result<usize, String> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value)
                    .map(|v| v as usize)
                    .map_err(|_| "a number above 32 bits".to_string());
            }
        }
        Err("a number of more than five bytes".to_string())
    }

    fn name(&mut self) -> Result<String, String> {
        let length = self.number()?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| "a name that is not UTF-8".to_string())
    }

    /// Flags, a minimum, and a maximum if bit 0 says so.
    fn limits(&mut self) -> Result<(), String> {
        let flags = self.byte()?;
        self.number()?;
        if flags & 1 == 1 {
            self.number()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        for (id, body) in sections {
            bytes.push(*id);
            bytes.push(u8::try_from(body.len()).unwrap());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    #[test]
    fn names_of_every_kind_of_import() {
        let body = b"\x04\x03env\x03now\x00\x81\x01\x03env\x01m\x02\x01\x01\x02\x03env\x01t\x01\x70\x00\x01\x03env\x01g\x03\x7f\x00";
        let sections = read(&module(&[(1, b"\x00"), (2, body), (7, b"\x01\x03run\x00\x00")])).unwrap();
        assert_eq!(sections.imports, ["env.now", "env.m", "env.t", "env.g"]);
        assert_eq!(sections.exports, ["run"]);
    }

    #[test]
    fn a_module_without_imports() {
        assert_eq!(read(&module(&[(0, b"\x04nameXX")])).unwrap(), Sections::default());
    }

    #[test]
    fn damage_is_an_error() {
        let good = module(&[(2, b"\x01\x03env\x03now\x00\x00")]);
        assert!(read(&good).is_ok());
        for cut in 1..good.len() - HEADER.len() {
            assert!(read(&good[..good.len() - cut]).is_err(), "cut by {cut}");
        }
        assert!(read(b"\x7fELF").is_err());
        assert!(read(&module(&[(2, b"\x01\x03env\x03now\x09\x00")])).is_err());
        assert!(read(&module(&[(2, b"\x00\x00")])).is_err());
    }
}
