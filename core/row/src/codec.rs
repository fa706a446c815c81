//! The row codec: a row's columns in one value, with fixed offsets so that single columns are read without decoding
//! the rest.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | layout version, little-endian: 1 in rows of tables |
//! | 2–3 | column count n, little-endian |
//! | 4– | NULL bits, ⌈n/8⌉ bytes; bit set = NULL |
//! | then | fixed-width columns in column order, little-endian, unaligned; zero when NULL |
//! | then | for each variable column in column order: its end as u32, counted from the start of the variable bytes |
//! | then | the variable bytes |
//!
//! A layout describes rows of one column count. Does not do: ADD COLUMN's defaults (the reader of a row with fewer columns than
//! its table has now asks the layout of those).

use orrery_base::{Error, Result};

/// How a column lies in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhysicalType {
    /// 1 byte, 0 or 1.
    Bool,
    /// 2 bytes.
    I16,
    /// 4 bytes (dates too).
    I32,
    /// 8 bytes (timestamps too).
    I64,
    /// 4 bytes.
    F32,
    /// 8 bytes.
    F64,
    /// 16 bytes: the coefficient of a decimal.
    I128,
    /// 16 bytes as they are (uuid, interval).
    Fixed16,
    /// Any number of bytes (text, bytea, wide numeric).
    Bytes,
}

impl PhysicalType {
    /// Bytes in the fixed area; `None` for variable columns.
    pub fn width(self) -> Option<usize> {
        match self {
            PhysicalType::Bool => Some(1),
            PhysicalType::I16 => Some(2),
            PhysicalType::I32 | PhysicalType::F32 => Some(4),
            PhysicalType::I64 | PhysicalType::F64 => Some(8),
            PhysicalType::I128 | PhysicalType::Fixed16 => Some(16),
            PhysicalType::Bytes => None,
        }
    }
}

const NULL_BITS_AT: usize = 4;

/// Where the columns of one schema version lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLayout {
    columns: Vec<ColumnPlace>,
    fixed_end: usize,
    variable_count: usize,
    /// How every row begins: schema version and column count.
    beginning: [u8; 4],
    /// A row of NULLs: what every row is begun from.
    nulls: Vec<u8>,
}

/// Where one column lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnPlace {
    /// Its type.
    pub ty: PhysicalType,
    /// A fixed column's offset in the row, or a variable column's index among the variable ones.
    pub at: usize,
}

impl RowLayout {
    /// The layout of these columns.
    pub fn new(schema_version: u16, types: &[PhysicalType]) -> Self {
        let mut fixed_end = NULL_BITS_AT + types.len().div_ceil(8);
        let mut variable_count = 0;
        let place = |&ty: &PhysicalType| {
            let counter = if ty.width().is_some() { &mut fixed_end } else { &mut variable_count };
            let at = *counter;
            *counter += ty.width().unwrap_or(1);
            ColumnPlace { ty, at }
        };
        let columns = types.iter().map(place).collect();
        let ([a, b], [c, d]) = (schema_version.to_le_bytes(), (types.len() as u16).to_le_bytes());
        let mut nulls = vec![0; fixed_end + 4 * variable_count];
        nulls[..NULL_BITS_AT].copy_from_slice(&[a, b, c, d]);
        for column in 0..types.len() {
            nulls[NULL_BITS_AT + column / 8] |= 1 << (column % 8);
        }
        RowLayout { columns, fixed_end, variable_count, beginning: [a, b, c, d], nulls }
    }

    /// How many columns.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Where a column lies.
    #[inline]
    pub fn place(&self, column: usize) -> ColumnPlace {
        self.columns[column]
    }

    /// Byte offset and mask of a column's NULL bit.
    #[inline]
    pub fn null_bit(&self, column: usize) -> (usize, u8) {
        (NULL_BITS_AT + column / 8, 1 << (column % 8))
    }

    /// Where the variable columns' ends begin.
    pub fn ends_offset(&self) -> usize {
        self.fixed_end
    }

    /// Where the variable bytes begin.
    #[inline]
    pub fn variable_offset(&self) -> usize {
        self.fixed_end + 4 * self.variable_count
    }

    /// Whether `row` was written under this layout and is as long as it says. What passed may be read by the unchecked
    /// offsets above.
    #[inline]
    pub fn fits(&self, row: &[u8]) -> bool {
        let variable_at = self.variable_offset();
        if row.len() < variable_at || row[..4] != self.beginning {
            return false;
        }
        let end = if self.variable_count == 0 { 0 } else { read_u32(row, variable_at - 4) as usize };
        row.len() == variable_at + end
    }

    /// The bytes of variable column number `index` of a row that [`RowLayout::fits`]. Errors: XX001.
    #[inline]
    pub fn variable<'a>(&self, row: &'a [u8], index: usize) -> Result<&'a [u8]> {
        let start = if index == 0 { 0 } else { read_u32(row, self.fixed_end + 4 * (index - 1)) as usize };
        let end = read_u32(row, self.fixed_end + 4 * index) as usize;
        row[self.variable_offset()..].get(start..end).ok_or_else(damaged)
    }
}

#[inline]
fn read_u32(row: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(row[at..at + 4].try_into().expect("four bytes"))
}

fn damaged() -> Error {
    Error::corrupt("a row's bytes do not fit its columns")
}

/// Writes one row, column by column in any order but variable columns in column order.
pub struct RowWriter<'a> {
    layout: &'a RowLayout,
    row: &'a mut Vec<u8>,
    variable_written: usize,
}

impl<'a> RowWriter<'a> {
    /// Starts a row in `row`, which is cleared. All columns are NULL at first.
    #[inline]
    pub fn new(layout: &'a RowLayout, row: &'a mut Vec<u8>) -> Self {
        row.clear();
        row.extend_from_slice(&layout.nulls);
        RowWriter { layout, row, variable_written: 0 }
    }

    /// Writes a fixed-width column's little-endian bytes. Panics when the width differs.
    #[inline]
    pub fn fixed(&mut self, column: usize, bytes: &[u8]) {
        let place = self.layout.columns[column];
        assert_eq!(place.ty.width(), Some(bytes.len()), "a column is written at its width");
        self.row[place.at..place.at + bytes.len()].copy_from_slice(bytes);
        self.set_present(column);
    }

    /// Writes a variable column. Panics when a later one was written before.
    #[inline]
    pub fn bytes(&mut self, column: usize, bytes: &[u8]) {
        let place = self.layout.columns[column];
        assert!(
            place.ty == PhysicalType::Bytes && place.at >= self.variable_written,
            "variable columns come in order"
        );
        self.end_variable_until(place.at);
        self.row.extend_from_slice(bytes);
        self.set_present(column);
    }

    #[inline]
    fn set_present(&mut self, column: usize) {
        let (at, mask) = self.layout.null_bit(column);
        self.row[at] &= !mask;
    }

    /// Writes the ends of the variable columns before `index`.
    #[inline]
    fn end_variable_until(&mut self, index: usize) {
        let end = ((self.row.len() - self.layout.variable_offset()) as u32).to_le_bytes();
        for earlier in self.variable_written..index {
            let at = self.layout.fixed_end + 4 * earlier;
            self.row[at..at + 4].copy_from_slice(&end);
        }
        self.variable_written = index;
    }

    /// Ends the row.
    pub fn finish(mut self) {
        self.end_variable_until(self.layout.variable_count);
    }
}

/// Reads one row.
#[derive(Clone, Copy)]
pub struct RowView<'a> {
    layout: &'a RowLayout,
    row: &'a [u8],
}

impl<'a> RowView<'a> {
    /// Errors: XX001 when `row` is no row of this layout.
    #[inline]
    pub fn new(layout: &'a RowLayout, row: &'a [u8]) -> Result<Self> {
        if layout.fits(row) { Ok(RowView { layout, row }) } else { Err(damaged()) }
    }

    /// Whether a column is NULL.
    #[inline]
    pub fn is_null(&self, column: usize) -> bool {
        let (at, mask) = self.layout.null_bit(column);
        self.row[at] & mask != 0
    }

    /// A fixed-width column's little-endian bytes. Panics when the column has another width.
    #[inline]
    pub fn fixed<const N: usize>(&self, column: usize) -> [u8; N] {
        let place = self.layout.columns[column];
        assert_eq!(place.ty.width(), Some(N), "a column is read at its width");
        self.row[place.at..place.at + N].try_into().expect("N bytes")
    }

    /// A variable column. Errors: XX001. Panics when the column is fixed.
    #[inline]
    pub fn bytes(&self, column: usize) -> Result<&'a [u8]> {
        let place = self.layout.columns[column];
        assert!(place.ty == PhysicalType::Bytes, "a variable column");
        self.layout.variable(self.row, place.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_its_bytes() {
        use PhysicalType::*;
        let layout = RowLayout::new(3, &[I64, Bytes, I32, Bytes, Bytes]);
        let mut row = Vec::new();
        let mut writer = RowWriter::new(&layout, &mut row);
        writer.fixed(0, &7i64.to_le_bytes());
        writer.bytes(1, b"ab");
        writer.bytes(4, b"z");
        writer.finish();
        // The bytes are the format: version, count, NULL bits (columns 2 and 3), 7, 0, ends 2 2 3, "abz".
        let mut expected = vec![3, 0, 5, 0, 0b01100, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
        expected.extend(b"abz");
        assert_eq!(row, expected);
        let view = RowView::new(&layout, &row).unwrap();
        assert_eq!(i64::from_le_bytes(view.fixed(0)), 7);
        assert!(view.is_null(2) && view.is_null(3) && !view.is_null(4));
        assert_eq!((view.bytes(1).unwrap(), view.bytes(4).unwrap()), (&b"ab"[..], &b"z"[..]));
    }

    #[test]
    fn damage_is_an_error() {
        let layout = RowLayout::new(1, &[PhysicalType::Bytes, PhysicalType::I16]);
        let mut row = Vec::new();
        let mut writer = RowWriter::new(&layout, &mut row);
        writer.bytes(0, b"hello");
        writer.fixed(1, &1i16.to_le_bytes());
        writer.finish();
        assert!(RowView::new(&layout, &row).is_ok());
        assert!(RowView::new(&layout, &row[..row.len() - 1]).is_err());
        assert!(RowView::new(&RowLayout::new(2, &[PhysicalType::Bytes, PhysicalType::I16]), &row).is_err());
    }
}
