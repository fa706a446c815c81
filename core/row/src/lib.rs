//! What bytes mean: physical types, order-preserving keys, the row codec and statistics collectors.
