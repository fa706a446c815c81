"""The Python module. Run by `cargo xtask doors` in a clean virtual environment with pyarrow, pandas, polars, duckdb and SQLAlchemy."""

import datetime
import decimal
import doctest
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

import orrerydb


def filled(rows=1000, **options):
    con = orrerydb.connect(**options)
    con.execute("create table t (id integer primary key, a smallint, b text)")
    con.executemany("insert into t values (?, ?, ?)", ((n, n % 7, "row %d" % n) for n in range(rows)))
    con.commit()
    return con


class Module(unittest.TestCase):
    def test_globals(self):
        self.assertEqual((orrerydb.apilevel, orrerydb.threadsafety, orrerydb.paramstyle), ("2.0", 2, "qmark"))

    def test_exceptions_are_the_tree_of_the_standard(self):
        database = ["DataError", "OperationalError", "IntegrityError", "InternalError", "ProgrammingError"]
        for name in database + ["NotSupportedError"]:
            self.assertTrue(issubclass(getattr(orrerydb, name), orrerydb.DatabaseError), name)
        self.assertTrue(issubclass(orrerydb.DatabaseError, orrerydb.Error))
        self.assertTrue(issubclass(orrerydb.InterfaceError, orrerydb.Error))
        self.assertTrue(issubclass(orrerydb.Error, Exception))
        self.assertTrue(issubclass(orrerydb.Warning, Exception))

    def test_import_needs_nothing_else(self):
        code = "import sys, orrerydb; sys.exit(any(m in sys.modules for m in ('numpy', 'pyarrow', 'pandas')))"
        self.assertEqual(subprocess.run([sys.executable, "-c", code]).returncode, 0)

    def test_stubs_are_there_and_name_everything(self):
        folder = os.path.dirname(orrerydb.__file__)
        self.assertTrue(os.path.exists(os.path.join(folder, "py.typed")))
        with open(os.path.join(folder, "__init__.pyi")) as file:
            stub = file.read()
        for name in orrerydb.__all__:
            self.assertIn(name, stub)
        for kind in (orrerydb.Connection, orrerydb.Cursor, orrerydb.KeyValue):
            for name in vars(kind):
                if not name.startswith("_"):
                    self.assertRegex(stub, r"\b%s\b" % name)
                    self.assertTrue(getattr(kind, name).__doc__, "%s has no docstring" % name)

    def test_docstring_examples(self):
        from orrerydb import _types

        done = [doctest.testmod(orrerydb), doctest.testmod(_types)]
        self.assertEqual(sum(it.failed for it in done), 0)
        self.assertGreater(sum(it.attempted for it in done), 15)


class Statements(unittest.TestCase):
    def test_parameters_in_three_styles(self):
        con = orrerydb.connect()
        for sql in ("select ?::integer + ?", "select :1::integer + :2", "select $1::integer + $2"):
            self.assertEqual(con.execute(sql, (1, 2)).fetchone(), (3,))
            self.assertEqual(con.execute(sql, [1, 2]).fetchone(), (3,))
        with self.assertRaises(orrerydb.ProgrammingError):
            con.execute("select ?::integer", {"a": 1})
        con.rollback()
        with self.assertRaises(orrerydb.ProgrammingError) as caught:
            con.execute("select ?::integer", ())
        self.assertEqual(caught.exception.sqlstate, "42P02")

    def test_every_type_there_and_back(self):
        con = orrerydb.connect()
        utc = datetime.timezone.utc
        values = {
            "boolean": True,
            "smallint": -3,
            "integer": 2**31 - 1,
            "bigint": -(2**63),
            "real": 1.5,
            "double precision": 0.1,
            "numeric": decimal.Decimal("12345678901234567890123456789012345678901234567890.5"),
            "numeric(9,2)": decimal.Decimal("1234567.89"),
            "text": "häß\U0001f600",
            "bytea": b"\x00\xff",
            "date": datetime.date(1, 1, 1),
            "timestamp": datetime.datetime(9999, 12, 31, 23, 59, 59, 999999),
            "timestamptz": datetime.datetime(2024, 2, 29, 12, 0, tzinfo=utc),
            "interval": datetime.timedelta(days=-3, seconds=5, microseconds=7),
            "uuid": uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
            "time": orrerydb.Time(23, 59, 59, 999999),
            "json": '{"a": [1, null]}',
        }
        for name, value in values.items():
            found = con.execute("select ?::%s, null::%s" % (name, name), (value,)).fetchone()
            self.assertEqual(found, (value, None), name)
            self.assertIs(type(found[0]), type(value), name)
        months = orrerydb.Interval(14, 3, 5)
        self.assertEqual(con.execute("select ?::interval", (months,)).fetchone(), (months,))
        huge = con.execute("select ?::numeric", (10**30,)).fetchone()
        self.assertEqual(huge, (decimal.Decimal(10**30),))
        self.assertEqual(con.execute("select array[[1, 2], [3, null]]").fetchone(), ([[1, 2], [3, None]],))
        for value in (object(), datetime.time(1, tzinfo=utc)):
            with self.assertRaises(orrerydb.NotSupportedError):
                con.execute("select ?::text", (value,))
        kinds = con.execute("select time '1:00', json '1', 'x'::char(3), array[1]").description
        self.assertEqual([kind[1] for kind in kinds[:3]], [orrerydb.DATETIME, orrerydb.STRING, orrerydb.STRING])

    def test_what_gives_parameters_cannot_use_the_connection(self):
        con = filled(autocommit=True)

        def rows():
            for n in range(3):
                yield con.execute("select 1000 + ?", (n,)).fetchone() + (0, "x")

        for run in (con.executemany, con.execute):
            with self.assertRaises(orrerydb.OperationalError) as caught:
                run("insert into t values (?, ?, ?)", rows())
            self.assertEqual(caught.exception.sqlstate, "55006")
        # A result that is read meanwhile is no statement.
        source = con.execute("select id + 1000, a, b from t where id < 3")
        count = con.execute("select count(*) from t where id < 3").fetchone()[0]
        self.assertEqual(con.executemany("insert into t values (?, ?, ?)", source).rowcount, count)

    def test_errors_carry_their_code_and_place(self):
        con = filled(autocommit=True)
        cases = [
            ("select * from nowhere", orrerydb.ProgrammingError, "42P01", 15),
            ("insert into t values (1, 1, 'x')", orrerydb.IntegrityError, "23505", None),
            ("select 1 / 0", orrerydb.DataError, "22012", 10),
            ("create publication p for all tables", orrerydb.NotSupportedError, "0A000", 1),
        ]
        for sql, kind, code, position in cases:
            with self.assertRaises(kind) as caught:
                con.execute(sql).fetchall()
            self.assertEqual((caught.exception.sqlstate, caught.exception.position), (code, position))
        with self.assertRaises(orrerydb.IntegrityError) as caught:
            con.execute("insert into t values (1, 1, 'x')")
        self.assertIn("already exists", caught.exception.detail)

    def test_description_rowcount_and_type_objects(self):
        con = filled()
        for sql in ("select id, b, a * 1.5 as x from t where id < 3", "select id, b from t where id = 3"):
            cur = con.execute(sql)
            self.assertEqual([column[0] for column in cur.description], ["id", "b", "x"][: len(cur.description)])
            self.assertEqual(cur.description[0][1], orrerydb.NUMBER)
            self.assertEqual(cur.description[1][1], orrerydb.STRING)
            self.assertNotEqual(cur.description[1][1], orrerydb.NUMBER)
            self.assertTrue(all(len(column) == 7 for column in cur.description))
        cur = con.execute("update t set a = 0 where id < 10")
        self.assertEqual((cur.rowcount, cur.description), (10, None))
        with self.assertRaises(orrerydb.Error):
            cur.fetchone()
        self.assertEqual(con.cursor().execute("delete from t where id = 5").rowcount, 1)

    def test_fetching(self):
        con = filled()
        cur = con.execute("select id from t order by id")
        self.assertEqual(cur.fetchone(), (0,))
        self.assertEqual(cur.fetchmany(), [(1,)])
        cur.arraysize = 3
        self.assertEqual(cur.fetchmany(), [(2,), (3,), (4,)])
        self.assertEqual(cur.fetchmany(2), [(5,), (6,)])
        self.assertEqual(sum(1 for _ in cur), 993)
        self.assertEqual((cur.fetchone(), cur.fetchall(), cur.fetchmany(5)), (None, [], []))
        self.assertEqual(con.execute("select b from t where id = ?", (7,)).fetchall(), [("row 7",)])
        self.assertEqual(con.execute("select b from t where id = ?", (-7,)).fetchall(), [])

    def test_row_factories(self):
        con = filled()
        con.row_factory = orrerydb.dict_row
        self.assertEqual(con.execute("select id, b from t where id = 1").fetchone(), {"id": 1, "b": "row 1"})
        self.assertEqual(con.execute("select id from t where id < 2").fetchall(), [{"id": 0}, {"id": 1}])
        cur = con.cursor()
        cur.row_factory = lambda cursor, row: row[0]
        self.assertEqual(list(cur.execute("select id from t where id < 3")), [0, 1, 2])

    def test_a_large_result_never_lies_in_memory(self):
        con = orrerydb.connect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cur = con.execute("select n, 'a text of some length ' || n from generate_series(1, 10000000) as s(n)")
        count = 0
        while rows := cur.fetchmany(10000):
            count += len(rows)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self.assertEqual(count, 10_000_000)
        self.assertLess(grown, 100_000, "kilobytes")


class Transactions(unittest.TestCase):
    def test_the_first_statement_begins_one(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "t.orrery")
            con = orrerydb.connect(path)
            con.execute("create table t (a integer)")
            self.assertTrue(con.in_transaction)
            con.commit()
            self.assertFalse(con.in_transaction)
            con.execute("insert into t values (1)")
            con.rollback()
            con.execute("insert into t values (2)")
            con.commit()
            con.execute("insert into t values (3)")
            con.close()
            con.close()
            con = orrerydb.connect(path)
            self.assertEqual(con.execute("select a from t").fetchall(), [(2,)], "close rolls back")
            with self.assertRaises(orrerydb.OperationalError) as caught:
                orrerydb.connect(path)
            self.assertEqual(caught.exception.sqlstate, "55006")
            con.close()
            with self.assertRaises(orrerydb.Error):
                con.execute("select 1")
            with self.assertRaises(orrerydb.OperationalError):
                orrerydb.connect(os.path.join(folder, "absent"), create=False)

    def test_with_commits_or_rolls_back(self):
        con = filled()
        with con:
            con.execute("delete from t where id = 1")
        with self.assertRaises(ZeroDivisionError), con:
            con.execute("delete from t")
            1 / 0
        self.assertEqual(con.execute("select count(*) from t").fetchone(), (999,))

    def test_executemany_is_all_or_nothing(self):
        con = filled(autocommit=True)
        rows = [(n, 1, "x") for n in range(5000, 9000)]
        self.assertEqual(con.executemany("insert into t values (?, ?, ?)", iter(rows)).rowcount, 4000)
        with self.assertRaises(orrerydb.IntegrityError):
            con.executemany("insert into t values (?, ?, ?)", [(10000 + n, 1, "x") for n in range(3000)] + [(1, 1, "x")])
        self.assertEqual(con.execute("select count(*) from t").fetchone(), (5000,))

        def broken():
            yield (20000, 1, "x")
            raise KeyError("mine")

        with self.assertRaises(KeyError):
            con.executemany("insert into t values (?, ?, ?)", broken())
        self.assertEqual(con.execute("select count(*) from t where id = 20000").fetchone(), (0,))

    def test_a_cursor_outlives_its_transaction(self):
        con = filled()
        cur = con.execute("select id from t")
        cur.fetchone()
        con.execute("delete from t where id > 10")
        con.commit()
        self.assertEqual(len(cur.fetchall()), 999)
        cur = con.execute("select n from generate_series(1, 100000) as s(n)")
        con.rollback()
        with self.assertRaises(orrerydb.InternalError) as caught:
            cur.fetchall()
        self.assertEqual(caught.exception.sqlstate, "24000")

    def test_two_connections_of_one_database(self):
        con = filled()
        other = con.connect(autocommit=True)
        con.execute("delete from t")
        self.assertEqual(other.execute("select count(*) from t").fetchone(), (1000,))
        con.commit()
        self.assertEqual(other.execute("select count(*) from t").fetchone(), (0,))

    def test_settings_and_key_values(self):
        con = orrerydb.connect(autocommit=True)
        con.set("statement_timeout", "20ms")
        self.assertEqual(con.show("statement_timeout"), "20ms")
        with self.assertRaises(orrerydb.OperationalError) as caught:
            con.execute("select count(*) from generate_series(1, 1000000000)").fetchall()
        self.assertEqual(caught.exception.sqlstate, "57014")
        kv = con.key_value()
        kv.set_all([(b"a:%d" % n, b"x" * n) for n in range(5)])
        self.assertEqual(kv.get(b"a:3"), b"xxx")
        self.assertEqual(kv.list(b"a:", 2), [(b"a:0", b""), (b"a:1", b"x")])
        self.assertEqual((kv.delete(b"a:0"), kv.exists(b"a:0"), kv.get(b"a:0")), (True, False, None))


class Threads(unittest.TestCase):
    SLOW = "select count(*) from generate_series(1, 100000000000)"

    def test_the_interpreter_is_let_go(self):
        con = orrerydb.connect()
        ticks, stop = [0], threading.Event()

        def tick():
            while not stop.is_set():
                ticks[0] += 1
                time.sleep(0.001)

        thread = threading.Thread(target=tick)
        thread.start()
        con.execute("select count(*) from generate_series(1, 20000000)").fetchall()
        stop.set()
        thread.join()
        self.assertGreater(ticks[0], 20)

    def test_threads_share_a_connection(self):
        con = filled(autocommit=True)
        failures = []

        def work(first):
            try:
                for n in range(200):
                    con.execute("insert into t values (?, ?, ?)", (first + n, 1, "x"))
                    con.execute("select b from t where id = ?", (first + n,)).fetchall()
                    con.execute("select count(*) from t where a = 1").fetchall()
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n * 1000,)) for n in range(5, 9)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(failures, [])
        self.assertEqual(con.execute("select count(*) from t").fetchone(), (1800,))

    def test_a_cursor_read_by_one_thread_while_another_runs_statements(self):
        con = filled()
        failures = []

        def read():
            try:
                for _ in range(20):
                    cur = con.execute("select n from generate_series(1, 20000) as s(n)")
                    self.assertEqual(sum(1 for _ in cur), 20000)
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        while thread.is_alive():
            con.execute("select b from t where id = ?", (5,)).fetchone()
        thread.join()
        self.assertEqual(failures, [])

    def test_interrupt_from_another_thread(self):
        con = orrerydb.connect(autocommit=True)
        threading.Timer(0.1, con.interrupt).start()
        with self.assertRaises(orrerydb.OperationalError) as caught:
            con.execute(self.SLOW).fetchall()
        self.assertEqual(caught.exception.sqlstate, "57014")
        self.assertEqual(con.execute("select 1").fetchone(), (1,))

    def test_control_c(self):
        con = orrerydb.connect(autocommit=True)
        for run in (lambda: con.execute(self.SLOW).fetchall(), lambda: con.execute(self.SLOW).fetch_arrow_table()):
            timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
            timer.start()
            with self.assertRaises(KeyboardInterrupt):
                run()
            timer.join()
        self.assertEqual(con.execute("select 1").fetchone(), (1,))

    def test_control_c_while_waiting_for_a_lock(self):
        con = filled()
        other = con.connect()
        con.execute("update t set a = 1 where id = 1")
        timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            other.execute("update t set a = 2 where id = 1")
        timer.join()


class Arrow(unittest.TestCase):
    def test_out(self):
        import duckdb
        import pandas
        import polars
        import pyarrow

        con = filled()
        sql = "select id, a, b, id * 0.5 as x, null::date as d from t order by id"
        table = con.execute(sql).fetch_arrow_table()
        self.assertEqual((table.num_rows, table.schema.names), (1000, ["id", "a", "b", "x", "d"]))
        self.assertEqual(table.column("b")[7].as_py(), "row 7")
        self.assertEqual(pyarrow.table(con.execute(sql)), table)
        frame = con.execute(sql).df()
        self.assertIsInstance(frame, pandas.DataFrame)
        self.assertEqual(int(frame["id"].sum()), 499500)
        frame = con.execute(sql).pl()
        self.assertIsInstance(frame, polars.DataFrame)
        self.assertEqual(frame["id"].sum(), 499500)
        stream = pyarrow.RecordBatchReader.from_stream(con.execute(sql))
        self.assertEqual(duckdb.sql("select sum(id) from stream").fetchall(), [(499500,)])
        point = con.execute("select id, b from t where id = 5").fetch_arrow_table()
        self.assertEqual(point.to_pylist(), [{"id": 5, "b": "row 5"}])
        cur = con.execute("select id from t order by id")
        cur.fetchmany(10)
        self.assertEqual(cur.fetch_arrow_table().column(0)[0].as_py(), 10)

    def test_in(self):
        import pandas
        import polars
        import pyarrow

        con = filled()
        pandas_frame = pandas.DataFrame({"id": [5000, 5001], "b": ["p", None]})
        self.assertEqual(con.insert_arrow("t", pandas_frame), 2)
        self.assertEqual(con.insert_arrow("t", polars.DataFrame({"a": [1], "id": [5002], "b": ["q"]})), 1)
        self.assertEqual(con.insert_arrow("t", pyarrow.table({"id": [5003]})), 1)
        self.assertEqual(
            con.execute("select id, a, b from t where id >= 5000 order by id").fetchall(),
            [(5000, None, "p"), (5001, None, None), (5002, 1, "q"), (5003, None, None)],
        )
        self.assertEqual(con.insert_arrow("t", con.connect().execute("select n as id from generate_series(6000, 9000) as s(n)")), 3001)
        con.commit()
        with self.assertRaises(orrerydb.IntegrityError):
            con.insert_arrow("t", pyarrow.table({"id": [10000, 1]}))
        con.rollback()
        self.assertEqual(con.execute("select count(*) from t where id = 10000").fetchone(), (0,))
        with self.assertRaises(orrerydb.InterfaceError):
            con.insert_arrow("t", [1, 2, 3])

    def test_register_keeps_every_type(self):
        import polars
        import pyarrow

        table = pyarrow.table(
            {
                "i8": pyarrow.array([1, None], pyarrow.int8()),
                "u64": pyarrow.array([2**64 - 1, 0], pyarrow.uint64()),
                "f": pyarrow.array([0.5, None], pyarrow.float32()),
                "d": pyarrow.array([decimal.Decimal("1.10"), None], pyarrow.decimal128(10, 2)),
                "s": pyarrow.array(["x", None], pyarrow.large_string()),
                "v": pyarrow.array(["view", "ü"], pyarrow.string_view()),
                "c": pyarrow.array(["a", "b"]).dictionary_encode(),
                "b": pyarrow.array([b"\x00", None], pyarrow.large_binary()),
                "ns": pyarrow.array([1_700_000_000_123_456_789, None], pyarrow.timestamp("ns")),
                "tz": pyarrow.array([1_700_000_000, None], pyarrow.timestamp("s", "Europe/Berlin")),
                "date": pyarrow.array([datetime.date(2024, 2, 29), None]),
                "nothing": pyarrow.nulls(2),
            }
        )
        con = orrerydb.connect()
        self.assertEqual(con.register("made", table), 2)
        row = con.execute("select * from made where i8 = 1").fetchone()
        utc = datetime.timezone.utc
        self.assertEqual(
            row,
            (1, decimal.Decimal(2**64 - 1), 0.5, decimal.Decimal("1.10"), "x", "view", "a", b"\x00",
             datetime.datetime(2023, 11, 14, 22, 13, 20, 123456), datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=utc),
             datetime.date(2024, 2, 29), None),
        )  # fmt: skip
        self.assertEqual(con.register("frame", polars.DataFrame({"a": ["x", "y"], "b": [1, 2]})), 2)
        with self.assertRaises(orrerydb.NotSupportedError):
            con.register("lists", pyarrow.table({"l": [[1], [2]]}))

    def test_a_stream_that_fails_says_why(self):
        import pyarrow

        con = orrerydb.connect()
        with self.assertRaisesRegex(pyarrow.ArrowInvalid, "division by zero"):
            con.execute("select 1 / (n - 5000) from generate_series(1, 9000) as s(n)").fetch_arrow_table()


class Pandas(unittest.TestCase):
    def test_read_sql_takes_the_connection(self):
        import warnings

        import pandas

        con = filled()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = pandas.read_sql("select id, b from t where id < ? order by id", con, params=(3,))
        self.assertEqual(frame.to_dict("list"), {"id": [0, 1, 2], "b": ["row 0", "row 1", "row 2"]})

    def test_to_sql_and_back_through_sqlalchemy(self):
        import pandas
        import sqlalchemy

        engine = sqlalchemy.create_engine("orrery://")
        frame = pandas.DataFrame(
            {
                "n": [1, 2**40],
                "x": [0.1, None],
                "s": ["a", None],
                "flag": [True, False],
                "at": pandas.to_datetime(["2024-01-01 12:00", None]),
            }
        )
        self.assertEqual(frame.to_sql("frame", engine, index=False), 2)
        with self.assertRaises(ValueError):
            frame.to_sql("frame", engine, index=False)
        frame.to_sql("frame", engine, index=False, if_exists="append")
        back = pandas.read_sql("select * from frame", engine)
        self.assertEqual(len(back), 4)
        pandas.testing.assert_frame_equal(back[:2], frame, check_dtype=False)
        frame.to_sql("frame", engine, index=True, if_exists="replace")
        query = sqlalchemy.text('select x from frame where "index" = :at')
        self.assertEqual(pandas.read_sql(query, engine, params={"at": 0})["x"].tolist(), [0.1])


if __name__ == "__main__":
    unittest.main()
