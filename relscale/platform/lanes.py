"""Lanes: sixteen float32 numbers at once, as a value of compiled functions.

Short loops that are left to the compiler cost several times the work in them. What is written with these
becomes one instruction of AVX-512, two of AVX2 or four of NEON.

Arrays are float32 and contiguous; a place is an index into the flattened array.
"""

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

LANES = 16

_INT32, _FLOAT = ir.IntType(32), ir.FloatType()
_VECTOR, _INTEGERS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT32, LANES)
_TOGETHER = ("contract",)  # multiplication and addition in one instruction, where there is one
_LEAST, _MOST = -126.0, 127.0
"""Exponents of the normal powers of two of float32."""
_EXPONENT, _MANTISSA_BITS = 127, 23
"""How float32 stores them."""

_Code = Callable[[ir.IRBuilder, Any], Any]


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


_lanes = _LanesType()
_generated: Any = intrinsic


@_generated
def load(typing, array, place):  # type: ignore[no-untyped-def]
    """The lanes array[place : place + 16]."""
    return _lanes(array, types.int64), _at_place(lambda builder, at, _: builder.load(at, align=4))


@_generated
def store(typing, array, place, value):  # type: ignore[no-untyped-def]
    """array[place : place + 16] = value."""
    return types.void(array, types.int64, _lanes), _at_place(
        lambda builder, at, rest: builder.store(rest[0], at, align=4)
    )


@_generated
def turn(typing, rows, place, stride):  # type: ignore[no-untyped-def]
    """Transpose, in place, the square whose 16 rows of 16 begin `stride` apart, from rows[place] on."""

    def code(builder: ir.IRBuilder, first: ir.Value, rest: Any) -> None:
        places = [
            builder.bitcast(builder.gep(first, [builder.mul(rest[0], rest[0].type(i))]), _VECTOR.as_pointer())
            for i in range(LANES)
        ]
        block = [builder.load(place, align=4) for place in places]
        for place, row in zip(places, transposed(builder, block), strict=True):
            builder.store(row, place, align=4)

    return types.void(rows, types.int64, types.int64), _at_place(code, scalar=True)


@_generated
def spread(typing, number):  # type: ignore[no-untyped-def]
    """A number in all lanes."""
    return _lanes(types.float32), _plain(lambda builder, args: spread_over(builder, args[0]))


@_generated
def add(typing, a, b):  # type: ignore[no-untyped-def]
    """a + b."""
    return _lanes(a, b), _plain(lambda builder, args: builder.fadd(*args, flags=_TOGETHER))


@_generated
def subtract(typing, a, b):  # type: ignore[no-untyped-def]
    """a - b."""
    return _lanes(a, b), _plain(lambda builder, args: builder.fsub(*args, flags=_TOGETHER))


@_generated
def multiply(typing, a, b):  # type: ignore[no-untyped-def]
    """a * b."""
    return _lanes(a, b), _plain(lambda builder, args: builder.fmul(*args, flags=_TOGETHER))


@_generated
def divide(typing, a, b):  # type: ignore[no-untyped-def]
    """a / b."""
    return _lanes(a, b), _plain(lambda builder, args: builder.fdiv(*args))


@_generated
def add_product(typing, total, a, b):  # type: ignore[no-untyped-def]
    """total + a * b."""

    def code(builder: ir.IRBuilder, args: Any) -> ir.Value:
        return builder.fadd(args[0], builder.fmul(*args[1:], flags=_TOGETHER), flags=_TOGETHER)

    return _lanes(total, a, b), _plain(code)


@_generated
def greater(typing, a, b):  # type: ignore[no-untyped-def]
    """The greater of both, lane by lane."""
    return _lanes(a, b), _plain(lambda builder, args: _greater(builder, *args))


@_generated
def first(typing, n, value, other):  # type: ignore[no-untyped-def]
    """`value` in the first n lanes, `other` in the rest."""

    def code(builder: ir.IRBuilder, args: Any) -> ir.Value:
        number = ir.Constant(_INTEGERS, list(range(LANES)))
        limit = spread_over(builder, builder.trunc(args[0], _INT32))
        return builder.select(builder.icmp_signed("<", number, limit), args[1], args[2])

    return _lanes(types.int64, value, other), _plain(code)


@_generated
def total(typing, value):  # type: ignore[no-untyped-def]
    """Sum of the lanes, float32."""
    return types.float32(value), _plain(
        lambda builder, args: _across(builder, "fadd", [_FLOAT(0.0), args[0]], ("reassoc",))
    )


@_generated
def greatest(typing, value):  # type: ignore[no-untyped-def]
    """Greatest lane, float32."""
    return types.float32(value), _plain(
        lambda builder, args: _across(builder, "fmax", [args[0]], ("nnan", "nsz"))
    )


@_generated
def exp2(typing, x):  # type: ignore[no-untyped-def]
    """2^x to 2e-7 of itself, x first brought within -126 and 127."""

    def code(builder: ir.IRBuilder, args: Any) -> ir.Value:
        number = _greater(builder, args[0], ir.Constant(_VECTOR, [_LEAST] * LANES))
        most = ir.Constant(_VECTOR, [_MOST] * LANES)
        number = builder.select(builder.fcmp_ordered("<", number, most), number, most)
        rint = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.rint.v{LANES}f32"
        )
        whole = builder.call(rint, [number])
        rest = builder.fsub(number, whole)
        power = ir.Constant(_VECTOR, [0.0] * LANES)
        for k in range(7, -1, -1):  # Taylor's series of 2^rest, |rest| <= 1/2
            term = ir.Constant(_VECTOR, [math.log(2) ** k / math.factorial(k)] * LANES)
            power = builder.fadd(builder.fmul(power, rest, flags=_TOGETHER), term, flags=_TOGETHER)
        exponent = builder.add(builder.fptosi(whole, _INTEGERS), ir.Constant(_INTEGERS, [_EXPONENT] * LANES))
        scale = builder.shl(exponent, ir.Constant(_INTEGERS, [_MANTISSA_BITS] * LANES))
        return builder.fmul(power, builder.bitcast(scale, _VECTOR))

    return _lanes(x), _plain(code)


def _plain(code: _Code) -> Any:
    return lambda context, builder, signature, args: code(builder, args)


def _at_place(code: Callable[..., Any], *, scalar: bool = False) -> Any:
    """Code that gets the address of array[place]; `scalar` leaves it an address of one number."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: tuple[Any, ...]) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        at = builder.gep(data, [args[1]])
        result = code(builder, at if scalar else builder.bitcast(at, _VECTOR.as_pointer()), args[2:])
        return context.get_dummy_value() if signature.return_type == types.void else result

    return generate


def spread_over(builder: ir.IRBuilder, number: ir.Value, n: int = LANES) -> ir.Value:
    """Code for a vector of `n` times a number."""
    kind = ir.VectorType(number.type, n)
    unknown = ir.Constant(kind, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_INT32, n), [0] * n)
    return builder.shuffle_vector(builder.insert_element(unknown, number, _INT32(0)), unknown, zeros)


def _greater(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _across(builder: ir.IRBuilder, name: str, values: list[ir.Value], flags: tuple[str, ...]) -> ir.Value:
    kind = ir.FunctionType(_FLOAT, [value.type for value in values])
    reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.{name}.v{LANES}f32")
    return builder.call(reduce, values, fastmath=flags)


def transposed(builder: ir.IRBuilder, block: list[ir.Value]) -> list[ir.Value]:
    """Code for the transpose of a square of registers, as many as each has lanes, a power of two.

    Pairs of rows exchange half of their lanes, at growing distance.
    """
    n, step = len(block), 1
    while step < n:
        lower = [i if not i & step else n + i - step for i in range(n)]
        upper = [i + step if not i & step else n + i for i in range(n)]
        result = list(block)
        for i in range(n):
            if not i & step:
                for place, order in ((i, lower), (i + step, upper)):
                    mask = ir.Constant(ir.VectorType(_INT32, n), order)
                    result[place] = builder.shuffle_vector(block[i], block[i + step], mask)
        block, step = result, 2 * step
    return block
