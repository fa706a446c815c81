// The same in C++: handles close themselves, errors are exceptions.

#include <cstdint>
#include <iostream>
#include <memory>
#include <orrery.h>
#include <stdexcept>
#include <string>

namespace {

void must(orrery_status status)
{
    if (status == ORRERY_ERROR || status == ORRERY_MISUSE) {
        throw std::runtime_error(std::string(orrery_error_sqlstate()) + ": " + orrery_error_message());
    }
}

struct Close {
    void operator()(orrery_database *it) const { orrery_close(it); }
    void operator()(orrery_connection *it) const { orrery_disconnect(it); }
    void operator()(orrery_statement *it) const { orrery_finalize(it); }
};

using Database = std::unique_ptr<orrery_database, Close>;
using Connection = std::unique_ptr<orrery_connection, Close>;
using Statement = std::unique_ptr<orrery_statement, Close>;

Statement prepare(const Connection &con, const char *sql)
{
    orrery_statement *made = nullptr;
    must(orrery_prepare(con.get(), sql, &made));
    return Statement(made);
}

} // namespace

int main()
{
    orrery_database *opened = nullptr;
    must(orrery_open(":memory:", nullptr, &opened));
    Database db(opened);
    orrery_connection *connected = nullptr;
    must(orrery_connect(db.get(), &connected));
    Connection con(connected);

    must(orrery_run(con.get(), "create table squares (n integer primary key, square bigint)"));
    must(orrery_begin(con.get()));
    Statement insert = prepare(con, "insert into squares values (?, ?)");
    for (std::int64_t n = 1; n <= 1000; n++) {
        must(orrery_bind_int64(insert.get(), 1, n));
        must(orrery_bind_int64(insert.get(), 2, n * n));
        must(orrery_step(insert.get()));
    }
    must(orrery_commit(con.get()));

    Statement query = prepare(con, "select sum(square) from squares");
    must(orrery_step(query.get()));
    std::cout << orrery_column_text(query.get(), 0) << '\n';
    try {
        must(orrery_run(con.get(), "insert into squares values (1, 1)"));
    } catch (const std::runtime_error &error) {
        std::cout << error.what() << '\n';
    }
    return 0;
}
