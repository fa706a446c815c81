/* What a program may do wrong gives a code, never a crash: NULL, handles that are closed or of another kind, absent columns. */

#define _POSIX_C_SOURCE 200809L

#include "orrery.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check(int holds, const char *what, int line)
{
    if (!holds) {
        fprintf(stderr, "line %d: %s does not hold; last error: %s\n", line, what, orrery_error_message());
        exit(1);
    }
}

#define CHECK(what) check((what), #what, __LINE__)
#define MISUSE(call) (CHECK((call) == ORRERY_MISUSE), CHECK(strcmp(orrery_error_sqlstate(), "HY010") == 0))

static void nulls(void)
{
    int64_t number;
    double real;
    bool flag;
    uint8_t *bytes;
    const uint8_t *in_place;
    size_t len;
    uint64_t hash;
    orrery_database *database = NULL;
    orrery_connection *connection = NULL;
    orrery_statement *statement = NULL;
    struct ArrowArrayStream stream;
    MISUSE(orrery_open(NULL, NULL, &database));
    MISUSE(orrery_open(":memory:", NULL, NULL));
    MISUSE(orrery_open("\xff\xfe", NULL, &database));
    CHECK(orrery_open(":memory:", "no=such", &database) == ORRERY_ERROR);
    CHECK(strcmp(orrery_error_sqlstate(), "22023") == 0);
    MISUSE(orrery_close(NULL));
    MISUSE(orrery_connect(NULL, &connection));
    MISUSE(orrery_disconnect(NULL));
    MISUSE(orrery_interrupt(NULL));
    MISUSE(orrery_on_progress(NULL, 1, NULL, NULL));
    MISUSE(orrery_run(NULL, "select 1"));
    MISUSE(orrery_begin(NULL));
    MISUSE(orrery_commit(NULL));
    MISUSE(orrery_rollback(NULL));
    MISUSE(orrery_set_autocommit(NULL, true));
    MISUSE(orrery_state_hash(NULL, &hash));
    MISUSE(orrery_prepare(NULL, "select 1", &statement));
    MISUSE(orrery_finalize(NULL));
    MISUSE(orrery_bind_null(NULL, 1));
    MISUSE(orrery_bind_bool(NULL, 1, true));
    MISUSE(orrery_bind_int64(NULL, 1, 1));
    MISUSE(orrery_bind_double(NULL, 1, 1));
    MISUSE(orrery_bind_text(NULL, 1, "x"));
    MISUSE(orrery_bind_bytes(NULL, 1, NULL, 0));
    MISUSE(orrery_step(NULL));
    MISUSE(orrery_reset(NULL));
    MISUSE(orrery_add_batch(NULL));
    MISUSE(orrery_run_batch(NULL, NULL));
    MISUSE(orrery_column_int64(NULL, 0, &number));
    MISUSE(orrery_column_double(NULL, 0, &real));
    MISUSE(orrery_column_bool(NULL, 0, &flag));
    MISUSE(orrery_column_bytes(NULL, 0, &in_place, &len));
    MISUSE(orrery_arrow_stream(NULL, &stream));
    MISUSE(orrery_insert_arrow(NULL, "t", NULL, NULL));
    MISUSE(orrery_kv_set(NULL, NULL, 0, NULL, 0));
    MISUSE(orrery_kv_get(NULL, NULL, 0, &bytes, &len));
    MISUSE(orrery_kv_delete(NULL, NULL, 0));
    MISUSE(orrery_kv_list(NULL, NULL, 0, 0, NULL, NULL));
    CHECK(orrery_param_count(NULL) == 0 && orrery_column_count(NULL) == 0 && orrery_row_count(NULL) == -1);
    CHECK(orrery_column_name(NULL, 0) == NULL && orrery_column_text(NULL, 0) == NULL);
    CHECK(orrery_column_is_null(NULL, 0) && orrery_column_type(NULL, 0) == ORRERY_TYPE_UNKNOWN);
    orrery_free(NULL, 0);
}

static void closed_handles(void)
{
    orrery_database *database = NULL, *second = NULL;
    orrery_connection *connection = NULL;
    orrery_statement *statement = NULL, *other = NULL;
    int64_t number = 0;
    CHECK(orrery_open(":memory:", NULL, &database) == ORRERY_OK);
    CHECK(orrery_connect(database, &connection) == ORRERY_OK);
    MISUSE(orrery_run(connection, NULL));
    MISUSE(orrery_prepare(connection, "select 1", NULL));
    MISUSE(orrery_step((orrery_statement *)connection));
    MISUSE(orrery_connect((orrery_database *)connection, &connection));
    CHECK(orrery_prepare(connection, "select ?::integer as a", &statement) == ORRERY_OK);
    MISUSE(orrery_bind_int64(statement, 0, 1));
    MISUSE(orrery_bind_int64(statement, 2, 1));
    MISUSE(orrery_bind_text(statement, 1, NULL));
    MISUSE(orrery_bind_bytes(statement, 1, NULL, 4));
    MISUSE(orrery_column_int64(statement, 0, &number));
    CHECK(orrery_bind_int64(statement, 1, 41) == ORRERY_OK);
    CHECK(orrery_step(statement) == ORRERY_ROW);
    CHECK(orrery_column_int64(statement, 0, &number) == ORRERY_OK && number == 41);
    MISUSE(orrery_column_int64(statement, 0, NULL));
    MISUSE(orrery_column_int64(statement, 1, &number));
    bool flag;
    CHECK(orrery_column_bool(statement, 0, &flag) == ORRERY_ERROR && strcmp(orrery_error_sqlstate(), "42804") == 0);
    MISUSE(orrery_arrow_stream(statement, NULL));
    CHECK(orrery_step(statement) == ORRERY_DONE && orrery_step(statement) == ORRERY_DONE);
    MISUSE(orrery_column_int64(statement, 0, &number));
    /* A bind ends the run before, at its end and in the midst of it. */
    for (int64_t value = 42; value < 44; value++) {
        CHECK(orrery_bind_int64(statement, 1, value) == ORRERY_OK);
        MISUSE(orrery_column_int64(statement, 0, &number));
        CHECK(orrery_step(statement) == ORRERY_ROW);
        CHECK(orrery_column_int64(statement, 0, &number) == ORRERY_OK && number == value);
    }
    CHECK(orrery_finalize(statement) == ORRERY_OK);
    MISUSE(orrery_step(statement));
    MISUSE(orrery_finalize(statement));
    /* The slot is used again; the old handle does not become the new statement's. */
    CHECK(orrery_prepare(connection, "select 2", &other) == ORRERY_OK);
    MISUSE(orrery_step(statement));
    CHECK(orrery_disconnect(connection) == ORRERY_OK);
    MISUSE(orrery_run(connection, "select 1"));
    CHECK(orrery_step(other) == ORRERY_ERROR && strcmp(orrery_error_sqlstate(), "08000") == 0);
    CHECK(orrery_finalize(other) == ORRERY_OK);
    CHECK(orrery_connect(database, &connection) == ORRERY_OK);
    CHECK(orrery_close(database) == ORRERY_OK);
    MISUSE(orrery_close(database));
    MISUSE(orrery_connect(database, &connection));
    CHECK(orrery_run(connection, "select 1") == ORRERY_ERROR && strcmp(orrery_error_sqlstate(), "57P03") == 0);
    CHECK(orrery_disconnect(connection) == ORRERY_OK);
    CHECK(orrery_open(":memory:", "durability=none seed=1", &second) == ORRERY_OK && orrery_close(second) == ORRERY_OK);
}

static void *interrupter(void *connection)
{
    for (int turn = 0; turn < 200000; turn++) {
        orrery_interrupt(connection);
        if (turn % 100 == 0) {
            struct timespec pause = {0, 1000000};
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

static int stop_at_once(void *calls)
{
    ++*(int *)calls;
    return 1;
}

static void interrupts(void)
{
    orrery_database *database = NULL;
    orrery_connection *connection = NULL;
    pthread_t thread;
    int calls = 0;
    CHECK(orrery_open(":memory:", NULL, &database) == ORRERY_OK && orrery_connect(database, &connection) == ORRERY_OK);
    CHECK(pthread_create(&thread, NULL, interrupter, connection) == 0);
    CHECK(orrery_run(connection, "select count(*) from generate_series(1, 100000000000)") == ORRERY_ERROR);
    CHECK(strcmp(orrery_error_sqlstate(), "57014") == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(orrery_on_progress(connection, 1, stop_at_once, &calls) == ORRERY_OK);
    CHECK(orrery_run(connection, "select count(*) from generate_series(1, 100000000000)") == ORRERY_ERROR);
    CHECK(calls > 0 && orrery_on_progress(connection, 1, NULL, NULL) == ORRERY_OK);
    CHECK(orrery_run(connection, "select 1") == ORRERY_OK);
    CHECK(orrery_disconnect(connection) == ORRERY_OK && orrery_close(database) == ORRERY_OK);
}

static void arrow_through(void)
{
    orrery_database *database = NULL;
    orrery_connection *connection = NULL;
    orrery_statement *statement = NULL;
    struct ArrowArrayStream stream;
    uint64_t count = 0;
    CHECK(orrery_open(":memory:", NULL, &database) == ORRERY_OK && orrery_connect(database, &connection) == ORRERY_OK);
    CHECK(orrery_run(connection, "create table t (a integer, b text)") == ORRERY_OK);
    CHECK(orrery_prepare(connection, "select n as a, 'row ' || n as b from generate_series(1, 3000) as s(n)", &statement) == ORRERY_OK);
    CHECK(orrery_arrow_stream(statement, &stream) == ORRERY_OK);
    MISUSE(orrery_arrow_stream(statement, &stream));
    CHECK(orrery_finalize(statement) == ORRERY_OK);
    CHECK(orrery_insert_arrow(connection, "t", &stream, &count) == ORRERY_OK && count == 3000);
    CHECK(stream.release == NULL);
    CHECK(orrery_prepare(connection, "select b from t where a = 2999", &statement) == ORRERY_OK);
    CHECK(orrery_step(statement) == ORRERY_ROW && strcmp(orrery_column_text(statement, 0), "row 2999") == 0);
    CHECK(orrery_finalize(statement) == ORRERY_OK);
    CHECK(orrery_disconnect(connection) == ORRERY_OK && orrery_close(database) == ORRERY_OK);
}

int main(void)
{
    CHECK(orrery_error_sqlstate() == NULL && orrery_error_position() == 0);
    nulls();
    closed_handles();
    interrupts();
    arrow_through();
    puts("misuse: fine");
    return 0;
}
