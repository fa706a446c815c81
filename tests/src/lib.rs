//! The corpora and their one runner.
