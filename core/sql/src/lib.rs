//! SQL: types, catalog, binder, planner and the vectorised executor.
