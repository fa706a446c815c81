"""A dialect for SQLAlchemy 2, as far as pandas' `read_sql` and `to_sql` need it: `create_engine("orrery:///shop.orrery")`.

Reflection knows columns and primary keys, not indexes and other constraints.
"""

import orrerydb
from sqlalchemy import exc, pool, types
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine.default import DefaultDialect


class OrreryDialect(PGDialect):
    """PostgreSQL's SQL over the DB-API module."""

    name = "orrery"
    driver = "orrerydb"
    default_paramstyle = "qmark"
    supports_statement_cache = True
    use_insertmanyvalues = False
    insert_executemany_returning = False
    supports_sane_rowcount = True
    supports_native_uuid = True

    @classmethod
    def import_dbapi(cls):
        return orrerydb

    @classmethod
    def get_pool_class(cls, url):
        # A file is opened once a process, so the one connection is shared.
        return pool.StaticPool

    def create_connect_args(self, url):
        return [url.database or ":memory:"], dict(url.query)

    def initialize(self, connection):
        self.server_version_info = (15, 0)
        self.default_schema_name = "public"

    def on_connect(self):
        return None

    def do_ping(self, dbapi_connection):
        dbapi_connection.execute("select 1").fetchall()
        return True

    def get_isolation_level(self, dbapi_connection):
        return dbapi_connection.show("default_transaction_isolation").upper()

    def _tables(self, connection):
        return connection.connection.dbapi_connection.describe()

    def has_table(self, connection, table_name, schema=None, **kw):
        return table_name in self._tables(connection)

    def get_table_names(self, connection, schema=None, **kw):
        return list(self._tables(connection))

    def get_columns(self, connection, table_name, schema=None, **kw):
        tables = self._tables(connection)
        if table_name not in tables:
            raise exc.NoSuchTableError(table_name)
        return [
            {"name": name, "type": _type(kind), "nullable": nullable, "default": default}
            for name, kind, nullable, default, _ in tables[table_name]
        ]

    def get_pk_constraint(self, connection, table_name, schema=None, **kw):
        columns = [column[0] for column in self._tables(connection)[table_name] if column[4]]
        return {"constrained_columns": columns, "name": None}

    def _none(self, connection, *names, **kw):
        return []

    get_foreign_keys = get_indexes = get_unique_constraints = get_check_constraints = _none
    get_view_names = get_materialized_view_names = get_temp_table_names = get_temp_view_names = _none
    get_schema_names = _none

    def get_table_comment(self, connection, table_name, schema=None, **kw):
        return {"text": None}

    def get_table_options(self, connection, table_name, schema=None, **kw):
        return {}

    get_multi_columns = DefaultDialect.get_multi_columns
    get_multi_pk_constraint = DefaultDialect.get_multi_pk_constraint
    get_multi_foreign_keys = DefaultDialect.get_multi_foreign_keys
    get_multi_indexes = DefaultDialect.get_multi_indexes
    get_multi_unique_constraints = DefaultDialect.get_multi_unique_constraints
    get_multi_check_constraints = DefaultDialect.get_multi_check_constraints
    get_multi_table_comment = DefaultDialect.get_multi_table_comment
    get_multi_table_options = DefaultDialect.get_multi_table_options


_TYPES = {
    "smallint": types.SMALLINT,
    "integer": types.INTEGER,
    "bigint": types.BIGINT,
    "real": types.REAL,
    "double precision": types.DOUBLE_PRECISION,
    "numeric": types.NUMERIC,
    "boolean": types.BOOLEAN,
    "bytea": types.LargeBinary,
    "date": types.DATE,
    "timestamp without time zone": types.TIMESTAMP,
    "timestamp with time zone": types.TIMESTAMP,
    "interval": types.Interval,
    "uuid": types.Uuid,
}


def _type(name):
    return _TYPES.get(name.split("(")[0], types.TEXT)()
