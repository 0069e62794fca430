"""Tables that are asked for, not read: SQL through SQLAlchemy, and Python functions."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config import Source
from mlops.errors import ConfigError, MlopsError, OutsideError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine


def query(source: Source) -> tuple[pd.DataFrame, str]:
    """The rows of a SQL query, and the database's URL without its password.

    A database gives rows in any order unless it is told one, so without ORDER BY they are sorted here:
    the same content then gives the same snapshot.
    """
    import pandas as pd
    import sqlalchemy

    text = str(source.query)
    engine = _engine(source)
    origin = engine.url.render_as_string(hide_password=True)
    try:
        try:
            connection = engine.connect()
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise OutsideError(
                f"{origin} cannot be reached: {_first_line(error)}",
                next_step=f"check the database and the variable {source.url_env}",
            ) from error
        with connection:
            try:
                frame = pd.read_sql(sqlalchemy.text(text), connection)
            except (sqlalchemy.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
                raise ConfigError(
                    f"{origin} refuses the query: {_first_line(error)}",
                    next_step="mend the query of this source in [tool.mlops.sources]",
                ) from error
    finally:
        engine.dispose()
    if "order by" not in text.lower() and len(frame.columns):
        frame = frame.sort_values(
            list(frame.columns), key=lambda c: c.astype(str) if c.dtype == object else c, ignore_index=True
        )
    return frame, origin


def call(source: Source, *, name: str, root: Path) -> tuple[Any, str]:
    """What a Python function `module:function` of the project returns, and its name."""
    given = str(source.function)
    module_name, _, function_name = given.partition(":")
    where = f"source {name!r}: function = {given!r}"
    if not function_name:
        raise ConfigError(f"{where} names no function", next_step='write "package.module:function"')
    module = _module(module_name, where, root)
    function = getattr(module, function_name, None)
    if not callable(function):
        named = [n for n, value in vars(module).items() if inspect.isfunction(value)]
        raise ConfigError(
            f"{where}: {module_name} has no function {function_name!r}", next_step=nearest(function_name, named)
        )
    try:
        inspect.signature(function).bind(**source.arguments)
    except TypeError as error:
        raise ConfigError(
            f"{where} does not take these arguments: {error}", next_step="change arguments of this source"
        ) from None
    try:
        return function(**source.arguments), given
    except MlopsError:
        raise
    except Exception as error:  # whatever the user's function raises, its place is told
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise OutsideError(
            f"{given} raised {type(error).__name__}: {error} ({last.filename}:{last.lineno})",
            next_step="mend the function, then run again",
        ) from error


def _engine(source: Source) -> Engine:
    import sqlalchemy

    url = os.environ.get(source.url_env)
    if not url:
        raise ConfigError(
            f"the variable {source.url_env} with the database's URL is not set",
            next_step=f"export {source.url_env}=postgresql+psycopg://user:password@host/database",
        )
    try:
        engine = sqlalchemy.create_engine(url)
    except sqlalchemy.exc.ArgumentError:
        raise ConfigError(
            f"the variable {source.url_env} is not a database URL",
            next_step="write dialect+driver://user:password@host/database",
        ) from None
    except (sqlalchemy.exc.NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"the database of {source.url_env} has no driver here: {error}", next_step="pip install its driver"
        ) from None
    file = engine.url.database
    if (
        engine.dialect.name == "sqlite"
        and file
        and file != ":memory:"
        and not file.startswith("file:")
        and not Path(file).exists()
    ):
        # SQLite would create an empty database there, and then miss the table.
        raise OutsideError(f"there is no database {file}", next_step=f"check the variable {source.url_env}")
    return engine


def _module(name: str, where: str, root: Path) -> Any:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise OutsideError(
                f"{where}: {name} needs {error.name}, which is not installed", next_step=f"pip install {error.name}"
            ) from error
        modules = [p.relative_to(root).with_suffix("").as_posix().replace("/", ".") for p in root.glob("*/*.py")]
        raise ConfigError(f"{where}: there is no module {name!r} in {root}", next_step=nearest(name, modules)) from None


def _first_line(error: Exception) -> str:
    """The driver's own sentence; SQLAlchemy appends the statement and a link."""
    told = error.__cause__ or error
    return str(getattr(told, "orig", None) or told).partition("\n")[0]
