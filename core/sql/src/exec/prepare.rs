//! Reserves what synchronous evaluation will need: sequence values for identity columns.

use super::query::Shared;
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions::nextval;
use orrery_base::{Cx, Error, Result};
use std::collections::BTreeMap;

fn each_sequence(expr: &Expr, found: &mut BTreeMap<u32, (u32, i64)>) {
    match expr {
        Expr::Call { function, args, .. } => {
            if std::ptr::eq(*function, nextval())
                && let [Expr::Literal { value: Datum::Int8(id), .. }, Expr::Literal { value: Datum::Int8(step), .. }] = &args[..]
            {
                found.entry(*id as u32).or_insert((0, *step)).0 += 1;
            }
            args.iter().for_each(|arg| each_sequence(arg, found));
        }
        Expr::Cast { input, .. } | Expr::Not(input) | Expr::IsNull(input) | Expr::InList { input, .. } => {
            each_sequence(input, found);
        }
        Expr::And(args) | Expr::Or(args) | Expr::Coalesce { args, .. } => {
            args.iter().for_each(|arg| each_sequence(arg, found));
        }
        Expr::IsNotDistinct(left, right) => {
            each_sequence(left, found);
            each_sequence(right, found);
        }
        Expr::Case { branches, otherwise, .. } => {
            for (when, then) in branches {
                each_sequence(when, found);
                each_sequence(then, found);
            }
            each_sequence(otherwise, found);
        }
        Expr::Literal { .. } | Expr::Param { .. } | Expr::Column { .. } | Expr::Subquery { .. } => {}
    }
}

/// Reserves as many sequence values as evaluating `exprs` over `rows` rows can take. Suspends.
pub async fn reserve_sequences(cx: &Cx, shared: &Shared, exprs: &[Expr], rows: usize) -> Result<()> {
    let mut found = BTreeMap::new();
    exprs.iter().for_each(|expr| each_sequence(expr, &mut found));
    for (sequence, (calls, step)) in found {
        let wanted = u32::try_from(rows * calls as usize).map_err(|_| Error::internal("too many rows in a batch"))?;
        if wanted > shared.sequences.available(sequence) {
            let first = shared.context.environment.reserve(cx, sequence, wanted).await?;
            shared.sequences.put(sequence, first, wanted, step);
        }
    }
    Ok(())
}
