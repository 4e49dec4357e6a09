"""SQL text to the tables that it declares: read by a parser, never executed."""

import re
from dataclasses import dataclass, field, replace

from sqlglot import exp

from relscale.generation.domains import Domain
from relscale.generation.sql_statements import SqlProblem, parse_statements
from relscale.generation.sql_types import Rule, UnknownType, read_check, read_type
from relscale.platform.errors import ConfigError

DIALECTS = ("postgres", "mysql", "sqlite")
TABLE_NAME = r"\w[\w .$-]{0,99}"
"""Names of tables, after which files are named."""
MAX_LETTERS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlColumn:
    """A declared column."""

    name: str
    domain: Domain
    is_unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlKey:
    """A declared foreign key; parent_column is None where the parent's primary key is meant."""

    column: str
    parent: str
    parent_column: str | None
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTable:
    """A declared table, names as written; `line` is where its declaration begins."""

    name: str
    line: int
    columns: tuple[SqlColumn, ...]
    pkey: str | None
    fkeys: tuple[SqlKey, ...]


def parse_sql(text: str, *, composite_pkeys: bool = False) -> tuple[SqlTable, ...]:
    """The tables that a text in the SQL of PostgreSQL, MySQL or SQLite declares, in its order.

    CREATE TABLE, CREATE TYPE ... AS ENUM, and ALTER TABLE as far as it adds columns, keys and conditions
    count; every other statement is passed over. The dialect is the first that can read all of these.

    composite_pkeys : whether a table may have a primary key of several columns; it counts as having none.

    Raises
    ------
    ConfigError : the text cannot be read, says something that we cannot honour, or declares no table.
    """
    if len(text) > MAX_LETTERS:
        raise ConfigError(
            f"the SQL schema has {len(text):,} letters, more than {MAX_LETTERS:,}; leave the data out "
            "(pg_dump --schema-only, mysqldump --no-data)."
        )
    problems: list[tuple[int, int, str]] = []
    for dialect in DIALECTS:
        stage = 0
        try:
            statements = list(parse_statements(text, dialect))
            stage = 1
            return _Reader(statements, composite_pkeys=composite_pkeys).tables()
        except SqlProblem as problem:
            problems.append((stage, problem.line, str(problem)))
        except RecursionError:
            problems.append((stage, 1, "a condition or type is nested too deeply; simplify it"))
    _, line, reason = max(problems, key=lambda problem: problem[:2])  # the dialect that came furthest
    raise ConfigError(f"the SQL schema, line {line}: {' '.join(reason.split())}.")


@dataclass(slots=True)
class _Draft:
    """A table while its declarations are collected; columns by name in lower case."""

    name: str
    line: int
    columns: dict[str, SqlColumn] = field(default_factory=dict)
    rules: list[tuple[int, Rule]] = field(default_factory=list)
    pkey: str | None = None
    fkeys: dict[str, SqlKey] = field(default_factory=dict)

    def finished(self) -> SqlTable:
        if not self.columns:
            raise SqlProblem(self.line, f"table '{self.name}' has no columns; declare some")
        for line, rule in self.rules:
            column = self.columns.get(rule.column)
            if column is None:
                continue
            try:
                self.columns[rule.column] = replace(column, domain=rule.narrow(column.domain))
            except ValueError as error:
                raise SqlProblem(line, f"column '{self.name}.{column.name}': {error}") from None
        return SqlTable(
            name=self.name,
            line=self.line,
            columns=tuple(self.columns.values()),
            pkey=self.columns[self.pkey].name if self.pkey else None,
            fkeys=tuple(self.fkeys.values()),
        )


class _Reader:
    """Collects the tables of parsed statements."""

    def __init__(self, statements: list[tuple[int, exp.Expr]], *, composite_pkeys: bool) -> None:
        self.composite_pkeys = composite_pkeys
        self.drafts: dict[str, _Draft] = {}
        self.enums: dict[str, tuple[str, ...]] = {}
        for _, statement in statements:
            if isinstance(statement, exp.Create) and statement.kind == "TYPE":
                kind = statement.expression
                self.enums[statement.this.name.lower()] = tuple(label.name for label in kind.expressions)
        for line, statement in statements:
            if isinstance(statement, exp.Create) and statement.kind == "TABLE":
                self._create(line, statement)
        for line, statement in statements:
            if isinstance(statement, exp.Alter):
                self._alter(line, statement)

    def tables(self) -> tuple[SqlTable, ...]:
        if not self.drafts:
            raise SqlProblem(1, "there is no CREATE TABLE statement; give the SQL that declares the tables")
        return tuple(draft.finished() for draft in self.drafts.values())

    def _create(self, line: int, statement: exp.Create) -> None:
        assert isinstance(statement.this, exp.Schema)
        name = statement.this.this.name
        if not re.fullmatch(TABLE_NAME, name):
            raise SqlProblem(line, f"a table cannot be named '{name}', since files are named after it")
        if name.lower() in self.drafts:
            raise SqlProblem(line, f"table '{name}' is declared twice; leave one declaration")
        draft = self.drafts[name.lower()] = _Draft(name=name, line=line)
        for part in statement.this.expressions:
            self._declare(draft, line, part)

    def _alter(self, line: int, statement: exp.Alter) -> None:
        draft = self.drafts.get(statement.this.name.lower())
        for action in statement.args["actions"]:
            if isinstance(action, exp.AddConstraint | exp.ColumnDef):
                if draft is None:
                    raise SqlProblem(
                        line, f"ALTER TABLE names the table '{statement.this.name}', which is not declared"
                    )
                parts = action.expressions if isinstance(action, exp.AddConstraint) else [action]
                for part in parts:
                    self._declare(draft, line, part)
            elif isinstance(action, exp.AlterColumn) and draft and action.args.get("allow_null") is False:
                _not_null(draft, _column(draft, line, action.name))

    def _declare(self, draft: _Draft, line: int, part: exp.Expr) -> None:
        """One entry of a column list: a column, or a condition on the table."""
        line = next((node.meta["line"] for node in part.walk() if "line" in node.meta), line)
        match part:
            case exp.ColumnDef():
                self._declare_column(draft, line, part)
            case exp.Identifier():  # SQLite: a name without a type
                self._declare_column(draft, line, exp.ColumnDef(this=part))
            case exp.Constraint():
                for inner in part.expressions:
                    self._declare(draft, line, inner)
            case exp.PrimaryKey():
                names = [_name(e) for e in part.expressions]
                if len(names) > 1 and self.composite_pkeys:
                    for name in names:
                        _not_null(draft, _column(draft, line, name))
                else:
                    _set_pkey(draft, line, names)
            case exp.ForeignKey():
                _add_fkey(draft, line, [_name(e) for e in part.expressions], part.args.get("reference"))
            case exp.UniqueColumnConstraint():
                columns = part.this.expressions if isinstance(part.this, exp.Schema) else []
                if len(columns) == 1:
                    _set_unique(draft, _column(draft, line, _name(columns[0])))
            case exp.CheckColumnConstraint():
                draft.rules += [(line, rule) for rule in read_check(part.this)]
            case exp.LikeProperty():
                raise SqlProblem(line, f"table '{draft.name}' copies columns by LIKE; write them out")

    def _declare_column(self, draft: _Draft, line: int, part: exp.ColumnDef) -> None:
        name, key = _printable(line, part.name), part.name.lower()
        if key in draft.columns:
            raise SqlProblem(line, f"column '{draft.name}.{name}' is declared twice; leave one declaration")
        try:
            domain = read_type(part.args.get("kind"), self.enums)
        except UnknownType as error:
            raise SqlProblem(
                line,
                f"column '{draft.name}.{name}' is of {error}; use a type of PostgreSQL, MySQL or SQLite, or "
                "declare it by CREATE TYPE ... AS ENUM",
            ) from None
        draft.columns[key] = SqlColumn(name=name, domain=domain)
        for constraint in part.args.get("constraints") or []:
            match constraint.kind:
                case exp.PrimaryKeyColumnConstraint():
                    _set_pkey(draft, line, [name])
                case exp.NotNullColumnConstraint() if not constraint.kind.args.get("allow_null"):
                    _not_null(draft, key)
                case exp.UniqueColumnConstraint():
                    _set_unique(draft, key)
                case exp.Reference():
                    _add_fkey(draft, line, [name], constraint.kind)
                case exp.CheckColumnConstraint():
                    draft.rules += [(line, rule) for rule in read_check(constraint.kind.this)]


def _printable(line: int, name: str) -> str:
    if not name or not name.isprintable():
        raise SqlProblem(line, f"{name!r} cannot be a name; use printable letters")
    return name


def _name(e: exp.Expr) -> str:
    return e.this.name if isinstance(e, exp.Ordered) else e.name


def _column(draft: _Draft, line: int, name: str) -> str:
    """The key of a column that must exist."""
    if name.lower() not in draft.columns:
        raise SqlProblem(line, f"table '{draft.name}' has no column '{name}'; it has: {_names(draft)}")
    return name.lower()


def _names(draft: _Draft) -> str:
    return ", ".join(column.name for column in draft.columns.values())


def _not_null(draft: _Draft, key: str) -> None:
    column = draft.columns[key]
    draft.columns[key] = replace(column, domain=replace(column.domain, nullable=False))


def _set_unique(draft: _Draft, key: str) -> None:
    draft.columns[key] = replace(draft.columns[key], is_unique=True)


def _set_pkey(draft: _Draft, line: int, names: list[str]) -> None:
    if len(names) != 1:
        raise SqlProblem(
            line,
            f"table '{draft.name}' has the composite primary key ({', '.join(names)}); give it a key of one "
            "column, or none",
        )
    key = _column(draft, line, names[0])
    if draft.pkey not in (None, key):
        raise SqlProblem(line, f"table '{draft.name}' has two primary keys; leave one")
    draft.pkey = key
    _not_null(draft, key)
    _set_unique(draft, key)


def _add_fkey(draft: _Draft, line: int, names: list[str], reference: exp.Expr | None) -> None:
    if reference is None:
        raise SqlProblem(line, f"a foreign key of table '{draft.name}' refers to nothing; add REFERENCES")
    target = reference.this
    columns = [_name(e) for e in target.expressions] if isinstance(target, exp.Schema) else []
    if len(names) != 1 or len(columns) > 1:
        raise SqlProblem(
            line,
            f"table '{draft.name}' has the composite foreign key ({', '.join(names)}); split it into keys of "
            "one column",
        )
    key = _column(draft, line, names[0])
    parent = _printable(line, target.this.name if isinstance(target, exp.Schema) else target.name)
    new = SqlKey(
        column=draft.columns[key].name,
        parent=parent,
        parent_column=_printable(line, columns[0]) if columns else None,
        line=line,
    )
    old = draft.fkeys.setdefault(key, new)
    if old.parent.lower() != parent.lower():
        raise SqlProblem(
            line,
            f"column '{draft.name}.{new.column}' refers to both '{old.parent}' and '{parent}'; leave one",
        )
