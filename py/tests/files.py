"""A file for another language, and back. `files.py make FILE` writes one and prints its state hash; `files.py look FILE` prints what came
back: its state hash, its rows, its keys."""

import sys

import orrerydb


def make(path):
    con = orrerydb.connect(path)
    con.execute("create table stock (id integer primary key, name text not null, price numeric(8,2), added timestamptz default now())")
    con.execute("create index stock_name on stock (name)")
    con.executemany("insert into stock (id, name, price) values (?, ?, ?)", [(1, "lamp", "19.90"), (2, "häß ✓", None)])
    con.executemany("insert into stock (id, name) values (?, ?)", [(n, "row %d" % n) for n in range(100, 5000)])
    con.commit()
    con.key_value().set(b"user:1", b"Ada")
    print("%016x" % con.state_hash())
    con.close()


def look(path):
    con = orrerydb.connect(path)
    print("%016x" % con.state_hash())
    for row in con.execute("select id, name, price from stock where id < 100 order by id"):
        print(*row)
    print(con.execute("select count(*) from stock").fetchone()[0], con.key_value().get(b"user:1").decode())
    con.close()


{"make": make, "look": look}[sys.argv[1]](sys.argv[2])
