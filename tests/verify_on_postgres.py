#!/usr/bin/env python3
"""Runs the .slt files on a PostgreSQL server and says where it differs from what they expect.

    python3 tests/verify_on_postgres.py --port 5432 [--user postgres] [--write] [FILE.slt ...]

Without files: every .slt below tests/slt. `--write` replaces the expected results by what the server gives (the way to
write new tests: the SQL by hand, the results by PostgreSQL, then read them). Each file gets a fresh database with the C
locale. No dependencies: it speaks the simple query protocol itself, and needs a server with `trust` on 127.0.0.1 that may
read and write the temporary directory (for COPY). The expected results are PostgreSQL 15's.

What it deliberately skips: files whose head holds the words "Orrery only", records under `skipif postgresql` or
`onlyif orrery`.
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import struct
import sys
import tempfile

TYPE_LETTERS = {16: "B", 21: "S", 23: "I", 20: "L", 700: "F", 701: "D", 1700: "N", 25: "T", 1043: "T", 1042: "T",
                18: "T", 19: "T", 26: "L", 705: "T", 2205: "T", 2206: "T", 4089: "T", 17: "X", 1082: "A", 1114: "M", 1184: "Z", 2950: "U", 1186: "V", 1083: "C", 114: "J", 3802: "J"}
# Arrays.
TYPE_LETTERS.update({oid: "R" for oid in (1000, 1001, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1028, 1115,
                                          1182, 1183, 1185, 1187, 1231, 199, 2951, 3807)})


class ServerError(Exception):
    """An error of a statement: `state`, `position` (None or 1-based), `message`."""

    def __init__(self, fields):
        self.state = fields.get("C", "")
        self.position = int(fields["P"]) if "P" in fields else None
        self.message = fields.get("M", "")
        place = f" at {self.position}" if self.position else ""
        super().__init__(f"{self.message}{place} (SQLSTATE {self.state})")


class Connection:
    """A session over the simple query protocol."""

    def __init__(self, args, database):
        self.socket = socket.create_connection((args.host, args.port), timeout=60)
        self.file = self.socket.makefile("rb")
        startup = b"".join(word.encode() + b"\0" for word in ("user", args.user, "database", database)) + b"\0"
        self.socket.sendall(struct.pack("!ii", len(startup) + 8, 196608) + startup)
        self.until_ready()
        for setting in ("client_min_messages = error", "timezone = 'UTC'"):
            self.run("set " + setting)

    def message(self):
        head = self.file.read(5)
        if len(head) < 5:
            raise EOFError("the server closed the connection")
        length = struct.unpack("!i", head[1:])[0] - 4
        return head[:1], self.file.read(length)

    def until_ready(self):
        oids, rows, tag, error = None, [], "", None
        while True:
            kind, body = self.message()
            if kind == b"T":
                oids, offset = [], 2
                for _ in range(struct.unpack("!h", body[:2])[0]):
                    end = body.index(b"\0", offset)
                    oids.append(struct.unpack_from("!i", body, end + 7)[0])
                    offset = end + 19
            elif kind == b"D":
                row, offset = [], 2
                for _ in range(struct.unpack("!h", body[:2])[0]):
                    length = struct.unpack_from("!i", body, offset)[0]
                    offset += 4
                    row.append(None if length < 0 else body[offset:offset + length].decode())
                    offset += max(length, 0)
                rows.append(row)
            elif kind == b"C":
                tag = body[:-1].decode()
            elif kind == b"E":
                error = ServerError({field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field})
            elif kind == b"Z":
                if error:
                    raise error
                return oids, rows, tag

    def run(self, sql):
        """Answers (type oids or None, rows, command tag); raises ServerError."""
        body = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        return self.until_ready()

    def close(self):
        self.socket.close()


def show(value):
    """A value as the .slt files write it; the runner has the same rule."""
    if value is None:
        return "NULL"
    if value == "":
        return "(empty)"
    return value.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def sort_rows(rows, mode):
    if mode == "rowsort":
        return sorted(rows)
    if mode == "valuesort":
        return [[value] for value in sorted(value for row in rows for value in row)]
    return rows


class Record:
    """One record: its lines as they stand, what it runs, what it expects."""

    def __init__(self, lines, number):
        self.lines, self.number = lines, number
        self.connection, self.skipped = "default", False
        at = 0
        while lines[at].split()[0] in ("connection", "skipif", "onlyif"):
            word, label = lines[at].split()[:2]
            if word == "connection":
                self.connection = label
            else:
                self.skipped |= (label == "postgresql") == (word == "skipif")
            at += 1
        self.at = at
        self.head = lines[at].split()
        body = lines[at + 1:]
        cut = body.index("----") if "----" in body else len(body)
        self.sql, self.expected = "\n".join(body[:cut]), body[cut + 1:]

    def rendered(self, outcome, with_position):
        """The record's lines when the server gave `outcome`."""
        before, sql = self.lines[:self.at], self.sql.split("\n")
        if isinstance(outcome, ServerError):
            if with_position and outcome.position:
                head = f"statement error at {outcome.position} \\(SQLSTATE {outcome.state}\\)"
            else:
                head = f"statement error ({outcome.state})"
            return before + [head] + sql
        oids, rows, tag = outcome
        if oids is None:
            counted = re.fullmatch(r"(?:INSERT 0|UPDATE|DELETE|MERGE|COPY) (\d+)", tag)
            return before + [f"statement count {counted[1]}" if counted else "statement ok"] + sql
        modes = [word for word in self.head[2:] if word.endswith("sort")] if self.head[0] == "query" else []
        letters = "".join(TYPE_LETTERS.get(oid, "T" if oid >= 16384 or oid in (2249, 2287) else "?") for oid in oids) or "?"
        shown = sort_rows([[show(value) for value in row] for row in rows], modes[0] if modes else None)
        return before + [" ".join(["query", letters] + modes)] + sql + ["----"] + [" ".join(row).rstrip() for row in shown]


def records(lines):
    """Yields (first line number, lines) of every record; other lines are passed over."""
    at = 0
    while at < len(lines):
        words = lines[at].split()
        if words and words[0] in ("statement", "query", "connection", "skipif", "onlyif"):
            start = at
            while at < len(lines) and lines[at] != "":
                at += 1
            yield start, lines[start:at]
        else:
            at += 1


def run_file(args, path, number):
    text = path.read_text()
    lines = text.split("\n")
    if any("Orrery only" in line for line in lines[:5]):
        return 0, 0
    database = f"slt_{os.getpid()}_{number}"
    control = Connection(args, args.database)
    control.run(f"create database {database} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'")
    temp = pathlib.Path(tempfile.mkdtemp())
    temp.chmod(0o777)
    for file in path.parent.glob("*.csv"):
        shutil.copy(file, temp)
    connections, count, differing, replaced = {}, 0, 0, {}
    for start, record_lines in records(lines):
        record = Record(record_lines, start + 1)
        if record.skipped:
            continue
        if record.connection not in connections:
            connections[record.connection] = Connection(args, database)
        try:
            outcome = connections[record.connection].run(record.sql.replace("__TEMP__", str(temp)))
        except ServerError as error:
            outcome = error
        count += 1
        rendered = record.rendered(outcome, "errors" in path.parts)
        done = not isinstance(outcome, ServerError) and record.head[:2] == ["statement", "ok"]
        if rendered == record_lines or done:
            continue
        differing += 1
        replaced[start] = (len(record_lines), rendered)
        if not args.write:
            print(f"{path}:{start + 1}\n  expected: {' | '.join(record_lines)}\n  server:   {' | '.join(rendered)}")
            if isinstance(outcome, ServerError):
                print(f"  {outcome}")
    if args.write and replaced:
        out, at = [], 0
        while at < len(lines):
            length, new = replaced.get(at, (1, lines[at:at + 1]))
            out += new
            at += length
        path.write_text("\n".join(out))
    for connection in connections.values():
        connection.close()
    control.run(f"drop database {database} with (force)")
    control.close()
    shutil.rmtree(temp)
    return count, differing


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5432)
    parser.add_argument("--user", default="postgres")
    parser.add_argument("--database", default="postgres")
    parser.add_argument("--write", action="store_true", help="replace expected results by the server's")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    args = parser.parse_args()
    files = args.files or sorted((pathlib.Path(__file__).parent / "slt").rglob("*.slt"))
    total, differing = 0, 0
    for number, path in enumerate(files):
        count, bad = run_file(args, path, number)
        total, differing = total + count, differing + bad
    print(f"{len(files)} files, {total} records, {differing} {'rewritten' if args.write else 'differ'}")
    sys.exit(1 if differing and not args.write else 0)


if __name__ == "__main__":
    main()
