"""The Python module beside sqlite3, apsw and DuckDB: point selects, fetchall, executemany, Arrow out and in.

    python bench/python/doors.py [--rounds N] [--only WORD]

Needs orrerydb (a release wheel), apsw, duckdb, pyarrow. All run in one process, interleaved, databases in memory; the figure is the
median of the rounds in CPU time of the whole process (all threads). Answers are compared before the clock starts.
"""

import argparse
import random
import sqlite3
import statistics
import time

import apsw
import duckdb
import orrerydb
import pyarrow

ROW_COUNT = 100_000
READ_COUNT = 20_000
TABLE = "create table t (id integer primary key, a integer, b text)"
ROWS = [(n, n * 7 % 1000, "text of row %d" % n) for n in range(ROW_COUNT)]
ARROW = pyarrow.table(
    {
        "id": pyarrow.array([row[0] for row in ROWS], pyarrow.int32()),
        "a": pyarrow.array([row[1] for row in ROWS], pyarrow.int32()),
        "b": pyarrow.array([row[2] for row in ROWS]),
    }
)
INSERT = "insert into t values (?, ?, ?)"
ALL = "select id, a, b from t"
POINT = "select a, b from t where id = ?"


class Orrery:
    name = "orrery"

    def open(self):
        self.con = orrerydb.connect()
        self.con.execute(TABLE)
        self.con.commit()

    def executemany(self):
        self.con.executemany(INSERT, ROWS)
        self.con.commit()

    def from_arrow(self):
        self.con.insert_arrow("t", ARROW)
        self.con.commit()

    def point(self, keys):
        execute = self.con.execute
        return [execute(POINT, (key,)).fetchone() for key in keys]

    def fetchall(self):
        return self.con.execute(ALL).fetchall()

    def to_arrow(self):
        return self.con.execute(ALL).fetch_arrow_table()


class Sqlite(Orrery):
    name = "sqlite3"
    from_arrow = to_arrow = None

    def open(self):
        self.con = sqlite3.connect(":memory:")
        self.con.execute(TABLE)
        self.con.commit()


class Apsw(Sqlite):
    name = "apsw"

    def open(self):
        self.con = apsw.Connection(":memory:")
        self.con.execute(TABLE)

    def executemany(self):
        with self.con:
            self.con.executemany(INSERT, ROWS)


class Duck(Orrery):
    name = "duckdb"
    executemany = None  # Minutes: it is not made for that.

    def open(self):
        self.con = duckdb.connect(":memory:")
        self.con.execute(TABLE)

    def from_arrow(self):
        rows = ARROW  # noqa: F841 (DuckDB finds it by name)
        self.con.execute("insert into t select * from rows")

    def to_arrow(self):
        return self.con.execute(ALL).to_arrow_table()


def cpu(work):
    start = time.process_time_ns()
    answer = work()
    return (time.process_time_ns() - start) / 1e6, answer


def measure(name, unit, rounds, contenders, prepare, work, same):
    times = {}
    for round_number in range(rounds):
        answers = {}
        for contender in contenders:
            prepare(contender)
            taken, answers[contender.name] = cpu(lambda: work(contender))
            times.setdefault(contender.name, []).append(taken)
        first = next(iter(answers.values()))
        for who, answer in answers.items():
            assert same(answer, first), "%s: %s answers otherwise" % (name, who)
    cells = ["%s %.2f" % (who, statistics.median(taken) * unit[1]) for who, taken in times.items()]
    print("%-34s %s  [%s]" % (name, "   ".join(cells), unit[0]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    everyone = [Orrery(), Sqlite(), Apsw(), Duck()]
    for contender in everyone:
        contender.open()
        (contender.executemany or contender.from_arrow)()
    keys = [random.Random(1).randrange(ROW_COUNT) for _ in range(READ_COUNT)]
    nothing = lambda contender: None
    again = lambda contender: contender.open()
    equal = lambda answer, other: answer == other
    sorted_equal = lambda answer, other: sorted(answer) == sorted(other)
    tables_equal = lambda answer, other: answer.sort_by("id").equals(other.sort_by("id"))
    loaded = lambda answer, other: True
    milli, micro = ("ms", 1), ("µs a select", 1000 / READ_COUNT)
    rows_only, arrow_only = everyone[:3], [everyone[0], everyone[3]]
    cases = [
        ("point select, autocommit off", micro, everyone[:3], nothing, lambda it: it.point(keys), equal),
        ("fetchall 100k x 3", milli, everyone, nothing, lambda it: it.fetchall(), sorted_equal),
        ("to Arrow 100k x 3", milli, arrow_only, nothing, lambda it: it.to_arrow(), tables_equal),
        ("executemany 100k inserts", milli, rows_only, again, lambda it: it.executemany(), loaded),
        ("from Arrow 100k rows", milli, arrow_only, again, lambda it: it.from_arrow(), loaded),
    ]
    for name, unit, contenders, prepare, work, same in cases:
        if options.only in name:
            measure(name, unit, options.rounds, contenders, prepare, work, same)


main()
