//! TPC-H: its tables, filled by `tpchgen` (the rows of the council's own generator), and its queries and answers where the
//! corpora are at hand.
//!
//! What it deliberately does not do: hold the queries. They lie with the answers beside the repository, and the tests that
//! need them say that they skipped.

use orrerydb::{Connection, Result};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

/// How many queries there are.
pub const QUERY_COUNT: usize = 22;

/// The tables, what references comes after what is referenced.
pub const TABLES: [&str; 8] =
    ["region", "nation", "part", "supplier", "customer", "partsupp", "orders", "lineitem"];

/// The tables with their primary keys, in the dialect that SQLite reads, too.
pub const SCHEMA: &str = "
    create table region (r_regionkey integer primary key, r_name char(25) not null, r_comment varchar(152));
    create table nation (n_nationkey integer primary key, n_name char(25) not null, n_regionkey integer not null,
        n_comment varchar(152));
    create table part (p_partkey integer primary key, p_name varchar(55) not null, p_mfgr char(25) not null,
        p_brand char(10) not null, p_type varchar(25) not null, p_size integer not null,
        p_container char(10) not null, p_retailprice decimal(15, 2) not null, p_comment varchar(23) not null);
    create table supplier (s_suppkey integer primary key, s_name char(25) not null, s_address varchar(40) not null,
        s_nationkey integer not null, s_phone char(15) not null, s_acctbal decimal(15, 2) not null,
        s_comment varchar(101) not null);
    create table customer (c_custkey integer primary key, c_name varchar(25) not null,
        c_address varchar(40) not null, c_nationkey integer not null, c_phone char(15) not null,
        c_acctbal decimal(15, 2) not null, c_mktsegment char(10) not null, c_comment varchar(117) not null);
    create table partsupp (ps_partkey integer not null, ps_suppkey integer not null, ps_availqty integer not null,
        ps_supplycost decimal(15, 2) not null, ps_comment varchar(199) not null,
        primary key (ps_partkey, ps_suppkey));
    create table orders (o_orderkey integer primary key, o_custkey integer not null, o_orderstatus char(1) not null,
        o_totalprice decimal(15, 2) not null, o_orderdate date not null, o_orderpriority char(15) not null,
        o_clerk char(15) not null, o_shippriority integer not null, o_comment varchar(79) not null);
    create table lineitem (l_orderkey integer not null, l_partkey integer not null, l_suppkey integer not null,
        l_linenumber integer not null, l_quantity decimal(15, 2) not null, l_extendedprice decimal(15, 2) not null,
        l_discount decimal(15, 2) not null, l_tax decimal(15, 2) not null, l_returnflag char(1) not null,
        l_linestatus char(1) not null, l_shipdate date not null, l_commitdate date not null,
        l_receiptdate date not null, l_shipinstruct char(25) not null, l_shipmode char(10) not null,
        l_comment varchar(44) not null, primary key (l_orderkey, l_linenumber));";

/// Indexes on the columns that the tables reference each other by, and statistics.
pub const INDEXES: &str = "
    create index nation_region on nation (n_regionkey);
    create index supplier_nation on supplier (s_nationkey);
    create index customer_nation on customer (c_nationkey);
    create index partsupp_supplier on partsupp (ps_suppkey);
    create index orders_customer on orders (o_custkey);
    create index lineitem_part_supplier on lineitem (l_partkey, l_suppkey);
    create index lineitem_supplier on lineitem (l_suppkey);
    analyze;";

/// A table's rows as CSV without a header, about a megabyte at a time.
pub fn rows(table: &str, scale: f64, take: &mut dyn FnMut(&str)) {
    macro_rules! rows_of {
        ($generator:ident, $line:ident) => {{
            let mut text = String::with_capacity(1 << 20);
            for row in $generator::new(scale, 1, 1).iter() {
                writeln!(text, "{}", $line::new(row)).expect("a string takes everything");
                if text.len() >= (1 << 20) - 1024 {
                    take(&text);
                    text.clear();
                }
            }
            take(&text);
        }};
    }
    match table {
        "region" => rows_of!(RegionGenerator, RegionCsv),
        "nation" => rows_of!(NationGenerator, NationCsv),
        "part" => rows_of!(PartGenerator, PartCsv),
        "supplier" => rows_of!(SupplierGenerator, SupplierCsv),
        "customer" => rows_of!(CustomerGenerator, CustomerCsv),
        "partsupp" => rows_of!(PartSuppGenerator, PartSuppCsv),
        "orders" => rows_of!(OrderGenerator, OrderCsv),
        "lineitem" => rows_of!(LineItemGenerator, LineItemCsv),
        other => unreachable!("{other} is not a table of TPC-H"),
    }
}

/// Pieces of a table's text in one transaction: its changes must fit into the write set's budget.
const PIECES_PER_COPY: usize = 16;

/// Makes the tables and fills them; no indexes yet.
///
/// # Errors
/// What the database says.
pub fn load(connection: &mut Connection, scale: f64) -> Result<()> {
    connection.run(SCHEMA)?;
    for table in TABLES {
        let (mut pieces, mut result) = (Vec::new(), Ok(()));
        rows(table, scale, &mut |text| {
            pieces.push(text.to_owned());
            if pieces.len() == PIECES_PER_COPY && result.is_ok() {
                result = copy(connection, table, &std::mem::take(&mut pieces));
            }
        });
        result?;
        copy(connection, table, &pieces)?;
    }
    Ok(())
}

fn copy(connection: &mut Connection, table: &str, pieces: &[String]) -> Result<()> {
    let mut copy = connection.copy_in(&format!("copy {table} from stdin with (format csv)"))?;
    for piece in pieces {
        copy.write(piece.as_bytes())?;
    }
    copy.finish().map(drop)
}

/// Where queries and answers lie, if they are here.
pub fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/tpch");
    folder.join("q01.sql").exists().then_some(folder)
}

/// The text of a query (from 1).
///
/// # Errors
/// The file system's.
pub fn query(corpus: &Path, number: usize) -> std::io::Result<String> {
    let text = std::fs::read_to_string(corpus.join(format!("q{number:02}.sql")))?;
    Ok(text.trim().trim_end_matches(';').to_owned())
}

/// Columns of free text. The reference's answers have them from another random text than the council's, so they cannot be
/// compared.
const FREE_TEXT: [&str; 4] = ["s_address", "s_comment", "c_address", "c_comment"];

/// The query that counts what free text says.
pub const FREE_TEXT_QUERY: usize = 13;

/// The rows of an answer.
pub struct Answer {
    is_free_text: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Answer {
    /// Reads the reference's at a scale such as "0.01".
    ///
    /// # Errors
    /// The file system's.
    pub fn read(corpus: &Path, scale: &str, number: usize) -> std::io::Result<Answer> {
        // Of the query on free text: PostgreSQL's answer over the rows that are loaded here.
        let file = match (number, scale) {
            (FREE_TEXT_QUERY, "0.01") => plans().join("q13-answer-0.01.csv"),
            _ => corpus.join(format!("answers/sf{scale}/q{number:02}.csv")),
        };
        let text = std::fs::read_to_string(file)?;
        let mut lines = text.lines().map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect());
        let header: Vec<String> = lines.next().unwrap_or_default();
        let is_free_text = header.iter().map(|name| FREE_TEXT.contains(&name.as_str())).collect();
        Ok(Answer { is_free_text, rows: lines.collect() })
    }

    /// What differs first.
    pub fn difference(&self, found: &[Vec<String>]) -> Option<String> {
        if found.len() != self.rows.len() {
            return Some(format!("{} rows, {} expected", found.len(), self.rows.len()));
        }
        let is_same = |(found, expected): (&Vec<String>, &Vec<String>)| {
            let mut cells = found.iter().zip(expected).zip(&self.is_free_text);
            found.len() == expected.len() && cells.all(|((one, two), skip)| *skip || same_cell(one, two))
        };
        let at = found.iter().zip(&self.rows).position(|pair| !is_same(pair))?;
        Some(format!("row {at}: {:?}, expected {:?}", found[at], self.rows[at]))
    }
}

/// Where the golden plans lie.
pub fn plans() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/tpch")
}

/// Whether two cells are the same value: texts but for blanks at their ends, numbers but for a part in 10⁹ (averages are
/// given to different lengths).
pub fn same_cell(ours: &str, theirs: &str) -> bool {
    let (ours, theirs) = (ours.trim(), theirs.trim());
    if ours == theirs {
        return true;
    }
    match (ours.parse::<f64>(), theirs.parse::<f64>()) {
        (Ok(one), Ok(two)) => (one - two).abs() <= 1e-9 * one.abs().max(two.abs()),
        _ => false,
    }
}
