#ifndef ORRERY_H
#define ORRERY_H

/* Made by cbindgen from capi/src: change it there, then run cargo xtask header. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The Arrow C stream interface (arrow.apache.org), which any Arrow library defines in the same way. */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};
#endif

/**
 * The version of this interface, raised when a program built against an older one would break.
 */
#define ORRERY_ABI_VERSION 1

/**
 * What a call came to.
 */
typedef enum {
    /**
     * Done.
     */
    ORRERY_OK = 0,
    /**
     * The database refused: see `orrery_error_sqlstate` and its kin.
     */
    ORRERY_ERROR = 1,
    /**
     * A handle is NULL, closed or of another kind, a pointer is NULL, or an index is out of range.
     */
    ORRERY_MISUSE = 2,
    /**
     * `orrery_step`: there is a row.
     */
    ORRERY_ROW = 100,
    /**
     * `orrery_step`: there are no more rows. Key-value calls: the key is not there.
     */
    ORRERY_DONE = 101,
} orrery_status;

/**
 * A column's type, without its modifier.
 */
typedef enum {
    /**
     * Unknown: bare NULLs. Also: no such column.
     */
    ORRERY_TYPE_UNKNOWN = 0,
    /**
     * boolean
     */
    ORRERY_TYPE_BOOLEAN = 1,
    /**
     * smallint
     */
    ORRERY_TYPE_SMALLINT = 2,
    /**
     * integer
     */
    ORRERY_TYPE_INTEGER = 3,
    /**
     * bigint
     */
    ORRERY_TYPE_BIGINT = 4,
    /**
     * real
     */
    ORRERY_TYPE_REAL = 5,
    /**
     * double precision
     */
    ORRERY_TYPE_DOUBLE = 6,
    /**
     * numeric
     */
    ORRERY_TYPE_NUMERIC = 7,
    /**
     * text, character varying
     */
    ORRERY_TYPE_TEXT = 8,
    /**
     * bytea
     */
    ORRERY_TYPE_BYTEA = 9,
    /**
     * date
     */
    ORRERY_TYPE_DATE = 10,
    /**
     * timestamp without time zone
     */
    ORRERY_TYPE_TIMESTAMP = 11,
    /**
     * timestamp with time zone
     */
    ORRERY_TYPE_TIMESTAMPTZ = 12,
    /**
     * interval
     */
    ORRERY_TYPE_INTERVAL = 13,
    /**
     * uuid
     */
    ORRERY_TYPE_UUID = 14,
} orrery_type;

/**
 * A database. Any number of threads may use it.
 */
typedef struct {
    uint8_t private_[0];
} orrery_database;

/**
 * A connection: one transaction at a time. Threads may share it; a call waits for the one before.
 */
typedef struct {
    uint8_t private_[0];
} orrery_connection;

/**
 * Called while a statement runs; anything but 0 cancels it.
 */
typedef int (*orrery_progress)(void *context);

/**
 * A prepared statement with what is bound to it and the result it gives.
 */
typedef struct {
    uint8_t private_[0];
} orrery_statement;

/**
 * Takes a pair of `orrery_kv_list`; anything but 0 ends the listing. The bytes are valid during the call.
 */
typedef int (*orrery_kv_each)(void *context,
                              const uint8_t *key,
                              uintptr_t key_len,
                              const uint8_t *value,
                              uintptr_t value_len);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the interface that the library has: compare with `ORRERY_ABI_VERSION` of the header.
 */
uint32_t orrery_abi_version(void);

/**
 * The version of the library, such as "0.1.0".
 */
const char *orrery_version(void);

/**
 * Opens the database at `path`, making it when it is absent; ":memory:" is one without a file. `options` is NULL or words
 * like "create=off durability=interval seed=7 now=1700000000000000".
 *
 * # Safety
 * `path` and `options` are NULL or texts that end with a NUL byte; `out` is NULL or a place for a pointer.
 */
orrery_status orrery_open(const char *path,
                          const char *options,
                          orrery_database **out);

/**
 * Closes the database cleanly. Its connections and statements are of no use afterwards, and still to be closed.
 */
orrery_status orrery_close(orrery_database *database);

/**
 * A new connection.
 *
 * # Safety
 * `out` is NULL or a place for a pointer.
 */
orrery_status orrery_connect(orrery_database *database, orrery_connection **out);

/**
 * Closes the connection; an open transaction is rolled back.
 */
orrery_status orrery_disconnect(orrery_connection *connection);

/**
 * Cancels the statement that the connection runs, from any thread; it answers 57014.
 */
orrery_status orrery_interrupt(orrery_connection *connection);

/**
 * Calls `progress(context)` about every `every_ms` milliseconds while a statement of the connection runs or waits, on the
 * thread that runs it. NULL takes it back. The function may call `orrery_interrupt`, and nothing else of this interface.
 *
 * # Safety
 * `progress` is NULL or a function that may be called with `context` from any thread until it is taken back.
 */
orrery_status orrery_on_progress(orrery_connection *connection,
                                 uint32_t every_ms,
                                 orrery_progress progress,
                                 void *context);

/**
 * Runs a text of any number of statements; rows are thrown away. Stops at the first error.
 *
 * # Safety
 * `sql` is NULL or a text that ends with a NUL byte.
 */
orrery_status orrery_run(orrery_connection *connection, const char *sql);

/**
 * Begins a transaction.
 */
orrery_status orrery_begin(orrery_connection *connection);

/**
 * Commits the open transaction; without one, nothing. A transaction that has failed is rolled back, which is an error (25P02).
 */
orrery_status orrery_commit(orrery_connection *connection);

/**
 * Rolls the open transaction back; without one, nothing.
 */
orrery_status orrery_rollback(orrery_connection *connection);

/**
 * Whether each statement outside of `orrery_begin` and `orrery_commit` commits by itself: the default.
 */
orrery_status orrery_set_autocommit(orrery_connection *connection, bool autocommit);

/**
 * The hash of the database's logical state: keys and values in order. Reads everything.
 *
 * # Safety
 * `out` is NULL or a place for a number.
 */
orrery_status orrery_state_hash(orrery_database *database, uint64_t *out);

/**
 * The SQLSTATE of this thread's last error, five characters ("HY010" for misuse); NULL before the first. Like the other texts
 * of the error it is valid until the thread's next call that fails.
 */
const char *orrery_error_sqlstate(void);

/**
 * The message of this thread's last error; NULL before the first.
 */
const char *orrery_error_message(void);

/**
 * The second line of this thread's last error; NULL when there is none.
 */
const char *orrery_error_detail(void);

/**
 * The advice of this thread's last error; NULL when there is none.
 */
const char *orrery_error_hint(void);

/**
 * Where in the statement this thread's last error is: 1-based, in characters; 0 when it is not known.
 */
uint32_t orrery_error_position(void);

/**
 * Prepares one statement. Parameters are written `?` or `$1`; all are NULL at first. Names and types are checked at the first step.
 *
 * # Safety
 * `sql` is NULL or a text that ends with a NUL byte; `out` is NULL or a place for a pointer.
 */
orrery_status orrery_prepare(orrery_connection *connection,
                             const char *sql,
                             orrery_statement **out);

/**
 * Closes the statement and its result.
 */
orrery_status orrery_finalize(orrery_statement *statement);

/**
 * Binds NULL to parameter `index`, from 1. As every bind: what the statement still has to give ends, and the next step runs it again.
 */
orrery_status orrery_bind_null(orrery_statement *statement,
                               uintptr_t index);

/**
 * Binds a boolean.
 */
orrery_status orrery_bind_bool(orrery_statement *statement, uintptr_t index, bool value);

/**
 * Binds an integer. It fits every integer type that has room for it.
 */
orrery_status orrery_bind_int64(orrery_statement *statement, uintptr_t index, int64_t value);

/**
 * Binds a double.
 */
orrery_status orrery_bind_double(orrery_statement *statement, uintptr_t index, double value);

/**
 * Binds a text; it is copied. A text fits every type, as a literal in quotes does.
 *
 * # Safety
 * `value` is NULL (which binds nothing and is misuse) or a text that ends with a NUL byte.
 */
orrery_status orrery_bind_text(orrery_statement *statement, uintptr_t index, const char *value);

/**
 * Binds bytes; they are copied.
 *
 * # Safety
 * `value` is NULL or points at `len` bytes.
 */
orrery_status orrery_bind_bytes(orrery_statement *statement, uintptr_t index, const uint8_t *value, uintptr_t len);

/**
 * How many parameters it has; 0 for no statement.
 */
uintptr_t orrery_param_count(const orrery_statement *statement);

/**
 * Runs the statement at the first call; gives its next row: `ORRERY_ROW`, and `ORRERY_DONE` when there is none (any more).
 */
orrery_status orrery_step(orrery_statement *statement);

/**
 * Ends the result, so that the next step runs the statement again with what is bound.
 */
orrery_status orrery_reset(orrery_statement *statement);

/**
 * How many rows the last run changed, or gave when its end was reached; -1 when it counts none.
 */
int64_t orrery_row_count(const orrery_statement *statement);

/**
 * Notes what is bound as a row of parameters for `orrery_run_batch`.
 */
orrery_status orrery_add_batch(orrery_statement *statement);

/**
 * Runs the statement once for each row noted, as one transaction (the open one, if one is), and forgets the rows. `row_count` is
 * NULL or gets how many rows were changed.
 *
 * # Safety
 * `row_count` is NULL or a place for a number.
 */
orrery_status orrery_run_batch(orrery_statement *statement,
                               uint64_t *row_count);

/**
 * How many columns the result has: known after the first step; 0 when the statement gives no rows.
 */
uintptr_t orrery_column_count(const orrery_statement *statement);

/**
 * A column's name, from column 0; NULL when there is no such column. Valid until the statement runs again or is closed.
 */
const char *orrery_column_name(const orrery_statement *statement, uintptr_t column);

/**
 * The name of a column's type, such as "numeric(8,2)"; as `orrery_column_name`.
 */
const char *orrery_column_type_name(const orrery_statement *statement, uintptr_t column);

/**
 * A column's type.
 */
orrery_type orrery_column_type(const orrery_statement *statement, uintptr_t column);

/**
 * Whether the value of a column is NULL; true when there is no row or no such column.
 */
bool orrery_column_is_null(const orrery_statement *statement, uintptr_t column);

/**
 * The value of an integer column. Errors: 22004 for NULL, 42804 for another type.
 *
 * # Safety
 * `out` is NULL or a place for a number.
 */
orrery_status orrery_column_int64(const orrery_statement *statement, uintptr_t column, int64_t *out);

/**
 * The value of a real, double precision or numeric column as a double. Errors: 22004 for NULL, 42804 for another type.
 *
 * # Safety
 * `out` is NULL or a place for a number.
 */
orrery_status orrery_column_double(const orrery_statement *statement, uintptr_t column, double *out);

/**
 * The value of a boolean column. Errors: 22004 for NULL, 42804 for another type.
 *
 * # Safety
 * `out` is NULL or a place for a boolean.
 */
orrery_status orrery_column_bool(const orrery_statement *statement, uintptr_t column, bool *out);

/**
 * The value of a column of any type as PostgreSQL's text; NULL for NULL. It ends with a NUL byte and is valid until the next step,
 * bind, reset or finalize. NULL too when there is no row or no such column.
 */
const char *orrery_column_text(const orrery_statement *statement,
                               uintptr_t column);

/**
 * The bytes of a text or bytea column, in place: valid until the next step, bind, reset or finalize. Errors: 42804 for another type. NULL gives
 * `*out` = NULL.
 *
 * # Safety
 * `out` and `len` are NULL or places for a pointer and a number.
 */
orrery_status orrery_column_bytes(const orrery_statement *statement,
                                  uintptr_t column,
                                  const uint8_t **out,
                                  uintptr_t *len);

/**
 * Sets a key.
 *
 * # Safety
 * `key` and `value` are NULL or point at as many bytes as said.
 */
orrery_status orrery_kv_set(orrery_database *database,
                            const uint8_t *key,
                            uintptr_t key_len,
                            const uint8_t *value,
                            uintptr_t value_len);

/**
 * The value of a key, to be given back with `orrery_free`; `ORRERY_DONE` when there is none.
 *
 * # Safety
 * `key` is NULL or points at as many bytes as said; `value` and `value_len` are NULL or places for a pointer and a number.
 */
orrery_status orrery_kv_get(orrery_database *database,
                            const uint8_t *key,
                            uintptr_t key_len,
                            uint8_t **value,
                            uintptr_t *value_len);

/**
 * Gives back what `orrery_kv_get` gave. NULL is fine.
 *
 * # Safety
 * `bytes` is NULL or came from `orrery_kv_get` with this length, and was not given back before.
 */
void orrery_free(uint8_t *bytes, uintptr_t len);

/**
 * Removes a key; `ORRERY_DONE` when it was not there.
 *
 * # Safety
 * `key` is NULL or points at as many bytes as said.
 */
orrery_status orrery_kv_delete(orrery_database *database, const uint8_t *key, uintptr_t key_len);

/**
 * Calls `each` for the pairs whose keys begin with `prefix`, in order, `limit` at most (0: all).
 *
 * # Safety
 * `prefix` is NULL or points at as many bytes as said; `each` is NULL or a function that may be called with `context`.
 */
orrery_status orrery_kv_list(orrery_database *database,
                             const uint8_t *prefix,
                             uintptr_t prefix_len,
                             uintptr_t limit,
                             orrery_kv_each each,
                             void *context);

/**
 * Gives what is left of the statement's result (all of it before the first step) as an Arrow C stream, which the caller releases.
 * The stream may outlive the statement.
 *
 * # Safety
 * `out` is NULL or a place for a stream; what is there is not released.
 */
orrery_status orrery_arrow_stream(orrery_statement *statement,
                                  struct ArrowArrayStream *out);

/**
 * Inserts the rows of an Arrow C stream into a table, by column name, in one transaction (the open one, if one is). The stream is
 * consumed, also by an error. `row_count` is NULL or gets how many rows.
 *
 * # Safety
 * `table` is NULL or a text that ends with a NUL byte; `stream` is NULL or a stream that was not released; `row_count` is NULL or
 * a place for a number.
 */
orrery_status orrery_insert_arrow(orrery_connection *connection,
                                  const char *table,
                                  struct ArrowArrayStream *stream,
                                  uint64_t *row_count);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ORRERY_H */
