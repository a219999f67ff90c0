"""Types of columns that mean the same on SQLite, MySQL and MariaDB."""

from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, String, TypeDecorator
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

_MYSQL = ("mysql", "mariadb")


class _Exact(TypeDecorator[str]):
    # Bytes on MySQL: its texts are the same when they differ in spaces at the end only, and cannot be compared with every text.
    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind: TypeEngine[Any] = (mysql.VARBINARY if dialect.name in _MYSQL else String)(self.length)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return value.encode() if value is not None and dialect.name in _MYSQL else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return value.decode() if isinstance(value, bytes) else value


def key_text(length: int) -> TypeEngine[str]:
    """ASCII that is compared byte by byte: ids, names, keys. Any text may be looked up."""
    return _Exact(length)


def free_text(length: int) -> TypeEngine[str]:
    """Any text of up to `length` characters, compared byte by byte."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, *_MYSQL)


def fixed_bytes(length: int) -> TypeEngine[bytes]:
    """Exactly so many bytes; may be a key."""
    return LargeBinary(length).with_variant(mysql.BINARY(length), *_MYSQL)


def blob() -> TypeEngine[bytes]:
    """Bytes, up to 16 MB."""
    return LargeBinary().with_variant(mysql.MEDIUMBLOB(), *_MYSQL)


def counted_id() -> TypeEngine[int]:
    """For an `autoincrement` primary key. The table says `sqlite_autoincrement=True`: a number is never used twice."""
    return BigInteger().with_variant(Integer(), "sqlite")
