//! Every limit in one place; relations between them are asserted at compile time.

/// Bytes of a page unit. The superblock keeps it, so that it may differ by file one day.
pub const PAGE_UNIT_BYTES: usize = 8192;
/// Bytes of the longest encoded key, tag and escape bytes included (DESIGN §11).
pub const KEY_BYTES_MAX: usize = 2048;
/// Bytes of the longest value that lies in its leaf; longer ones go to overflow pages.
pub const INLINE_VALUE_BYTES_MAX: usize = 2048;
/// Bytes of the longest value.
pub const VALUE_BYTES_MAX: usize = 1 << 30;
/// Bytes of one chunk frame of a large transaction.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Columns of a table.
pub const COLUMN_COUNT_MAX: usize = 1600;
/// Bytes of an identifier (PostgreSQL truncates; we refuse).
pub const IDENTIFIER_BYTES_MAX: usize = 63;
/// Bytes of one statement's text.
pub const STATEMENT_BYTES_MAX: usize = 64 << 20;
/// Depth of nested expressions and subqueries.
pub const NESTING_DEPTH_MAX: usize = 200;
/// Rows of a batch between operators.
pub const BATCH_ROW_COUNT: usize = 2048;
/// Logical bytes a task may work on before it gives way (about 200 µs; calibrated in bench).
pub const POLL_BUDGET_BYTES: i64 = 512 << 10;

const _: () = assert!(PAGE_UNIT_BYTES.is_power_of_two());
// A leaf holds at least two entries, or splitting could not help.
const _: () = assert!(2 * (KEY_BYTES_MAX + INLINE_VALUE_BYTES_MAX) <= PAGE_UNIT_BYTES + 256);
