//! Arrow's IPC stream format for the kinds of columns that results have
//! (<https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format>): numbers, truth values, times, texts,
//! bytes. The tables of its messages are `arrow-ipc`'s, and so is the schema; the batches are written here, because
//! that crate's writer brings everything for dictionaries, unions and runs along, 47 kB gzipped of the browser's module.
//! Bytes are the same as its own.

use arrow_array::{Array, RecordBatch};
use arrow_buffer::{BooleanBuffer, Buffer};
use arrow_data::ArrayData;
use arrow_ipc::convert::IpcSchemaEncoder;
use arrow_ipc::{FieldNode, MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder};
use arrow_schema::{ArrowError, DataType, Schema};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

const CONTINUATION: [u8; 4] = [0xff; 4];
/// Of messages, and of buffers within their bodies.
const ALIGNMENT_BYTES: usize = 64;
/// The continuation and the length.
const PREFIX_BYTES: usize = 8;

/// Writes a stream into memory.
pub struct StreamWriter {
    out: Vec<u8>,
}

impl StreamWriter {
    /// Begins with the schema.
    pub fn new(schema: &Schema) -> Self {
        let mut writer = StreamWriter { out: Vec::new() };
        let mut builder = FlatBufferBuilder::new();
        let header = IpcSchemaEncoder::new().schema_to_fb_offset(&mut builder, schema).as_union_value();
        writer.put_message(builder, MessageHeader::Schema, header, 0);
        writer
    }

    /// Adds a batch of that schema. Errors: a type that results do not have.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut body = Body::default();
        for column in batch.columns() {
            body.push_column(&column.to_data())?;
        }
        let mut builder = FlatBufferBuilder::new();
        let (places, nodes) = (builder.create_vector(&body.places), builder.create_vector(&body.nodes));
        let mut header = RecordBatchBuilder::new(&mut builder);
        header.add_length(batch.num_rows() as i64);
        header.add_nodes(nodes);
        header.add_buffers(places);
        let header = header.finish().as_union_value();
        self.put_message(builder, MessageHeader::RecordBatch, header, body.byte_count as i64);
        for buffer in &body.buffers {
            self.out.extend_from_slice(buffer);
            self.pad();
        }
        Ok(())
    }

    /// Ends the stream; its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&CONTINUATION);
        self.out.extend_from_slice(&[0; 4]);
        self.out
    }

    fn put_message(
        &mut self,
        mut builder: FlatBufferBuilder<'_>,
        kind: MessageHeader,
        header: WIPOffset<UnionWIPOffset>,
        body_bytes: i64,
    ) {
        let mut message = MessageBuilder::new(&mut builder);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(kind);
        message.add_bodyLength(body_bytes);
        message.add_header(header);
        let message = message.finish();
        builder.finish(message, None);
        let bytes = builder.finished_data();
        let padded = (PREFIX_BYTES + bytes.len()).next_multiple_of(ALIGNMENT_BYTES);
        self.out.extend_from_slice(&CONTINUATION);
        self.out.extend_from_slice(&((padded - PREFIX_BYTES) as u32).to_le_bytes());
        self.out.extend_from_slice(bytes);
        self.pad();
    }

    /// Whatever is written begins and ends at a multiple.
    fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(ALIGNMENT_BYTES), 0);
    }
}

/// What a batch consists of.
#[derive(Default)]
struct Body {
    nodes: Vec<FieldNode>,
    places: Vec<arrow_ipc::Buffer>,
    buffers: Vec<Buffer>,
    /// With padding.
    byte_count: usize,
}

impl Body {
    fn push_column(&mut self, data: &ArrayData) -> Result<(), ArrowError> {
        let (offset, len) = (data.offset(), data.len());
        let is_null = data.data_type() == &DataType::Null;
        let null_count = if is_null { len } else { data.null_count() };
        self.nodes.push(FieldNode::new(len as i64, null_count as i64));
        if is_null {
            return Ok(());
        }
        let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0);
        self.push(nulls.map_or_else(empty, |nulls| nulls.inner().sliced()));
        match data.data_type() {
            DataType::Boolean => {
                self.push(BooleanBuffer::new(data.buffers()[0].clone(), offset, len).sliced());
            }
            DataType::Utf8 | DataType::Binary => self.push_strings(data),
            other => {
                let width = match other {
                    DataType::FixedSizeBinary(width) => Some(*width as usize),
                    other => other.primitive_width(),
                };
                let width =
                    width.ok_or_else(|| ArrowError::NotYetImplemented(format!("{other} in a stream")))?;
                self.push(data.buffers()[0].slice_with_length(offset * width, len * width));
            }
        }
        Ok(())
    }

    /// The offsets begin at 0 in the stream, and only what they point to is in it.
    fn push_strings(&mut self, data: &ArrayData) {
        let [all_offsets, values] = data.buffers() else { unreachable!("strings have two buffers") };
        if data.is_empty() {
            self.push(Buffer::from_slice_ref([0i32]));
            return self.push(empty());
        }
        let offsets = &all_offsets.typed_data::<i32>()[data.offset()..=data.offset() + data.len()];
        let (first, last) = (offsets[0], offsets[data.len()]);
        self.push(match first {
            0 => all_offsets.slice_with_length(data.offset() * 4, offsets.len() * 4),
            _ => offsets.iter().map(|offset| offset - first).collect(),
        });
        self.push(values.slice_with_length(first as usize, (last - first) as usize));
    }

    fn push(&mut self, buffer: Buffer) {
        self.places.push(arrow_ipc::Buffer::new(self.byte_count as i64, buffer.len() as i64));
        self.byte_count += buffer.len().next_multiple_of(ALIGNMENT_BYTES);
        self.buffers.push(buffer);
    }
}

fn empty() -> Buffer {
    Buffer::from_slice_ref([0u8; 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::{
        Date32Type, Decimal128Type, Float64Type, Int16Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        TimestampMicrosecondType,
    };
    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, NullArray, PrimitiveArray, StringArray,
    };
    use arrow_schema::Field;
    use std::collections::HashMap;
    use std::sync::Arc;

    /// Columns of every kind, a third of the rows NULL where it has NULLs.
    fn batch(rows: usize, has_nulls: bool) -> RecordBatch {
        let is_there = |row: usize| !has_nulls || row % 3 != 1;
        let texts = (0..rows).map(|row| is_there(row).then(|| "é".repeat(row % 5)));
        let bytes = (0..rows).map(|row| is_there(row).then(|| vec![row as u8; row % 4]));
        let bytes: Vec<Option<Vec<u8>>> = bytes.collect();
        let fixed = (0..rows).map(|row| is_there(row).then_some([row as u8; 16]));
        let interval = |row: usize| IntervalMonthDayNano::new(row as i32, 2, 3);
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..rows).map(|row| is_there(row).then_some(row % 2 == 0)).collect::<BooleanArray>()),
            numbers::<Int16Type>(rows, has_nulls, |row| row as i16),
            numbers::<Float64Type>(rows, has_nulls, |row| row as f64 / 3.0),
            numbers::<Date32Type>(rows, has_nulls, |row| row as i32),
            numbers::<TimestampMicrosecondType>(rows, has_nulls, |row| row as i64),
            numbers::<Decimal128Type>(rows, has_nulls, |row| row as i128 - 5),
            numbers::<IntervalMonthDayNanoType>(rows, has_nulls, interval),
            Arc::new(texts.collect::<StringArray>()),
            Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>()),
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 16).expect("sixteen bytes each"),
            ),
            Arc::new(NullArray::new(rows)),
        ];
        let field = |(number, column): (usize, &ArrayRef)| {
            let metadata: HashMap<_, _> = [("orrery.type".to_owned(), number.to_string())].into();
            Field::new(format!("c{number}"), column.data_type().clone(), true).with_metadata(metadata)
        };
        let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length")
    }

    fn numbers<T: arrow_array::ArrowPrimitiveType>(
        rows: usize,
        has_nulls: bool,
        number: impl Fn(usize) -> T::Native,
    ) -> ArrayRef {
        let some = (0..rows).map(|row| (!has_nulls || row % 3 != 1).then(|| number(row)));
        Arc::new(some.collect::<PrimitiveArray<T>>())
    }

    #[test]
    fn the_bytes_are_those_of_arrow_itself() {
        for rows in [0, 1, 2, 64, 1000] {
            for has_nulls in [false, true] {
                let whole = batch(rows, has_nulls);
                let mut batches = vec![whole.clone()];
                for (from, len) in [(1, 1), (3, 8), (8, 40), (500, 499), (999, 1)] {
                    if from + len <= rows {
                        batches.push(whole.slice(from, len));
                    }
                }
                let mut ours = StreamWriter::new(&whole.schema());
                let mut theirs = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &whole.schema())
                    .expect("a schema of known types");
                for batch in &batches {
                    ours.write(batch).expect("known types");
                    theirs.write(batch).expect("known types");
                }
                assert_eq!(ours.finish(), theirs.into_inner().expect("written to memory"), "{rows} rows");
            }
        }
    }

    #[test]
    fn other_types_are_refused() {
        let list = arrow_array::ListArray::from_iter_primitive::<Int16Type, _, _>([Some([Some(1)])]);
        let schema = Schema::new(vec![Field::new("c", list.data_type().clone(), true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(list)]).expect("one column");
        assert!(StreamWriter::new(&batch.schema()).write(&batch).is_err());
    }
}
