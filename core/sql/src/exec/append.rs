//! The rows of all inputs, one input after the other.

use super::Batch;
use super::query::{BoxOperator, Operator};
use orrery_base::{BoxFuture, Cx, Result};
use std::collections::VecDeque;

/// See the module.
pub struct Append {
    inputs: VecDeque<BoxOperator>,
}

impl Append {
    /// Of these.
    pub fn new(inputs: Vec<BoxOperator>) -> Self {
        Append { inputs: inputs.into() }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        while let Some(input) = self.inputs.front_mut() {
            if let Some(batch) = input.next(cx).await? {
                return Ok(Some(batch));
            }
            // What an ended input holds is given back at once.
            self.inputs.pop_front();
        }
        Ok(None)
    }
}

impl Operator for Append {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
