/* Prepared point reads through the C interface, as bindings/examples/point_read.rs does them through Rust's. */

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <orrery.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROW_COUNT = 100000, READ_COUNT = 1000000 };

int main(void)
{
    orrery_database *db;
    orrery_connection *con;
    orrery_statement *select;
    const char *fill = "create table t (id integer primary key, a integer, b text);"
                       "insert into t select n, n * 7 % 1000, 'text of row ' || n from generate_series(0, 99999) as s(n)";
    if (orrery_open(":memory:", NULL, &db) || orrery_connect(db, &con) || orrery_run(con, fill) ||
        orrery_prepare(con, "select a, b from t where id = ?", &select)) {
        fprintf(stderr, "%s\n", orrery_error_message());
        return 1;
    }
    uint64_t state = 1, sum = 0;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < READ_COUNT; i++) {
        int64_t a;
        const uint8_t *text;
        size_t len;
        state = state * 6364136223846793005u + 1442695040888963407u;
        orrery_bind_int64(select, 1, (int64_t)((state >> 33) % ROW_COUNT));
        if (orrery_step(select) != ORRERY_ROW || orrery_column_int64(select, 0, &a) ||
            orrery_column_bytes(select, 1, &text, &len)) {
            fprintf(stderr, "%s\n", orrery_error_message());
            return 1;
        }
        sum += (uint64_t)a + len;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double nanos = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
    printf("c    %.1f ns (sum %" PRIu64 ")\n", nanos / READ_COUNT, sum);
    return 0;
}
