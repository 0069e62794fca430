"""Tables as Parquet files whose bytes depend on the rows alone, so that equal tables have equal digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_IN_A_GROUP = 1 << 17


def parquet_of(table: pa.Table) -> bytes:
    """The table as Parquet without what differs between versions of pandas or between ways of reading."""
    import pyarrow as pa
    from pyarrow import parquet

    buffer = pa.BufferOutputStream()
    plain = _same_text(table).combine_chunks().replace_schema_metadata(None)
    parquet.write_table(plain, buffer, compression="zstd", store_schema=False, row_group_size=_ROWS_IN_A_GROUP)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def _same_text(table: pa.Table) -> pa.Table:
    """Text as `string`: pandas 3 hands it over as `large_string`."""
    import pyarrow as pa

    fields = [field.with_type(pa.string()) if field.type == pa.large_string() else field for field in table.schema]
    return table.cast(pa.schema(fields))
