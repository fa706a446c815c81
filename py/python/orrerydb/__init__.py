"""Orrery: a SQL database in a file, in memory, in your process.

>>> import orrerydb
>>> con = orrerydb.connect()
>>> cur = con.execute("create table stock (id integer primary key, name text, price numeric(8,2))")
>>> cur = con.executemany("insert into stock values (?, ?, ?)", [(1, "lamp", "19.90"), (2, "desk", "120")])
>>> con.commit()
>>> con.execute("select name, price * 2 from stock where id = ?", (1,)).fetchall()
[('lamp', Decimal('39.80'))]

The module follows DB-API 2.0 (PEP 249). Results speak Arrow: `con.execute(...).df()`, `.pl()`, `.fetch_arrow_table()`,
or hand the cursor to anything that takes an Arrow stream.
"""

import datetime as _datetime

from ._orrerydb import (
    Connection,
    Cursor,
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    KeyValue,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
    __version__,
    connect,
)
from ._types import BINARY, DATETIME, NUMBER, ROWID, STRING, Interval

apilevel = "2.0"
threadsafety = 2
paramstyle = "qmark"

Binary = bytes
Date = _datetime.date
Time = _datetime.time
Timestamp = _datetime.datetime
DateFromTicks = _datetime.date.fromtimestamp
TimestampFromTicks = _datetime.datetime.fromtimestamp


def TimeFromTicks(ticks):
    """The time of day of a number of seconds since 1970."""
    return _datetime.datetime.fromtimestamp(ticks).time()


def dict_row(cursor, row):
    """A row factory: rows as dictionaries.

    >>> con = connect()
    >>> con.row_factory = dict_row
    >>> con.execute("select 1 as one, 'x' as letter").fetchone()
    {'one': 1, 'letter': 'x'}
    """
    return dict(zip((column[0] for column in cursor.description), row))


__all__ = [
    "BINARY",
    "Binary",
    "Connection",
    "Cursor",
    "DATETIME",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "Interval",
    "KeyValue",
    "NUMBER",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "ROWID",
    "STRING",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "dict_row",
    "paramstyle",
    "threadsafety",
]
