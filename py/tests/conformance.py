"""The conformance script through the Python module: prints its transcript. See tests/conformance/README.md."""

import datetime
import os
import sys
import tempfile

import orrerydb


def value(text):
    kind, _, rest = text.partition(" ")
    if kind == "int":
        return int(rest)
    if kind == "float":
        return float(rest)
    if kind == "bool":
        return rest == "t"
    if kind == "text":
        return rest
    if kind == "bytes":
        return bytes.fromhex(rest)
    assert kind == "null", kind
    return None


def shown(row):
    return "|".join(cell(it) for it in row)


def cell(it):
    if it is None:
        return "NULL"
    if isinstance(it, bool):
        return "t" if it else "f"
    if isinstance(it, float):
        return "%.17g" % it
    if isinstance(it, bytes):
        return "\\x" + it.hex()
    if isinstance(it, datetime.datetime):
        return it.isoformat(" ").replace("+00:00", "+00")
    return str(it)


class Runner:
    def __init__(self, folder):
        self.folder = folder
        self.con = None
        self.cur = None
        self.bound = []
        self.rows = []

    def step(self, verb, rest):
        return getattr(self, "do_" + verb)(rest)

    def take_bound(self):
        bound, self.bound = self.bound, []
        return bound

    def do_open(self, name):
        path = os.path.join(self.folder, name)
        self.con = orrerydb.connect(path, autocommit=True, seed=7, now=1700000000000000)
        print("ok")

    def do_bind(self, text):
        self.bound.append(value(text))

    def do_row(self, _):
        self.rows.append(self.take_bound())

    def do_run(self, sql):
        cur = self.con.execute(sql, self.take_bound())
        if cur.description is None:
            print("done" if cur.rowcount < 0 else "changed %d" % cur.rowcount)
            return
        count = 0
        for row in cur:
            print(shown(row))
            count += 1
        print("rows %d" % count)

    def do_many(self, sql):
        rows, self.rows = self.rows, []
        print("changed %d" % self.con.executemany(sql, rows).rowcount)

    def do_cursor(self, sql):
        self.cur = self.con.execute(sql, self.take_bound())
        print("columns " + " ".join("%s:%s" % column[:2] for column in self.cur.description))

    def do_fetch(self, count):
        for _ in range(int(count)):
            row = self.cur.fetchone()
            if row is None:
                print("end")
                return
            print(shown(row))

    def do_drop(self, _):
        self.cur.close()

    def do_arrow(self, sql):
        table = self.con.execute(sql, self.take_bound()).fetch_arrow_table()
        print("arrow %d columns, %d rows" % (table.num_columns, table.num_rows))

    def do_begin(self, _):
        self.con.begin()
        print("ok")

    def do_commit(self, _):
        self.con.commit()
        print("ok")

    def do_rollback(self, _):
        self.con.rollback()
        print("ok")

    def do_set(self, rest):
        key, _, new = rest.partition(" ")
        self.con.key_value().set(key.encode(), new.encode())
        print("ok")

    def do_get(self, key):
        found = self.con.key_value().get(key.encode())
        print("none" if found is None else found.decode())

    def do_delete(self, key):
        print("yes" if self.con.key_value().delete(key.encode()) else "no")

    def do_list(self, prefix):
        for key, found in self.con.key_value().list(prefix.encode()):
            print("%s=%s" % (key.decode(), found.decode()))

    def do_hash(self, _):
        print("%016x" % self.con.state_hash())

    def do_close(self, _):
        self.con.close()
        print("ok")


def main(steps):
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    with tempfile.TemporaryDirectory() as folder, open(steps, encoding="utf-8") as lines:
        runner = Runner(folder)
        for line in lines:
            step = line.rstrip("\n")
            if not step or step.startswith("#"):
                continue
            print("> " + step)
            verb, _, rest = step.partition(" ")
            try:
                runner.step(verb, rest)
            except orrerydb.Error as error:
                runner.bound = []
                print("error %s at %d: %s" % (error.sqlstate, error.position or 0, error))


main(sys.argv[1])
