"""What `pingti sql` lets through: queries, and a few statements that only describe, as Spark's own parser has them.

Every node of the parsed plan must be one that queries are made of, in subqueries and `WITH` too. What is not known to
be one is refused: DML, DDL, scripts, EXECUTE IMMEDIATE, TRANSFORM, and whatever a later Spark adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession

from jobs.runtime.executor_errors import told
from models.errors import PingtiError, SettingsError

_QUERY = frozenset({
    "Aggregate", "AsOfJoin", "Distinct", "Except", "Filter", "Generate", "GlobalLimit", "Intersect", "Join",
    "LateralJoin", "LocalLimit", "LocalRelation", "Offset", "OneRowRelation", "PipeOperator", "Pivot",
    "Project", "Range", "RebalancePartitions", "RelationTimeTravel", "Repartition", "RepartitionByExpression",
    "ResolvedInlineTable", "Sample", "Sort", "SubqueryAlias", "Union", "Unpivot", "UnresolvedHaving",
    "UnresolvedHint", "UnresolvedInlineTable", "UnresolvedRelation", "UnresolvedSubqueryColumnAliases",
    "UnresolvedTableValuedFunction", "UnresolvedTVFAliases", "UnresolvedWith", "Window", "WithWindowDefinition",
})  # fmt: skip
_DESCRIBING = frozenset(["DescribeColumn", "DescribeRelation", "ShowColumns", "ShowTables", "ShowViews"])
_HOLDING = {"ExplainCommand": "logicalPlan", "DescribeQueryCommand": "plan"}  # describe a statement that they hold
_CALLING_JAVA = ("reflect", "java_method", "try_reflect")


def check(spark: SparkSession, statement: str) -> None:
    """Refuse what is no query before any of it runs, and let the session forget the functions that call Java.

    Raises:
        SettingsError: It is none.
        ParseException: It is no SQL.
    """
    state = spark._jsparkSession.sessionState()
    try:
        plan = state.sqlParser().parsePlan(statement)
    except Py4JJavaError as error:  # pyspark does not know every error of scripts
        raise SettingsError(f"sql: {_refusal('a script')}") from error
    name = _name(plan)
    if name in _HOLDING:
        plan = getattr(plan, _HOLDING[name])()
    elif name in _DESCRIBING:
        return
    for node in _nodes(plan):
        if _name(node) not in _QUERY:
            raise SettingsError(f"sql: {_refusal(_name(node))}")
    jvm: Any = spark._jvm
    identifier, some = jvm.org.apache.spark.sql.catalyst.FunctionIdentifier, jvm.scala.Some
    for function in _CALLING_JAVA:
        state.functionRegistry().dropFunction(identifier(function, some("builtin"), some("system")))


def described(error: Exception, names: list[str]) -> PingtiError:
    """The error of a query in one line that holds no text of a table.

    Args:
        error: Spark's. What it says of the statement is the asker's own; what it says of a row is left out.
        names: The tables and views there are.
    """
    ours = told("sql", error)
    if ours is not None:
        return ours
    if isinstance(error, AnalysisException):  # parse errors are such too
        first = next(line for line in [*str(error).splitlines(), type(error).__name__] if line.strip())
        return SettingsError(f"sql: {first}; tables and views: {', '.join(names)}")
    if not isinstance(error, PySparkException):
        return SettingsError(
            f"sql: the query failed under way ({type(error).__name__}); ask for less of it, or mend it"
        )
    what = error.getCondition() or type(error).__name__
    where = "".join(f" at {context.fragment()}" for context in _contexts(error))
    return SettingsError(
        f"sql: {what}{where}: it does not hold for every row; leave such rows out, or use what gives null for them "
        "(try_cast, try_divide, get)"
    )


def _contexts(error: PySparkException) -> list[Any]:
    try:
        return list(error.getQueryContext())[:1]
    except (Py4JError, ValueError, NotImplementedError):
        return []


def _nodes(plan: Any) -> Iterator[Any]:
    """All nodes of a plan: of its children, of what it defines by WITH, and of the subqueries in its expressions."""
    yield plan
    below = [*_elements(plan.children()), *_elements(plan.subqueries())]
    if _name(plan) == "UnresolvedWith":
        below += _elements(plan.innerChildren())
    for one in below:
        yield from _nodes(one)


def _elements(sequence: Any) -> list[Any]:
    return [sequence.apply(at) for at in range(sequence.length())]


def _name(plan: Any) -> str:
    name: str = plan.getClass().getSimpleName()
    return name.rstrip("$")


def _refusal(what: str) -> str:
    return f"{what} is no query; only jobs write tables, ask with SELECT"
