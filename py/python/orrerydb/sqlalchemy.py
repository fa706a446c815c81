"""A dialect for SQLAlchemy 2, as far as pandas' `read_sql` and `to_sql` need it: `create_engine("orrery:///shop.orrery")`.

Reflection of existing tables is not there.
"""

import orrerydb
from sqlalchemy import pool
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect


class _Compiler(PGCompiler):
    def visit_cast(self, cast, **kw):
        return "CAST(%s AS %s)" % (
            cast.clause._compiler_dispatch(self, **kw),
            cast.typeclause._compiler_dispatch(self, **kw),
        )


class OrreryDialect(PGDialect):
    """PostgreSQL's SQL over the DB-API module."""

    name = "orrery"
    driver = "orrerydb"
    default_paramstyle = "qmark"
    statement_compiler = _Compiler
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

    def has_table(self, connection, table_name, schema=None, **kw):
        cursor = connection.connection.dbapi_connection.cursor()
        try:
            cursor.execute('select * from "%s" limit 0' % table_name.replace('"', '""'))
        except orrerydb.ProgrammingError as error:
            if error.sqlstate != "42P01":
                raise
            connection.connection.dbapi_connection.rollback()
            return False
        return True
