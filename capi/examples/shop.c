/* The example of docs/c.md. */

#include <inttypes.h>
#include <orrery.h>
#include <stdio.h>
#include <stdlib.h>

static void must(orrery_status status)
{
    if (status == ORRERY_ERROR || status == ORRERY_MISUSE) {
        fprintf(stderr, "%s at %" PRIu32 ": %s\n", orrery_error_sqlstate(), orrery_error_position(), orrery_error_message());
        exit(1);
    }
}

int main(void)
{
    orrery_database *db;
    orrery_connection *con;
    orrery_statement *insert, *query;

    must(orrery_open(":memory:", NULL, &db));
    must(orrery_connect(db, &con));
    must(orrery_run(con, "create table stock (id integer primary key, name text, price numeric(8,2))"));

    must(orrery_prepare(con, "insert into stock values (?, ?, ?)", &insert));
    const char *names[] = {"lamp", "desk", "chair"};
    const char *prices[] = {"19.90", "120", "45.50"};
    for (int i = 0; i < 3; i++) {
        must(orrery_bind_int64(insert, 1, i + 1));
        must(orrery_bind_text(insert, 2, names[i]));
        must(orrery_bind_text(insert, 3, prices[i]));
        must(orrery_add_batch(insert));
    }
    uint64_t count;
    must(orrery_run_batch(insert, &count));
    printf("%" PRIu64 " rows inserted\n", count);
    must(orrery_finalize(insert));

    must(orrery_prepare(con, "select id, name, price * 2 from stock where price > ? order by id", &query));
    must(orrery_bind_int64(query, 1, 20));
    orrery_status status;
    while ((status = orrery_step(query)) == ORRERY_ROW) {
        int64_t id;
        must(orrery_column_int64(query, 0, &id));
        printf("%" PRId64 " %s %s\n", id, orrery_column_text(query, 1), orrery_column_text(query, 2));
    }
    must(status);
    must(orrery_finalize(query));

    if (orrery_run(con, "select * from shelf") == ORRERY_ERROR) {
        printf("%s at %" PRIu32 ": %s\n", orrery_error_sqlstate(), orrery_error_position(), orrery_error_message());
    }
    must(orrery_disconnect(con));
    must(orrery_close(db));
    return 0;
}
