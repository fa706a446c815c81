//! Batches in temporary files (I7). One file is written once, front to back, then read front to back, by one statement.
//!
//! A file is a row of blocks; a block is a batch:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the rest, little-endian |
//! | 4 | CRC-32 of the rest |
//! | 4 | row count |
//! | per column | 1 byte: 0 no NULL, 1 a validity bitmap follows, 2 nothing follows (all NULL); bitmap; values |
//!
//! Values: bitmaps as they are; fixed-width values as they lie; strings as row count × u32 lengths, u32 total, bytes.
//! The types are known to the reader, not written.
//!
//! Invariant P1: a file is given back to the [`Environment`](super::Environment) when its [`SpillFile`] is dropped,
//! whatever ends the statement: its end, an error, or its owner dropping it half-way.

use super::metrics::Counters;
use super::query::Place;
use super::{Batch, Environment, arrow_result};
use arrow_array::cast::AsArray;
use arrow_array::types as arrow;
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray,
    StringArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use orrery_base::disk::FileId;
use orrery_base::hash::checksum;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{AlignedBuf, Cx, Error, Result};
use std::sync::Arc;

/// Bytes gathered before a write, and read at once: a small share of the budget, between these.
const CHUNK_BYTES_MIN: usize = 1 << 10;
/// See above.
const CHUNK_BYTES_MAX: usize = 128 << 10;

/// Rows are written in blocks of at most so many.
const BLOCK_ROW_COUNT_MAX: usize = 2 * BATCH_ROW_COUNT;

/// A temporary file under construction, or complete.
pub struct SpillFile {
    file: u64,
    environment: Arc<dyn Environment>,
    written_bytes: u64,
    pending: AlignedBuf,
    chunk_bytes: usize,
    types: Vec<DataType>,
    row_count: u64,
    data_bytes: u64,
    counters: Option<Arc<Counters>>,
}

impl SpillFile {
    /// A new file for batches of these types. No I/O.
    pub fn new(place: &Place, types: Vec<DataType>, cx: &Cx) -> Self {
        let environment = place.shared.context.environment.clone();
        let file = environment.temp_file();
        cx.world().probe("exec: spill file made");
        SpillFile {
            file,
            environment,
            written_bytes: 0,
            pending: AlignedBuf::default(),
            chunk_bytes: (place.shared.memory.budget_bytes() / 64).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
            types,
            row_count: 0,
            data_bytes: 0,
            counters: place.counters.clone(),
        }
    }

    /// Rows in it.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// Bytes of its batches.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Bytes of memory that it holds.
    pub fn memory_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// Appends a batch.
    pub async fn write(&mut self, cx: &Cx, batch: &Batch) -> Result<()> {
        let mut start = 0;
        while start < batch.row_count {
            let row_count = (batch.row_count - start).min(BLOCK_ROW_COUNT_MAX);
            let columns: Vec<ArrayRef> =
                batch.columns.iter().map(|column| column.slice(start, row_count)).collect();
            let before = self.pending.len();
            write_block(&mut self.pending, &columns, row_count)?;
            let added = self.pending.len() - before;
            self.data_bytes += added as u64;
            if let Some(counters) = &self.counters {
                counters.spilled(added);
            }
            cx.charge(added).await?;
            if self.pending.len() >= self.chunk_bytes {
                self.flush(cx).await?;
            }
            start += row_count;
        }
        self.row_count += batch.row_count as u64;
        Ok(())
    }

    async fn flush(&mut self, cx: &Cx) -> Result<()> {
        let data = std::mem::take(&mut self.pending);
        let len = data.len() as u64;
        if len > 0 {
            cx.write(FileId::Temp(self.file), self.written_bytes, data).await?;
            self.written_bytes += len;
            self.environment.spilled(len);
        }
        Ok(())
    }

    /// Ends the writing.
    pub async fn into_reader(mut self, cx: &Cx) -> Result<SpillReader> {
        self.rewind(cx).await?;
        Ok(SpillReader { file: self, at: 0, buffer: AlignedBuf::default(), buffer_at: 0 })
    }

    async fn rewind(&mut self, cx: &Cx) -> Result<()> {
        // A file that never grew beyond its buffer is read out of the buffer.
        if self.written_bytes > 0 { self.flush(cx).await } else { Ok(()) }
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // Also when nothing was written: a write may have been under way.
        self.environment.discard_temp(self.file);
    }
}

/// Reads a file's batches in order.
pub struct SpillReader {
    file: SpillFile,
    /// Offset of the first byte in `buffer`.
    at: u64,
    buffer: AlignedBuf,
    /// What of `buffer` was taken.
    buffer_at: usize,
}

impl SpillReader {
    /// Rows in the file.
    pub fn row_count(&self) -> u64 {
        self.file.row_count
    }

    /// Bytes of its batches.
    pub fn data_bytes(&self) -> u64 {
        self.file.data_bytes
    }

    /// Bytes of memory that it holds.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.capacity() + self.file.pending.capacity()
    }

    /// Starts again from the first batch.
    pub fn restart(&mut self) {
        self.at = 0;
        self.buffer = AlignedBuf::default();
        self.buffer_at = 0;
    }

    /// The next batch. Errors: XX001 when the file is damaged.
    pub async fn next(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        if self.at + self.buffer_at as u64 >= self.end() {
            return Ok(None);
        }
        self.fill(cx, 8).await?;
        let head = &self.buffer[self.buffer_at..self.buffer_at + 8];
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let (len, sum) = (word(0) as usize, word(4));
        self.fill(cx, 8 + len).await?;
        let block = &self.buffer[self.buffer_at + 8..self.buffer_at + 8 + len];
        if checksum(block) != sum {
            return Err(damaged());
        }
        let batch = read_block(block, &self.file.types)?;
        self.buffer_at += 8 + len;
        cx.charge(8 + len).await?;
        Ok(Some(batch))
    }

    fn end(&self) -> u64 {
        self.file.written_bytes + self.file.pending.len() as u64
    }

    /// Makes `len` bytes available from `buffer_at` on.
    async fn fill(&mut self, cx: &Cx, len: usize) -> Result<()> {
        if self.buffer.len() - self.buffer_at >= len {
            return Ok(());
        }
        let at = self.at + self.buffer_at as u64;
        let left = usize::try_from(self.end() - at).map_err(|_| damaged())?;
        let wanted = len.max(self.file.chunk_bytes).min(left);
        let buffer = if self.file.written_bytes == 0 {
            let start = usize::try_from(at).map_err(|_| damaged())?;
            AlignedBuf::from(&self.file.pending[start..start + wanted])
        } else {
            cx.read(FileId::Temp(self.file.file), at, wanted).await?
        };
        if buffer.len() < len {
            return Err(damaged());
        }
        (self.buffer, self.buffer_at, self.at) = (buffer, 0, at);
        Ok(())
    }
}

fn damaged() -> Error {
    Error::corrupt("a temporary file is damaged")
}

fn too_long() -> Error {
    Error::internal("a spilled batch is longer than 4 GB")
}

fn write_block(into: &mut AlignedBuf, columns: &[ArrayRef], row_count: usize) -> Result<()> {
    let start = into.len();
    into.extend_from_slice(&[0; 8]);
    into.extend_from_slice(&(row_count as u32).to_le_bytes());
    columns.iter().try_for_each(|column| write_column(into, column))?;
    let len = u32::try_from(into.len() - start - 8).map_err(|_| too_long())?;
    let sum = checksum(&into[start + 8..]);
    into[start..start + 4].copy_from_slice(&len.to_le_bytes());
    into[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

fn write_column(into: &mut AlignedBuf, column: &ArrayRef) -> Result<()> {
    if column.data_type() == &DataType::Null {
        into.extend_from_slice(&[2]);
        return Ok(());
    }
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => into.extend_from_slice(&[0]),
        Some(nulls) => {
            into.extend_from_slice(&[1]);
            write_bits(into, nulls.inner());
        }
    }
    match column.data_type() {
        DataType::Boolean => write_bits(into, column.as_boolean().values()),
        DataType::Utf8 => {
            let array = column.as_string::<i32>();
            write_strings(into, array.value_offsets(), array.value_data());
        }
        DataType::Binary => {
            let array = column.as_binary::<i32>();
            write_strings(into, array.value_offsets(), array.value_data());
        }
        data_type => {
            let width = fixed_width(data_type)?;
            let data = column.to_data();
            let from = data.offset() * width;
            into.extend_from_slice(&data.buffers()[0].as_slice()[from..from + column.len() * width]);
        }
    }
    Ok(())
}

fn fixed_width(data_type: &DataType) -> Result<usize> {
    match data_type {
        DataType::FixedSizeBinary(width) => Ok(*width as usize),
        other => other
            .primitive_width()
            .ok_or_else(|| Error::internal(format!("an array of {other} is not spilled"))),
    }
}

fn write_bits(into: &mut AlignedBuf, bits: &BooleanBuffer) {
    let bytes = bits.sliced();
    into.extend_from_slice(&bytes.as_slice()[..bits.len().div_ceil(8)]);
}

fn write_strings(into: &mut AlignedBuf, offsets: &[i32], data: &[u8]) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let start = into.len();
    into.resize(start + 4 * (offsets.len() - 1));
    for (slot, pair) in into[start..].chunks_exact_mut(4).zip(offsets.windows(2)) {
        slot.copy_from_slice(&(pair[1] - pair[0]).to_le_bytes());
    }
    into.extend_from_slice(&(last - first).to_le_bytes());
    into.extend_from_slice(&data[first as usize..last as usize]);
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(len).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(head)
}

fn read_block(mut bytes: &[u8], types: &[DataType]) -> Result<Batch> {
    let row_count = u32::from_le_bytes(take(&mut bytes, 4)?.try_into().expect("four bytes")) as usize;
    let columns = types.iter().map(|ty| read_column(&mut bytes, ty, row_count)).collect::<Result<_>>()?;
    if !bytes.is_empty() {
        return Err(damaged());
    }
    Ok(Batch { columns, row_count })
}

fn read_bits(bytes: &mut &[u8], count: usize) -> Result<BooleanBuffer> {
    Ok(BooleanBuffer::new(Buffer::from(take(bytes, count.div_ceil(8))?), 0, count))
}

fn read_column(bytes: &mut &[u8], data_type: &DataType, row_count: usize) -> Result<ArrayRef> {
    let nulls = match take(bytes, 1)?[0] {
        0 => None,
        1 => Some(NullBuffer::new(read_bits(bytes, row_count)?)),
        2 => return Ok(Arc::new(arrow_array::NullArray::new(row_count))),
        _ => return Err(damaged()),
    };
    Ok(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::new(read_bits(bytes, row_count)?, nulls)),
        DataType::Utf8 => {
            let (ends, values) = read_strings(bytes, row_count)?;
            Arc::new(arrow_result(StringArray::try_new(ends, values, nulls))?)
        }
        DataType::Binary => {
            let (ends, values) = read_strings(bytes, row_count)?;
            Arc::new(arrow_result(BinaryArray::try_new(ends, values, nulls))?)
        }
        DataType::FixedSizeBinary(width) => {
            let values = Buffer::from(take(bytes, *width as usize * row_count)?);
            Arc::new(arrow_result(FixedSizeBinaryArray::try_new(*width, values, nulls))?)
        }
        DataType::Int16 => read_primitive::<arrow::Int16Type>(bytes, data_type, row_count, nulls)?,
        DataType::Int32 => read_primitive::<arrow::Int32Type>(bytes, data_type, row_count, nulls)?,
        DataType::Int64 => read_primitive::<arrow::Int64Type>(bytes, data_type, row_count, nulls)?,
        DataType::Float32 => read_primitive::<arrow::Float32Type>(bytes, data_type, row_count, nulls)?,
        DataType::Float64 => read_primitive::<arrow::Float64Type>(bytes, data_type, row_count, nulls)?,
        DataType::Date32 => read_primitive::<arrow::Date32Type>(bytes, data_type, row_count, nulls)?,
        DataType::Time64(_) => {
            read_primitive::<arrow::Time64MicrosecondType>(bytes, data_type, row_count, nulls)?
        }
        DataType::Timestamp(..) => {
            read_primitive::<arrow::TimestampMicrosecondType>(bytes, data_type, row_count, nulls)?
        }
        DataType::Decimal128(..) => {
            read_primitive::<arrow::Decimal128Type>(bytes, data_type, row_count, nulls)?
        }
        other => return Err(Error::internal(format!("an array of {other} is not spilled"))),
    })
}

fn read_strings(bytes: &mut &[u8], row_count: usize) -> Result<(OffsetBuffer<i32>, Buffer)> {
    let mut ends = Vec::with_capacity(row_count + 1);
    let mut end = 0i32;
    ends.push(end);
    for length in take(bytes, 4 * row_count)?.chunks_exact(4) {
        let length = i32::from_le_bytes(length.try_into().expect("four bytes"));
        end = end.checked_add(length).filter(|_| length >= 0).ok_or_else(damaged)?;
        ends.push(end);
    }
    let total = u32::from_le_bytes(take(bytes, 4)?.try_into().expect("four bytes"));
    Ok((OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from(take(bytes, total as usize)?)))
}

fn read_primitive<T: ArrowPrimitiveType>(
    bytes: &mut &[u8],
    data_type: &DataType,
    row_count: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let values = Buffer::from(take(bytes, size_of::<T::Native>() * row_count)?);
    let array = arrow_result(PrimitiveArray::<T>::try_new(ScalarBuffer::new(values, 0, row_count), nulls))?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

/// The Arrow types of a batch.
pub fn data_types(batch: &Batch) -> Vec<DataType> {
    batch.columns.iter().map(|column| column.data_type().clone()).collect()
}
