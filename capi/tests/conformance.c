/* The conformance script through the C interface: prints its transcript. See tests/conformance/README.md. */

#include "orrery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;
static orrery_database *database;
static orrery_connection *connection;
static orrery_statement *cursor;

/* Steps "bind" and "row" since the last statement; a row ends with a NULL. */
static char *bound[256];
static size_t bound_count;

static orrery_status fail(orrery_status status)
{
    if (status == ORRERY_ERROR || status == ORRERY_MISUSE) {
        printf("error %s at %" PRIu32 ": %s\n", orrery_error_sqlstate(), orrery_error_position(), orrery_error_message());
    }
    return status;
}

static void forget_bound(void)
{
    while (bound_count > 0) {
        free(bound[--bound_count]);
    }
}

static orrery_status bind_one(orrery_statement *statement, size_t index, const char *text)
{
    const char *value = strchr(text, ' ');
    value = value ? value + 1 : "";
    if (strncmp(text, "int", 3) == 0) {
        return orrery_bind_int64(statement, index, strtoll(value, NULL, 10));
    }
    if (strncmp(text, "float", 5) == 0) {
        return orrery_bind_double(statement, index, strtod(value, NULL));
    }
    if (strncmp(text, "bool", 4) == 0) {
        return orrery_bind_bool(statement, index, value[0] == 't');
    }
    if (strncmp(text, "text", 4) == 0) {
        return orrery_bind_text(statement, index, value);
    }
    if (strncmp(text, "bytes", 5) == 0) {
        uint8_t bytes[64];
        size_t len = strlen(value) / 2;
        for (size_t at = 0; at < len && at < sizeof bytes; at++) {
            unsigned byte = 0;
            sscanf(value + 2 * at, "%2x", &byte);
            bytes[at] = (uint8_t)byte;
        }
        return orrery_bind_bytes(statement, index, bytes, len);
    }
    return orrery_bind_null(statement, index);
}

/* Prepares a statement and binds what was bound; rows go into its batch. */
static orrery_statement *prepared(const char *sql)
{
    orrery_statement *statement = NULL;
    size_t index = 1;
    if (fail(orrery_prepare(connection, sql, &statement)) == ORRERY_OK) {
        for (size_t at = 0; at < bound_count; at++) {
            orrery_status status = bound[at] ? bind_one(statement, index++, bound[at]) : orrery_add_batch(statement);
            if (bound[at] == NULL) {
                index = 1;
            }
            if (fail(status) != ORRERY_OK) {
                break;
            }
        }
    }
    forget_bound();
    return statement;
}

static void show(orrery_statement *statement)
{
    for (size_t column = 0; column < orrery_column_count(statement); column++) {
        orrery_type type = orrery_column_type(statement, column);
        double number = 0;
        fputs(column > 0 ? "|" : "", stdout);
        if (orrery_column_is_null(statement, column)) {
            fputs("NULL", stdout);
        } else if (type == ORRERY_TYPE_REAL || type == ORRERY_TYPE_DOUBLE) {
            orrery_column_double(statement, column, &number);
            number != number ? fputs("nan", stdout) : printf("%.17g", number);
        } else {
            fputs(orrery_column_text(statement, column), stdout);
        }
    }
    putchar('\n');
}

static void run(const char *sql)
{
    orrery_statement *statement = prepared(sql);
    orrery_status status;
    long count = 0;
    if (statement == NULL) {
        return;
    }
    while ((status = fail(orrery_step(statement))) == ORRERY_ROW) {
        show(statement);
        count++;
    }
    if (status == ORRERY_DONE && orrery_column_count(statement) > 0) {
        printf("rows %ld\n", count);
    } else if (status == ORRERY_DONE && orrery_row_count(statement) >= 0) {
        printf("changed %" PRId64 "\n", orrery_row_count(statement));
    } else if (status == ORRERY_DONE) {
        puts("done");
    }
    orrery_finalize(statement);
}

static void many(const char *sql)
{
    orrery_statement *statement = prepared(sql);
    uint64_t count = 0;
    if (fail(orrery_run_batch(statement, &count)) == ORRERY_OK) {
        printf("changed %" PRIu64 "\n", count);
    }
    orrery_finalize(statement);
}

/* The first row of the cursor is taken already when its columns are shown. */
static orrery_status cursor_status;

static void open_cursor(const char *sql)
{
    cursor = prepared(sql);
    cursor_status = fail(orrery_step(cursor));
    fputs("columns", stdout);
    for (size_t column = 0; column < orrery_column_count(cursor); column++) {
        printf(" %s:%s", orrery_column_name(cursor, column), orrery_column_type_name(cursor, column));
    }
    putchar('\n');
}

static void fetch(long count)
{
    for (; count > 0; count--) {
        if (cursor_status != ORRERY_ROW) {
            if (cursor_status == ORRERY_DONE) {
                puts("end");
            }
            return;
        }
        show(cursor);
        cursor_status = fail(orrery_step(cursor));
    }
}

static void arrow(const char *sql)
{
    orrery_statement *statement = prepared(sql);
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct ArrowArray batch;
    int64_t count = 0;
    if (fail(orrery_arrow_stream(statement, &stream)) == ORRERY_OK) {
        stream.get_schema(&stream, &schema);
        while (stream.get_next(&stream, &batch) == 0 && batch.release != NULL) {
            count += batch.length;
            batch.release(&batch);
        }
        printf("arrow %" PRId64 " columns, %" PRId64 " rows\n", schema.n_children, count);
        schema.release(&schema);
        stream.release(&stream);
    }
    orrery_finalize(statement);
}

static int show_pair(void *context, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len)
{
    (void)context;
    printf("%.*s=%.*s\n", (int)key_len, (const char *)key, (int)value_len, (const char *)value);
    return 0;
}

static void key_value(const char *verb, char *rest)
{
    const uint8_t *key = (const uint8_t *)rest;
    if (strcmp(verb, "set") == 0) {
        char *value = strchr(rest, ' ');
        *value++ = 0;
        fail(orrery_kv_set(database, key, strlen(rest), (const uint8_t *)value, strlen(value)));
        puts("ok");
    } else if (strcmp(verb, "get") == 0) {
        uint8_t *value = NULL;
        size_t len = 0;
        orrery_status status = fail(orrery_kv_get(database, key, strlen(rest), &value, &len));
        status == ORRERY_DONE ? puts("none") : printf("%.*s\n", (int)len, (const char *)value);
        orrery_free(value, len);
    } else if (strcmp(verb, "delete") == 0) {
        puts(fail(orrery_kv_delete(database, key, strlen(rest))) == ORRERY_OK ? "yes" : "no");
    } else {
        fail(orrery_kv_list(database, key, strlen(rest), 0, show_pair, NULL));
    }
}

static orrery_status simple(const char *verb, const char *rest)
{
    char path[4096];
    if (strcmp(verb, "begin") == 0) {
        return orrery_begin(connection);
    }
    if (strcmp(verb, "commit") == 0) {
        return orrery_commit(connection);
    }
    if (strcmp(verb, "rollback") == 0) {
        return orrery_rollback(connection);
    }
    if (strcmp(verb, "close") == 0) {
        orrery_disconnect(connection);
        return orrery_close(database);
    }
    snprintf(path, sizeof path, "%s/%s", folder, rest);
    orrery_status status = orrery_open(path, "seed=7 now=1700000000000000", &database);
    return status == ORRERY_OK ? orrery_connect(database, &connection) : status;
}

static void step(const char *verb, char *rest)
{
    uint64_t hash = 0;
    if (strcmp(verb, "bind") == 0) {
        bound[bound_count++] = strcpy(malloc(strlen(rest) + 1), rest);
    } else if (strcmp(verb, "row") == 0) {
        bound[bound_count++] = NULL;
    } else if (strcmp(verb, "run") == 0) {
        run(rest);
    } else if (strcmp(verb, "many") == 0) {
        many(rest);
    } else if (strcmp(verb, "cursor") == 0) {
        open_cursor(rest);
    } else if (strcmp(verb, "fetch") == 0) {
        fetch(strtol(rest, NULL, 10));
    } else if (strcmp(verb, "drop") == 0) {
        orrery_finalize(cursor);
    } else if (strcmp(verb, "arrow") == 0) {
        arrow(rest);
    } else if (strcmp(verb, "hash") == 0) {
        if (fail(orrery_state_hash(database, &hash)) == ORRERY_OK) {
            printf("%016" PRIx64 "\n", hash);
        }
    } else if (strchr("sgdl", verb[0]) != NULL) {
        key_value(verb, rest);
    } else if (fail(simple(verb, rest)) == ORRERY_OK) {
        puts("ok");
    }
}

int main(int argc, char **argv)
{
    char line[4096];
    FILE *steps = argc == 3 ? fopen(argv[1], "r") : NULL;
    if (steps == NULL || orrery_abi_version() != ORRERY_ABI_VERSION) {
        fputs("usage: conformance STEPS FOLDER, with a library of this header's version\n", stderr);
        return 2;
    }
    folder = argv[2];
    while (fgets(line, sizeof line, steps) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 0 || line[0] == '#') {
            continue;
        }
        printf("> %s\n", line);
        char *rest = strchr(line, ' ');
        if (rest != NULL) {
            *rest++ = 0;
        }
        step(line, rest ? rest : line + strlen(line));
    }
    fclose(steps);
    return 0;
}
