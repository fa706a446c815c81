//! One statement over many rows of parameters.

use crate::connection::{Connection, Statement};
use orrery_engine::Execution;
use orrery_engine::base::{Error, Result};
use orrery_engine::sql::columns::array_of;
use orrery_engine::sql::datum::Datum;
use orrery_engine::sql::exec::Batch;
use orrery_engine::sql::types::SqlType;

/// Rows run as one statement.
const CHUNK_ROW_COUNT: usize = 2048;

impl Connection {
    /// Runs INSERT, UPDATE or DELETE once for each row of parameters, in one transaction (the open one, if one is); answers how
    /// many rows it changed. `fill` appends the next row's parameters to the vector it is given and answers whether there was
    /// one. Errors: as [`Connection::execute`], then nothing was changed; what `fill` says; 42601 for a statement that gives
    /// rows.
    ///
    /// ```
    /// # fn main() -> orrerydb::Result<()> {
    /// # let db = orrerydb::Database::in_memory()?;
    /// # let mut connection = db.connect();
    /// connection.run("create table squares (n integer primary key, square bigint)")?;
    /// let insert = connection.prepare("insert into squares values ($1, $2)")?;
    /// let mut numbers = 0..1000i64;
    /// let row_count = connection.execute_many(&insert, &mut |row| {
    ///     let Some(n) = numbers.next() else { return Ok(false) };
    ///     row.extend([n.into(), (n * n).into()]);
    ///     Ok(true)
    /// })?;
    /// assert_eq!(row_count, 1000);
    /// # Ok(())
    /// # }
    /// ```
    pub fn execute_many(
        &mut self,
        statement: &Statement,
        fill: &mut dyn FnMut(&mut Vec<Datum>) -> Result<bool>,
    ) -> Result<u64> {
        self.in_transaction(|connection| {
            connection.before(statement)?;
            let (mut row_count, mut row) = (0, Vec::new());
            // The rows of an INSERT go in as columns. Other point statements run on the stack; the first that cannot takes the
            // rest the other way.
            let by_rows = !statement.0.is_query() && !statement.0.is_insert();
            while fill(&mut row)? {
                match by_rows.then(|| connection.point(statement, &row, &mut |_| {})).flatten() {
                    Some(changed) => row_count += changed,
                    None => return Ok(row_count + connection.in_chunks(statement, row, fill)?),
                }
                row.clear();
            }
            Ok(row_count)
        })
    }

    /// The rows from `first` on, many a statement.
    fn in_chunks(
        &mut self,
        statement: &Statement,
        first: Vec<Datum>,
        fill: &mut dyn FnMut(&mut Vec<Datum>) -> Result<bool>,
    ) -> Result<u64> {
        let width = first.len();
        let (mut values, mut chunk_count, mut row_count, mut more) = (first, 1, 0, true);
        while more {
            while more && chunk_count < CHUNK_ROW_COUNT {
                more = fill(&mut values)?;
                chunk_count += usize::from(more);
                if values.len() != width * chunk_count {
                    let message = format!("rows of parameters differ in length: the first has {width}");
                    return Err(Error::new(orrery_engine::base::SqlState::UNDEFINED_PARAMETER, message));
                }
            }
            row_count += self.chunk(statement, width, chunk_count, &values)?;
            values.clear();
            chunk_count = 0;
        }
        Ok(row_count)
    }

    fn chunk(
        &mut self,
        statement: &Statement,
        width: usize,
        row_count: usize,
        values: &[Datum],
    ) -> Result<u64> {
        if row_count == 0 {
            return Ok(0);
        }
        let types: Option<Vec<SqlType>> =
            (0..width).map(|column| common_type(values.iter().skip(column).step_by(width))).collect();
        let Some(types) = types else {
            // Values of several types in one column: each is cast by itself.
            let mut changed = 0;
            for row in values.chunks(width) {
                changed += self.execute_prepared(statement, row)?;
            }
            return Ok(changed);
        };
        let column =
            |(column, &ty): (usize, &SqlType)| array_of(values.iter().skip(column).step_by(width), ty);
        let columns = types.iter().enumerate().map(column).collect::<Result<_>>()?;
        self.execute_columns(statement, &types, Batch { columns, row_count })
    }

    /// As [`Connection::execute_many`], of parameters in columns of these types: one statement.
    pub(crate) fn execute_columns(
        &mut self,
        statement: &Statement,
        types: &[SqlType],
        params: Batch,
    ) -> Result<u64> {
        self.before(statement)?;
        let task = self.session().execute_many(&statement.0, types.to_vec(), params);
        match self.explain(self.drive(task))? {
            Execution::Done(tag) => Ok(tag.row_count.unwrap_or(0)),
            Execution::Rows(_) => Err(Error::internal("a statement over many rows of parameters gave rows")),
        }
    }

    /// Runs `body` in the open block, or in a transaction of its own that an error undoes.
    pub(crate) fn in_transaction<T>(&mut self, body: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        if self.transaction_status().is_some() || !self.autocommit() {
            return body(self);
        }
        self.transaction(|transaction| body(transaction))
    }
}

/// The type of all values of a column that are not NULL; `None` when they differ.
fn common_type<'a>(values: impl Iterator<Item = &'a Datum>) -> Option<SqlType> {
    let mut common = SqlType::Unknown;
    for value in values {
        match value.natural_type() {
            SqlType::Unknown => {}
            ty if common == SqlType::Unknown || common == ty => common = ty,
            _ => return None,
        }
    }
    Some(common)
}
