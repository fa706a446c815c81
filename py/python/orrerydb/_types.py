"""Type objects of DB-API 2.0, and the one value that the standard library has no class for."""

from typing import NamedTuple


class Interval(NamedTuple):
    """An interval with months in it: three parts that do not convert into one another.

    Intervals without months are `datetime.timedelta`.

    >>> Interval(months=1, days=2, microseconds=0)
    Interval(months=1, days=2, microseconds=0)
    """

    months: int = 0
    days: int = 0
    microseconds: int = 0


class _TypeObject:
    """Equal to the names of the SQL types it stands for."""

    def __init__(self, name, *types):
        self._name = name
        self._types = frozenset(types)

    def __eq__(self, other):
        if isinstance(other, str):
            # Modifiers do not count: numeric(9,2) is numeric.
            return other.split("(")[0] in self._types
        return self is other

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self._name)

    def __repr__(self):
        return "orrerydb." + self._name


STRING = _TypeObject(
    "STRING", "text", "character varying", "character", "bpchar", "name", "unknown", "uuid", "boolean", "json", "jsonb"
)
BINARY = _TypeObject("BINARY", "bytea")
NUMBER = _TypeObject(
    "NUMBER", "smallint", "integer", "bigint", "real", "double precision", "numeric"
)
DATETIME = _TypeObject(
    "DATETIME",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "interval",
)
ROWID = _TypeObject("ROWID")
