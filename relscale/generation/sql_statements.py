"""SQL text to the parsed statements that declare tables; all others are passed over."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from relscale.platform.errors import ConfigError

TABLE_MODIFIERS = {"OR", "REPLACE", "TEMP", "TEMPORARY", "GLOBAL", "LOCAL", "UNLOGGED"}
PSQL_DATA = re.compile(r"^COPY [^;]*FROM stdin;\n.*?^\\\.$", re.MULTILINE | re.DOTALL | re.IGNORECASE)
PSQL_COMMAND = re.compile(r"^\\\w.*$", re.MULTILINE)


class SqlProblem(Exception):
    """Why a text cannot be read; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_sql_file(path: Path) -> str:
    """The text of a schema file; ConfigError if it cannot be read or is no text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"the SQL schema '{path}' cannot be read ({error.strerror}); check the path."
        ) from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ConfigError(
            f"the SQL schema '{path}' is not UTF-8 text; give a file of CREATE TABLE statements."
        )
    return text


def parse_statements(text: str, dialect: str) -> Iterator[tuple[int, exp.Expr]]:
    """CREATE TABLE, CREATE TYPE ... AS ENUM, and ALTER TABLE that adds something; with their first lines.

    Raises
    ------
    SqlProblem : one of these, or the text as a whole, is not SQL of this dialect.
    """
    parser = Dialect.get_or_raise(dialect).parser(error_level=ErrorLevel.IMMEDIATE)
    for tokens in _statements(text, dialect):
        line = tokens[0].line
        words = [token.text.upper() for token in tokens]
        if not _matters(words):
            continue
        if words[0] == "CREATE" and "TYPE" not in words[:2]:
            tokens = _until_options(tokens, words)
        try:
            with _quiet():
                (statement,) = parser.parse(tokens, text)
        except ParseError as error:
            first = error.errors[0]
            place, near = first["line"] or line, first["highlight"]
            raise SqlProblem(place, f"not understood near '{near}'; mend it there") from None
        except TokenError:  # a quoted part that is no SQL in itself
            raise SqlProblem(line, "this statement is not understood; mend its quotes") from None
        if isinstance(statement, exp.Command):
            if words[0] == "ALTER" and not {"FOREIGN", "PRIMARY", "CHECK", "COLUMN"} & set(words):
                continue
            shown = " ".join(words[:8])
            raise SqlProblem(line, f"'{shown} ...' is not understood; put it into CREATE TABLE")
        if statement is not None:
            yield line, statement


def _statements(text: str, dialect: str) -> Iterator[list[Token]]:
    """Tokens between semicolons; what psql reads as data or as its own commands is left out."""

    def blank(match: re.Match[str]) -> str:  # of the same length, since tokens know their place in the text
        return re.sub(r"[^\n]", " ", match[0])

    text = PSQL_COMMAND.sub(blank, PSQL_DATA.sub(blank, text))
    try:
        tokens = Dialect.get_or_raise(dialect).tokenize(text)
    except TokenError as error:
        place = re.search(r"from \d+:(\d+)", str(error.__cause__))
        line = text.count("\n", 0, int(place[1])) + 1 if place else 1
        raise SqlProblem(line, "a quote or comment that begins here never ends; close it") from None
    statement: list[Token] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            statement.append(token)
        elif statement:
            yield statement
            statement = []
    if statement:
        yield statement


def _matters(words: list[str]) -> bool:
    if words[0] == "ALTER":
        return words[1:2] == ["TABLE"] and bool({"ADD", "NULL"} & set(words))
    if words[0] != "CREATE":
        return False
    if words[1:2] == ["TYPE"]:
        return "ENUM" in words
    rest = [word for word in words[1:7] if word not in TABLE_MODIFIERS]
    return rest[:1] == ["TABLE"]


def _until_options(tokens: list[Token], words: list[str]) -> list[Token]:
    """CREATE TABLE up to the end of its list of columns: storage options say nothing about the rows."""
    at = words.index("TABLE") + 1
    at += 3 if words[at : at + 3] == ["IF", "NOT", "EXISTS"] else 0
    while words[at + 1 : at + 2] == ["."]:  # a name may have its schema before it
        at += 2
    name = tokens[at].text if at < len(tokens) else ""
    if words[at + 1 : at + 2] != ["("]:
        raise SqlProblem(tokens[0].line, f"table '{name}' does not list its columns; write them out")
    depth = 0
    for end in range(at + 1, len(tokens)):
        depth += {"(": 1, ")": -1}.get(words[end], 0) if tokens[end].token_type != TokenType.STRING else 0
        if depth == 0:
            if "INHERITS" in words[end:]:
                raise SqlProblem(tokens[end].line, f"table '{name}' inherits columns; write them out")
            return tokens[: end + 1]
    raise SqlProblem(tokens[0].line, f"the column list of table '{name}' never ends; close its bracket")


@contextmanager
def _quiet() -> Iterator[None]:
    """The parser logs what it passes over; we judge that ourselves."""
    logger = logging.getLogger("sqlglot")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
