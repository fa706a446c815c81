//! ANALYZE: one pass over a table's rows, which counts them and keeps a uniform sample (Vitter's algorithm R, seeded by
//! the table, so that the same rows give the same statistics).
//!
//! From the sample, per column: the share of NULLs, the number of distinct values (Haas and Stokes' Duj1 estimator, as
//! PostgreSQL), the most common values, an equi-depth histogram of the others, and the correlation with key order.

use crate::catalog::{ColumnStatistics, Table, TableStatistics};
use crate::datum::Datum;
use crate::encode;
use crate::exec::ExecContext;
use orrery_base::kv::{Flow, KeyRange, ReadMode, RowRef, RowSink};
use orrery_base::rng::Rng;
use orrery_base::sorting;
use orrery_base::{Cx, Result};
use orrery_row::codec::{RowLayout, RowView};

/// Rows of the sample: PostgreSQL's 300 for each of 100 histogram buckets.
const SAMPLE_ROW_COUNT: usize = 30_000;
/// Bytes of the sample; a table of long rows gets a smaller one.
const SAMPLE_BYTES_MAX: usize = 32 << 20;
/// Most common values kept, and buckets of the histogram.
const TARGET_COUNT: usize = 100;
/// Longer values take no part in most common values and histograms.
const VALUE_BYTES_MAX: usize = 1024;

struct Sample {
    rng: Rng,
    capacity: usize,
    /// Number of the row in key order, and its bytes.
    rows: Vec<(u64, Vec<u8>)>,
    held_bytes: usize,
    row_count: u64,
    byte_count: u64,
}

impl RowSink for Sample {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let number = self.row_count;
            self.row_count += 1;
            self.byte_count += row.value.len() as u64;
            if self.rows.len() < self.capacity {
                self.held_bytes += row.value.len();
                self.rows.push((number, row.value.to_vec()));
            } else {
                let place = self.rng.below(self.row_count) as usize;
                if let Some(slot) = self.rows.get_mut(place) {
                    self.held_bytes = self.held_bytes - slot.1.len() + row.value.len();
                    *slot = (number, row.value.to_vec());
                }
            }
            // Dropping uniformly chosen rows leaves a uniform sample.
            while self.held_bytes > SAMPLE_BYTES_MAX && self.rows.len() > 1 {
                let dropped = self.rng.below(self.rows.len() as u64) as usize;
                self.held_bytes -= self.rows.swap_remove(dropped).1.len();
                self.capacity = self.rows.len();
            }
        }
        Ok(Flow::More)
    }
}

/// Collects a table's statistics. Suspends on pages and budget. Errors: XX001 for damaged rows.
pub async fn analyze(cx: &Cx, context: &ExecContext, table: &Table) -> Result<TableStatistics> {
    let mut sample = Sample {
        rng: Rng::fork(u64::from(table.id.0), "analyze"),
        capacity: SAMPLE_ROW_COUNT,
        rows: Vec::new(),
        held_bytes: 0,
        row_count: 0,
        byte_count: 0,
    };
    let mut scan = context.txn.scan(table.tree, KeyRange::all(), ReadMode::Snapshot, false)?;
    while scan.next_batch(cx, &mut sample).await? {}
    sorting::sort_by_key(&mut sample.rows, |row| row.0);
    let (layout, old) = (encode::layout(table), encode::OldRows::of(table));
    for (_, row) in &mut sample.rows {
        if !layout.fits(row) {
            *row = old.upgrade(&layout, row)?;
        }
    }
    let mut columns = Vec::with_capacity(table.columns.len());
    for ordinal in 0..table.columns.len() {
        cx.charge(sample.rows.len() * 64).await?;
        columns.push(column(table, &layout, ordinal, &sample)?);
    }
    Ok(TableStatistics { row_count: sample.row_count, byte_count: sample.byte_count, columns })
}

fn width(value: &Datum) -> usize {
    match value {
        Datum::Null => 0,
        Datum::Bool(_) => 1,
        Datum::Int2(_) => 2,
        Datum::Int4(_) | Datum::Float4(_) | Datum::Date(_) => 4,
        Datum::Int8(_) | Datum::Float8(_) | Datum::Timestamp(_) | Datum::Timestamptz(_) | Datum::Time(_) => 8,
        Datum::Numeric(_) | Datum::Interval(_) | Datum::Uuid(_) => 16,
        Datum::Text(text) | Datum::Jsonb(text) => text.len(),
        Datum::Array(array) => 16 + array.items.iter().map(width).sum::<usize>(),
        Datum::Record(record) => {
            16 + record.fields.iter().map(|field| 8 + width(&field.value)).sum::<usize>()
        }
        Datum::Bytea(bytes) => bytes.len(),
    }
}

/// A run of equal values in the sorted sample.
struct Group {
    value: Datum,
    count: usize,
}

fn column(table: &Table, layout: &RowLayout, ordinal: usize, sample: &Sample) -> Result<ColumnStatistics> {
    let ty = table.columns[ordinal].ty;
    let mut values = Vec::with_capacity(sample.rows.len());
    let mut bytes = 0;
    for (place, (_, row)) in sample.rows.iter().enumerate() {
        let value = encode::decode_column(&RowView::new(layout, row)?, ordinal, ty)?;
        if !value.is_null() {
            bytes += width(&value);
            values.push((value, place));
        }
    }
    let sampled = sample.rows.len();
    if values.is_empty() {
        let null_fraction = if sampled == 0 { 0.0 } else { 1.0 };
        return Ok(ColumnStatistics { null_fraction, ..ColumnStatistics::default() });
    }
    let mean_width_bytes = bytes as f64 / values.len() as f64;
    let places: Vec<usize> = values.iter().map(|value| value.1).collect();
    sorting::sort_by(&mut values, |a, b| a.0.order(&b.0).then(a.1.cmp(&b.1)));
    let correlation = correlation(&values, &places);
    let present = values.len();
    let groups = groups(values);
    let share = present as f64 / sampled as f64;
    let distinct_count = distinct(&groups, present, sample.row_count as f64 * share);
    let is_complete = sample.row_count == sampled as u64;
    let common = most_common(&groups, present, is_complete);
    let most_common =
        common.iter().map(|&at| (groups[at].value.clone(), groups[at].count as f64 / sampled as f64));
    Ok(ColumnStatistics {
        null_fraction: 1.0 - share,
        distinct_count,
        mean_width_bytes,
        most_common: most_common.collect(),
        histogram: histogram(&groups, &common),
        correlation,
    })
}

fn groups(sorted: Vec<(Datum, usize)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (value, _) in sorted {
        match groups.last_mut() {
            Some(last) if last.value.order(&value).is_eq() => last.count += 1,
            _ => groups.push(Group { value, count: 1 }),
        }
    }
    groups
}

/// Duj1: n·d / (n − f1 + f1·n/N), where f1 values were seen once in a sample of n out of N.
fn distinct(groups: &[Group], sampled: usize, total: f64) -> f64 {
    let once = groups.iter().filter(|group| group.count == 1).count() as f64;
    let (seen, sampled) = (groups.len() as f64, sampled as f64);
    if total <= sampled {
        return seen;
    }
    let estimate = sampled * seen / (sampled - once + once * sampled / total);
    estimate.clamp(seen, total).round()
}

/// Which groups are worth keeping as most common values: all, when there are few and they were all seen; otherwise those
/// clearly more frequent than the average.
fn most_common(groups: &[Group], sampled: usize, is_complete: bool) -> Vec<usize> {
    let fits = |at: &usize| width(&groups[*at].value) <= VALUE_BYTES_MAX;
    let mut order: Vec<usize> = (0..groups.len()).filter(fits).collect();
    sorting::sort_by(&mut order, |&a, &b| groups[b].count.cmp(&groups[a].count).then(a.cmp(&b)));
    let repeated = groups.iter().all(|group| group.count > 1);
    if groups.len() <= TARGET_COUNT && order.len() == groups.len() && (is_complete || repeated) {
        return order;
    }
    let least = (sampled as f64 / groups.len() as f64 * 1.25).max(2.0);
    order.retain(|&at| groups[at].count as f64 >= least);
    order.truncate(TARGET_COUNT);
    order
}

/// Bounds of buckets of equal population over the values that are not common; none when fewer than two values are left.
fn histogram(groups: &[Group], common: &[usize]) -> Vec<Datum> {
    let mut is_common = vec![false; groups.len()];
    common.iter().for_each(|&at| is_common[at] = true);
    let wanted = |at: &usize| !is_common[*at] && width(&groups[*at].value) <= VALUE_BYTES_MAX;
    let rest: Vec<usize> = (0..groups.len()).filter(wanted).collect();
    if rest.len() < 2 {
        return Vec::new();
    }
    let population: usize = rest.iter().map(|&at| groups[at].count).sum();
    let bucket_count = TARGET_COUNT.min(rest.len() - 1);
    let mut bounds = Vec::with_capacity(bucket_count + 1);
    let (mut group, mut before) = (0, 0);
    for bound in 0..=bucket_count {
        let wanted = bound * (population - 1) / bucket_count;
        while before + groups[rest[group]].count <= wanted {
            before += groups[rest[group]].count;
            group += 1;
        }
        bounds.push(groups[rest[group]].value.clone());
    }
    bounds
}

/// Pearson's correlation of a value's rank with its row's place in key order.
fn correlation(sorted: &[(Datum, usize)], places: &[usize]) -> f64 {
    let count = sorted.len() as f64;
    if sorted.len() < 2 {
        return 1.0;
    }
    let mut rank_of_place = std::collections::BTreeMap::new();
    places.iter().enumerate().for_each(|(rank, &place)| {
        rank_of_place.insert(place, rank as f64);
    });
    // Both are permutations of 0..n: their means and variances are known.
    let mean = (count - 1.0) / 2.0;
    let variance = (count * count - 1.0) / 12.0;
    let mut covariance = 0.0;
    for (rank, (_, place)) in sorted.iter().enumerate() {
        covariance += (rank as f64 - mean) * (rank_of_place[place] - mean);
    }
    (covariance / count / variance).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(values: &[i32]) -> Vec<Group> {
        let mut values: Vec<(Datum, usize)> = values.iter().map(|&v| (Datum::Int4(v), 0)).collect();
        sorting::sort_by(&mut values, |a, b| a.0.order(&b.0));
        groups(values)
    }

    #[test]
    fn distinct_values_are_estimated() {
        let unique = grouped(&(0..100).collect::<Vec<_>>());
        assert_eq!(distinct(&unique, 100, 100.0), 100.0);
        // Nothing repeats in the sample: as many as rows.
        assert_eq!(distinct(&unique, 100, 1e6), 1e6);
        let few = grouped(&(0..100).map(|value| value % 5).collect::<Vec<_>>());
        assert_eq!(distinct(&few, 100, 1e6), 5.0);
    }

    #[test]
    fn common_values_and_the_histogram_share_the_column() {
        let values: Vec<i32> = (0..1000).map(|value| if value % 2 == 0 { 7 } else { value }).collect();
        let groups = grouped(&values);
        let common = most_common(&groups, 1000, false);
        assert_eq!(groups[common[0]].value, Datum::Int4(7));
        let bounds = histogram(&groups, &common);
        assert_eq!(bounds.len(), TARGET_COUNT + 1);
        assert_eq!((&bounds[0], &bounds[TARGET_COUNT]), (&Datum::Int4(1), &Datum::Int4(999)));
        assert!(bounds.windows(2).all(|pair| pair[0].order(&pair[1]).is_lt()));
    }

    #[test]
    fn correlation_has_its_signs() {
        let up: Vec<(Datum, usize)> = (0..50).map(|value| (Datum::Int4(value), value as usize)).collect();
        let down: Vec<(Datum, usize)> =
            (0..50).map(|value| (Datum::Int4(value), 49 - value as usize)).collect();
        let places: Vec<usize> = (0..50).collect();
        assert!((correlation(&up, &places) - 1.0).abs() < 1e-9);
        assert!((correlation(&down, &places) + 1.0).abs() < 1e-9);
    }
}
