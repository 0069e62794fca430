"""Sources of every kind, and what is said about those that are not sound tables."""

from __future__ import annotations

import gzip
import os
import sqlite3
import zipfile
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pytest

from mlops.adapters import sources
from mlops.config import Source
from mlops.errors import ConfigError, GateFailed, NothingToDo, OutsideError

PLAIN = "amount,channel,day\n1,web,2024-01-01\n2.5,shop,2024-01-02\n,web,2024-01-03\n"


def rows_of(root: Path, **settings) -> pa.Table:
    return sources.read(Source(**settings), name="sales", root=root).rows


def write(root: Path, text: str, name: str = "sales.csv", encoding: str = "utf-8") -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))
    return file


def refused(root: Path, kind: type[Exception] = GateFailed, **settings) -> str:
    with pytest.raises(kind) as caught:
        rows_of(root, path=settings.pop("path", "sales.csv"), **settings)
    assert caught.value.next_step
    return str(caught.value)


class TestSoundTables:
    def test_a_csv_has_numbers_text_and_gaps(self, tmp_path):
        write(tmp_path, PLAIN)
        rows = rows_of(tmp_path, path="sales.csv", timestamps={"day": ""})
        assert rows.schema.types == [pa.float64(), pa.string(), pa.timestamp("us")]
        assert rows["amount"].to_pylist() == [1.0, 2.5, None]

    @pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
    def test_the_delimiter_is_found_out(self, tmp_path, delimiter):
        write(tmp_path, f"a{delimiter}b\n1{delimiter}x y\n2{delimiter}z\n")
        assert rows_of(tmp_path, path="sales.csv").to_pydict() == {"a": [1, 2], "b": ["x y", "z"]}

    def test_commas_inside_text_do_not_mislead_the_delimiter(self, tmp_path):
        write(tmp_path, "a;note\n1;one, two, three\n2;four, five, six\n")
        assert rows_of(tmp_path, path="sales.csv")["note"].to_pylist() == ["one, two, three", "four, five, six"]

    @pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
    def test_a_compressed_file_reads_like_the_plain_one(self, tmp_path, ending):
        plain = rows_of(write(tmp_path, PLAIN).parent, path="sales.csv")
        module = __import__({"gz": "gzip", "bz2": "bz2", "xz": "lzma"}[ending])
        (tmp_path / f"sales.csv.{ending}").write_bytes(module.compress(PLAIN.encode()))
        assert rows_of(tmp_path, path=f"sales.csv.{ending}") == plain

    def test_a_zip_of_one_table_reads_and_one_of_two_is_refused(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "sales.zip", "w") as archive:
            archive.writestr("sales.csv", PLAIN)
        assert rows_of(tmp_path, path="sales.zip").num_rows == 3
        with zipfile.ZipFile(tmp_path / "sales.zip", "a") as archive:
            archive.writestr("other.csv", PLAIN)
        assert "sales.csv, other.csv" in refused(tmp_path, ConfigError, path="sales.zip")

    def test_a_decimal_comma_and_a_code_with_points(self, tmp_path):
        write(tmp_path, "price;code\n1,5;1.2.3\n-2,25;4.5.6\n")
        rows = rows_of(tmp_path, path="sales.csv", decimal=",")
        assert rows["price"].to_pylist() == [1.5, -2.25]
        assert rows["code"].to_pylist() == ["1.2.3", "4.5.6"]

    def test_a_byte_order_mark_is_no_part_of_the_first_name(self, tmp_path):
        write(tmp_path, PLAIN, encoding="utf-8-sig")
        for encoding in ("utf-8-sig", "utf-8"):
            assert rows_of(tmp_path, path="sales.csv", encoding=encoding).column_names[0] == "amount"

    @pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16"])
    def test_other_encodings_by_their_name(self, tmp_path, encoding):
        write(tmp_path, "town,n\nKöln,1\nMálaga,2\n", encoding=encoding)
        assert rows_of(tmp_path, path="sales.csv", encoding=encoding)["town"].to_pylist() == ["Köln", "Málaga"]

    def test_a_line_break_inside_quotes_is_text(self, tmp_path):
        write(tmp_path, 'a,note\n1,"first\nsecond"\n2,plain\n')
        assert rows_of(tmp_path, path="sales.csv")["note"].to_pylist() == ["first\nsecond", "plain"]

    def test_blanks_around_values_and_names_are_left_out(self, tmp_path):
        write(tmp_path, "age, class , n\n39, <=50K, 1\n50, NA, 2\n")
        rows = rows_of(tmp_path, path="sales.csv")
        assert rows.to_pydict() == {"age": [39, 50], "class": ["<=50K", None], "n": [1, 2]}

    def test_further_words_and_numbers_mean_missing(self, tmp_path):
        write(tmp_path, "co,kind\n-200,a\n-200.0,?\n1.5,-200\n")
        rows = rows_of(tmp_path, path="sales.csv", missing=(-200, "?"))
        assert rows.to_pydict() == {"co": [None, None, 1.5], "kind": ["a", None, None]}

    def test_whole_numbers_with_gaps_are_floats_and_long_ones_stay_exact(self, tmp_path):
        write(tmp_path, "n,card,hex\n1,12345678901234567890,0x1f\n,12345678901234567891,0x20\n")
        rows = rows_of(tmp_path, path="sales.csv")
        assert rows["n"].type == pa.float64()
        assert rows["card"].to_pylist() == ["12345678901234567890", "12345678901234567891"]
        assert rows["hex"].to_pylist() == ["0x1f", "0x20"]

    def test_truth_values(self, tmp_path):
        write(tmp_path, "a,b\nTrue,true\nFALSE,\n")
        assert rows_of(tmp_path, path="sales.csv").to_pydict() == {"a": [True, False], "b": [True, None]}

    def test_an_index_without_a_name_is_kept_as_index(self, tmp_path):
        write(tmp_path, '"date","x"\n"1","2015-02-04",23.1\n"2","2015-02-05",23.2\n')
        assert rows_of(tmp_path, path="sales.csv").column_names == ["index", "date", "x"]
        write(tmp_path, ",x\n0,1\n1,2\n")
        assert rows_of(tmp_path, path="sales.csv").column_names == ["index", "x"]

    def test_parquet_gives_the_same_rows_as_csv(self, tmp_path):
        write(tmp_path, PLAIN)
        settings = {"timestamps": {"day": ""}}
        frame = pd.read_csv(tmp_path / "sales.csv", parse_dates=["day"])
        frame.to_parquet(tmp_path / "sales.parquet")
        assert rows_of(tmp_path, path="sales.parquet") == rows_of(tmp_path, path="sales.csv", **settings)

    def test_offsets_from_utc_are_taken_off(self, tmp_path):
        write(tmp_path, "at,n\n2024-01-01T12:00:00+02:00,1\n2024-01-01T10:00:00Z,2\n")
        at = rows_of(tmp_path, path="sales.csv", timestamps={"at": ""})["at"].to_pylist()
        assert at[0] == at[1] == pd.Timestamp("2024-01-01 10:00").to_pydatetime()


class TestManyFiles:
    def test_a_folder_and_a_glob_are_read_in_the_order_of_names(self, tmp_path):
        for day in ("02", "01", "03"):
            write(tmp_path, f"n,word\n{day},x\n", f"days/{day}.csv")
        write(tmp_path, "", "days/.hidden.csv")
        write(tmp_path, "", "days/_SUCCESS")
        assert rows_of(tmp_path, path="days")["n"].to_pylist() == [1, 2, 3]
        assert rows_of(tmp_path, path="days/0[12].csv")["n"].to_pylist() == [1, 2]

    def test_types_are_those_of_all_files_together(self, tmp_path):
        write(tmp_path, "n,c\n1,1\n", "days/1.csv")
        write(tmp_path, "n,c\n1.5,A1\n", "days/2.csv")
        assert rows_of(tmp_path, path="days").to_pydict() == {"n": [1.0, 1.5], "c": ["1", "A1"]}

    def test_the_file_with_other_columns_is_named(self, tmp_path):
        for day in "123":
            write(tmp_path, "a,b\n1,2\n" if day != "2" else "a,c\n1,2\n", f"days/{day}.csv")
        message = refused(tmp_path, path="days")
        assert "days/2.csv lacks b and has c besides" in message

    def test_columns_in_another_order_are_the_same_columns(self, tmp_path):
        write(tmp_path, "a,b\n1,2\n", "days/1.csv")
        write(tmp_path, "b,a\n4,3\n", "days/2.csv")
        assert rows_of(tmp_path, path="days").to_pydict() == {"a": [1, 3], "b": [2, 4]}

    def test_an_empty_folder_is_nothing_to_do(self, tmp_path):
        (tmp_path / "days").mkdir()
        refused(tmp_path, NothingToDo, path="days")

    def test_a_fault_in_a_later_file_is_told_by_that_files_line(self, tmp_path):
        write(tmp_path, "n\n" + "1\n" * 300, "days/1.csv")
        write(tmp_path, "n\n2\nabc\n", "days/2.csv")
        assert "'abc' at days/2.csv:3" in refused(tmp_path, path="days")


class TestUrls:
    def test_a_file_url_and_a_memory_url(self, tmp_path):
        file = write(tmp_path, PLAIN)
        plain = rows_of(tmp_path, path="sales.csv")
        assert rows_of(tmp_path, path=file.as_uri()) == plain
        with fsspec.open("memory://lake/sales.csv", "w") as remote:
            remote.write(PLAIN)
        assert rows_of(tmp_path, path="memory://lake/sales.csv") == plain
        assert rows_of(tmp_path, path="memory://lake/*.csv") == plain
        assert not list((tmp_path / ".mlops/scratch").iterdir())

    def test_nothing_behind_a_url_is_a_failure_outside(self, tmp_path):
        assert "memory://lake/nothing.csv" in refused(tmp_path, OutsideError, path="memory://lake/nothing.csv")

    def test_an_unknown_protocol_is_a_mistake_of_ours(self, tmp_path):
        refused(tmp_path, ConfigError, path="nosuch://lake/sales.csv")


class TestSql:
    @pytest.fixture
    def database(self, tmp_path, monkeypatch):
        with sqlite3.connect(tmp_path / "sales.db") as connection:
            connection.execute("create table sales (n integer, kind text)")
            connection.executemany("insert into sales values (?, ?)", [(2, "b"), (1, "a"), (3, None)])
        monkeypatch.setenv("MLOPS_SQL_URL", f"sqlite:///{tmp_path / 'sales.db'}")
        return tmp_path

    def test_a_query_gives_its_rows_in_a_settled_order(self, database):
        rows = rows_of(database, query="select * from sales")
        assert rows.to_pydict() == {"n": [1, 2, 3], "kind": ["a", "b", None]}
        assert rows_of(database, query="select n from sales order by n desc")["n"].to_pylist() == [3, 2, 1]

    def test_no_variable_is_a_mistake_of_configuration(self, tmp_path, monkeypatch):
        monkeypatch.delenv("MLOPS_SQL_URL", raising=False)
        with pytest.raises(ConfigError, match="MLOPS_SQL_URL"):
            rows_of(tmp_path, query="select 1")

    def test_an_unreachable_database_is_a_failure_outside(self, database, monkeypatch):
        monkeypatch.setenv("MLOPS_SQL_URL", f"sqlite:///{database / 'gone.db'}")
        with pytest.raises(OutsideError, match=r"gone\.db"):
            rows_of(database, query="select 1")
        assert not (database / "gone.db").exists()

    def test_a_wrong_query_and_a_wrong_url_are_mistakes_of_configuration(self, database, monkeypatch):
        with pytest.raises(ConfigError, match="no such table"):
            rows_of(database, query="select * from nowhere")
        monkeypatch.setenv("MLOPS_SQL_URL", "what:ever:secret")
        with pytest.raises(ConfigError) as caught:
            rows_of(database, query="select 1")
        assert "secret" not in str(caught.value)

    def test_a_query_without_rows_is_nothing_to_do(self, database):
        with pytest.raises(NothingToDo):
            rows_of(database, query="select * from sales where n > 9")


class TestFunctions:
    @pytest.fixture
    def project(self, tmp_path, monkeypatch):
        (tmp_path / "feeds_of_a_test.py").write_text(
            "import pandas as pd\n"
            "def sales(n=2):\n    return pd.DataFrame({'n': range(n), 'kind': [f'k{i}' for i in range(n)]})\n"
            "def number():\n    return 7\n"
            "def broken():\n    raise KeyError('no such feed')\n"
            "def mixed():\n    return pd.DataFrame({'n': list(range(400)) + ['abc']})\n"
            "def twice():\n    return pd.DataFrame([[1, 2]], columns=['a', 'a'])\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        yield tmp_path
        import sys

        sys.modules.pop("feeds_of_a_test", None)

    def test_a_function_is_called_with_its_arguments(self, project):
        rows = rows_of(project, function="feeds_of_a_test:sales", arguments={"n": 3})
        assert rows.to_pydict() == {"n": [0, 1, 2], "kind": ["k0", "k1", "k2"]}

    @pytest.mark.parametrize(
        ("function", "kind", "said"),
        [
            ("feeds_of_a_test:sale", ConfigError, "did you mean 'sales'?"),
            ("feeds_of_a_test", ConfigError, "names no function"),
            ("feeds_of_nobody:sales", ConfigError, "no module 'feeds_of_nobody'"),
            ("feeds_of_a_test:number", GateFailed, "returned int"),
            ("feeds_of_a_test:broken", OutsideError, "feeds_of_a_test.py:7"),
            ("feeds_of_a_test:mixed", GateFailed, "'abc' at feeds_of_a_test:mixed, row 400"),
            ("feeds_of_a_test:twice", GateFailed, "twice: a"),
        ],
    )
    def test_a_function_that_cannot_serve_is_told_apart(self, project, function, kind, said):
        with pytest.raises(kind) as caught:
            rows_of(project, function=function)
        assert said in str(caught.value)

    def test_arguments_that_it_does_not_take_are_refused(self, project):
        with pytest.raises(ConfigError, match="'m'"):
            rows_of(project, function="feeds_of_a_test:sales", arguments={"m": 3})


class TestUnsoundTables:
    def test_a_row_too_long_and_a_row_too_short_are_named_by_line(self, tmp_path):
        write(tmp_path, "a,b\n1,2\n3,4,5\n6,7\n")
        assert "sales.csv:3 has 3 fields, but the header names 2: '3,4,5'" in refused(tmp_path)
        write(tmp_path, 'a,b\n1,"two\nlines"\n3\n4\n')
        message = refused(tmp_path)
        assert "sales.csv:4 has 1 fields, but the header names 2: '3'; 2 of 3 rows" in message

    def test_a_quote_that_never_ends_is_named_by_its_line(self, tmp_path):
        write(tmp_path, 'a,b\n1,2\n3,"4\n5,6\n7,8\n')
        assert "sales.csv:3" in refused(tmp_path)

    def test_a_wrong_encoding_is_named_by_byte_line_and_likely_encoding(self, tmp_path):
        write(tmp_path, "town,n\nBonn,1\nKöln,2\n", encoding="cp1252")
        message = refused(tmp_path)
        assert "sales.csv:3: byte 15 (0xf6) is not utf-8-sig; as cp1252 the line reads 'Köln,2'" in message
        assert 'encoding = "cp1252"' in message

    def test_a_wrong_encoding_far_into_the_file_is_found(self, tmp_path):
        body = "town,n\n" + "Bonn,1\n" * 200_000 + "Köln,2\n"
        write(tmp_path, body, encoding="latin-1")
        assert "sales.csv:200002: byte 1400008" in refused(tmp_path)

    def test_two_byte_text_is_recognised(self, tmp_path):
        write(tmp_path, PLAIN, encoding="utf-16")
        assert 'encoding = "utf-16"' in refused(tmp_path)
        write(tmp_path, PLAIN)
        assert 'encoding = "utf-8"' in refused(tmp_path, encoding="utf-16")

    def test_an_unknown_encoding_is_a_mistake_of_configuration(self, tmp_path):
        write(tmp_path, PLAIN)
        assert "'utf-9'" in refused(tmp_path, ConfigError, encoding="utf-9")

    @pytest.mark.parametrize("text", ["", "a,b\n", "\n\n"])
    def test_no_rows_are_nothing_to_do(self, tmp_path, text):
        write(tmp_path, text)
        refused(tmp_path, NothingToDo)

    def test_a_column_named_twice_is_told_with_its_places(self, tmp_path):
        write(tmp_path, "a,b,a\n1,2,3\n")
        assert "'a' is column 1 and 3" in refused(tmp_path)

    def test_a_word_among_numbers_is_named_with_line_and_remedy(self, tmp_path):
        write(tmp_path, "n,m\n" + "1,2\n" * 5000 + "abc,2\n" + "3,4\n" * 5000)
        message = refused(tmp_path)
        assert "column 'n' holds numbers in 10,000 rows and words in 1: 'abc' at sales.csv:5002" in message
        assert 'missing = ["abc"]' in message
        rows = rows_of(tmp_path, path="sales.csv", missing=("abc",))
        assert rows["n"].null_count == 1
        assert rows_of(tmp_path, path="sales.csv", text=("n",))["n"].type == pa.string()

    def test_codes_that_mostly_look_like_numbers_are_text(self, tmp_path):
        codes = [str(i) for i in range(2000)] + [f"C{i}" for i in range(40)]
        write(tmp_path, "invoice,n\n" + "".join(f"{c},1\n" for c in codes))
        assert rows_of(tmp_path, path="sales.csv")["invoice"].type == pa.string()

    def test_a_time_that_does_not_parse_is_named_by_line_value_and_form(self, tmp_path):
        write(tmp_path, "day,n\n1/31/2024,1\n31/1/2024,2\n")
        message = refused(tmp_path, timestamps={"day": "%m/%d/%Y"})
        assert "sales.csv:3: day = '31/1/2024' is not a time in the form %m/%d/%Y" in message
        assert "ISO 8601" in refused(tmp_path, timestamps={"day": ""})

    def test_settings_for_a_column_that_is_not_there_name_the_nearest(self, tmp_path):
        write(tmp_path, PLAIN)
        assert "did you mean 'day'?" in refused(tmp_path, ConfigError, timestamps={"days": ""})

    def test_a_missing_file_names_the_nearest(self, tmp_path):
        write(tmp_path, PLAIN)
        assert "did you mean 'sales.csv'?" in refused(tmp_path, ConfigError, path="sale.csv")
        assert "nothing called 'daten'" in refused(tmp_path, ConfigError, path="daten/sales.csv")
        assert "no file matches" in refused(tmp_path, ConfigError, path="*.parquet")

    def test_a_damaged_archive_and_a_false_parquet_are_failures_outside(self, tmp_path):
        (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(PLAIN.encode() * 100)[:-20])
        assert "cut.csv.gz" in refused(tmp_path, OutsideError, path="cut.csv.gz")
        write(tmp_path, PLAIN, "false.parquet")
        assert "cannot be read as Parquet" in refused(tmp_path, OutsideError, path="false.parquet")

    def test_lists_in_a_column_are_refused_by_its_name(self, tmp_path):
        pd.DataFrame({"vector": [[1, 2], [3]]}).to_parquet(tmp_path / "v.parquet")
        assert "column 'vector' holds list" in refused(tmp_path, path="v.parquet")


class TestChange:
    """Promise 15: data edited in the middle of a run is refused."""

    def test_a_file_that_changes_while_being_read_is_refused(self, tmp_path, monkeypatch):
        file = write(tmp_path, PLAIN)
        whole = sources.delimited.read_text

        def read_and_edit(path, shown, source):
            table = whole(path, shown, source)
            stat = file.stat()
            file.write_text(PLAIN.replace("2.5", "9.9"))
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # not even time and size tell
            return table

        monkeypatch.setattr(sources.delimited, "read_text", read_and_edit)
        assert "sales.csv changed while being read" in refused(tmp_path, OutsideError)

    def test_a_file_that_comes_while_a_folder_is_read_is_refused(self, tmp_path, monkeypatch):
        write(tmp_path, PLAIN, "days/1.csv")
        whole = sources.delimited.read_text

        def read_and_add(path, shown, source):
            write(tmp_path, PLAIN, "days/2.csv")
            return whole(path, shown, source)

        monkeypatch.setattr(sources.delimited, "read_text", read_and_add)
        assert "files came or went" in refused(tmp_path, OutsideError, path="days")


class TestFingerprint:
    def test_it_follows_content_and_settings_but_not_places(self, tmp_path):
        write(tmp_path, PLAIN)
        write(tmp_path, PLAIN, "elsewhere/copy.csv")
        first = sources.fingerprint(Source(path="sales.csv"), tmp_path)
        assert sources.fingerprint(Source(path="elsewhere/copy.csv", max_age="1d"), tmp_path) == first
        assert sources.fingerprint(Source(path="sales.csv", missing=(-1,)), tmp_path) != first
        write(tmp_path, PLAIN.replace("2.5", "9.9"))
        assert sources.fingerprint(Source(path="sales.csv"), tmp_path) != first

    def test_an_old_file_is_not_read_again(self, tmp_path):
        file = write(tmp_path, PLAIN)
        os.utime(file, (1, 1))
        first = sources.fingerprint(Source(path="sales.csv"), tmp_path)
        stat = file.stat()
        with file.open("r+b") as same_inode:
            same_inode.write(b"AMOUNT")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert sources.fingerprint(Source(path="sales.csv"), tmp_path) == first
        (tmp_path / ".mlops/digests.json").write_text("{ torn")
        assert sources.fingerprint(Source(path="sales.csv"), tmp_path) != first

    def test_only_reading_tells_about_queries_and_functions(self, tmp_path):
        assert sources.fingerprint(Source(query="select 1"), tmp_path) is None
        assert sources.fingerprint(Source(function="a:b"), tmp_path) is None

    def test_it_loads_neither_pandas_nor_pyarrow(self, tmp_path):
        import subprocess
        import sys

        write(tmp_path, PLAIN)
        code = (
            "import sys; from pathlib import Path; from mlops.adapters import sources; from mlops.config import Source;"
            "sources.fingerprint(Source(path='sales.csv'), Path('.'));"
            "sys.exit(bool({'pandas', 'pyarrow', 'fsspec', 'sqlalchemy'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
