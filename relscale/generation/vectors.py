"""The innermost loops of propagation, written for the machine's vector registers.

Left to the compiler, loops as short as an embedding cost several times the work that is in them.
"""

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from relscale.generation.networks import WIDTH
from relscale.platform.compiled import compiled
from relscale.platform.lanes import spread_over, transposed

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
"""Numbers that one register holds."""
OUTPUTS = 8
"""Units that `multiply` computes at once: their sums stay in registers over all inputs."""

_INT, _FLOAT = ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_TOGETHER = ("contract",)  # multiplication and addition in one instruction, where there is one


_generated: Any = intrinsic(prefer_literal=True)


@compiled
def multiply(weights: np.ndarray, start: int, n_in: int, n_out: int, x: np.ndarray, out: np.ndarray) -> None:
    """out[j] = sum over i of w[i, j] x[i] with the matrix w [n_in, n_out] from `start` on.

    x, out : float32 [units, lanes], lanes a multiple of 16.
    """
    paired = n_out // OUTPUTS * OUTPUTS
    for lane in range(0, x.shape[1], LANES):
        for j in range(0, paired, OUTPUTS):
            _multiply_units(weights, start, n_in, n_out, x, out, j, lane, OUTPUTS)
        for j in range(paired, n_out):
            _multiply_units(weights, start, n_in, n_out, x, out, j, lane, 1)


def _row_joiner(mode: str) -> Any:
    def typed(typing, total, row, table, place):  # type: ignore[no-untyped-def]
        return types.void(total, types.int64, table, types.int64), _joining(mode)

    return _generated(typed)


def _line_joiner(mode: str) -> Any:
    def typed(typing, total, row, table, place, slopes, line, x):  # type: ignore[no-untyped-def]
        integer = types.int64
        return types.void(total, integer, table, integer, slopes, integer, types.float32), _joining(mode)

    return _generated(typed)


def _joining(mode: str) -> Any:
    """Code that joins a row, or a line in x, to the total of a row."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: tuple[ir.Value, ...]) -> ir.Value:
        arrays = [
            context.make_array(signature.args[i])(context, builder, args[i]).data
            for i in range(0, len(args) - 1, 2)
        ]
        starts = [
            builder.gep(data, [builder.mul(args[2 * i + 1], _INT(WIDTH))]) for i, data in enumerate(arrays)
        ]
        x = spread_over(builder, args[-1], LANES) if len(arrays) == 3 else None
        for lane in range(0, WIDTH, LANES):
            places = [
                builder.bitcast(builder.gep(start, [_INT(lane)]), _VECTOR.as_pointer()) for start in starts
            ]
            term = builder.load(places[1], align=4)
            if x is not None:
                rise = builder.fmul(x, builder.load(places[2], align=4), flags=_TOGETHER)
                term = builder.fadd(term, rise, flags=_TOGETHER)
            builder.store(_join(builder, mode, builder.load(places[0], align=4), term), places[0], align=4)
        return context.get_dummy_value()

    return generate


def _join(builder: ir.IRBuilder, mode: str, total: ir.Value, term: ir.Value) -> ir.Value:
    if mode == "sum":
        return builder.fadd(total, term, flags=_TOGETHER)
    if mode == "max":
        return builder.select(builder.fcmp_ordered(">", term, total), term, total)
    return builder.fmul(total, term) if mode == "product" else term


add_row, raise_row, scale_row = (_row_joiner(mode) for mode in ("sum", "max", "product"))
"""(total, row, table, place): total[row] = sum, maximum or product of itself and table[place].

Arrays are float32 [.., WIDTH].
"""
add_line, raise_line, scale_line, put_line = (_line_joiner(mode) for mode in ("sum", "max", "product", "put"))
"""(total, row, table, place, slopes, line, x): the same with table[place] + x * slopes[line]; put sets it.

Arrays are float32 [.., WIDTH], x is float32.
"""


@_generated
def turn_rows(typing, rows, row, units, lane):  # type: ignore[no-untyped-def]
    """units[:, lane : lane + LANES] = rows[row : row + LANES].T, float32 [.., WIDTH] to [WIDTH, ..]."""
    return types.void(rows, types.int64, units, types.int64), _turn


def _turn(context: Any, builder: ir.IRBuilder, signature: Any, args: tuple[ir.Value, ...]) -> ir.Value:
    source, target = (context.make_array(signature.args[i])(context, builder, args[i]) for i in (0, 2))
    stride = cgutils.unpack_tuple(builder, target.shape)[1]
    for first in range(0, WIDTH, LANES):
        block = [
            builder.load(
                _at(builder, source.data, builder.add(args[1], _INT(i)), _INT(WIDTH), _INT(first)), align=4
            )
            for i in range(LANES)
        ]
        for i, unit in enumerate(transposed(builder, block)):
            builder.store(unit, _at(builder, target.data, _INT(first + i), stride, args[3]), align=4)
    return context.get_dummy_value()


@_generated
def _multiply_units(typing, w, start, n_in, n_out, x, out, unit, lane, n):  # type: ignore[no-untyped-def]
    """`n` units of `out` from `unit` on, LANES rows of them from `lane` on."""
    integers = (types.int64,) * 3
    return types.void(w, *integers, x, out, types.int64, types.int64, n), _multiply


def _multiply(context: Any, builder: ir.IRBuilder, signature: Any, args: tuple[ir.Value, ...]) -> ir.Value:
    weights, start, n_in, n_out, x, out, unit, lane, _ = args
    n_units = signature.args[-1].literal_value
    w, xs, outs = (
        context.make_array(kind)(context, builder, value)
        for kind, value in zip((signature.args[i] for i in (0, 4, 5)), (weights, x, out), strict=True)
    )
    stride = cgutils.unpack_tuple(builder, xs.shape)[1]
    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    sums = [cgutils.alloca_once_value(builder, zero) for _ in range(n_units)]
    for total in sums:
        builder.store(zero, total)
    with cgutils.for_range(builder, n_in) as loop:
        inputs = builder.load(_at(builder, xs.data, loop.index, stride, lane), align=4)
        row = builder.gep(w.data, [builder.add(start, builder.add(builder.mul(loop.index, n_out), unit))])
        for j, total in enumerate(sums):
            weight = spread_over(builder, builder.load(builder.gep(row, [_INT(j)])), LANES)
            product = builder.fmul(weight, inputs, flags=_TOGETHER)
            builder.store(builder.fadd(builder.load(total), product, flags=_TOGETHER), total)
    for j, total in enumerate(sums):
        place = _at(builder, outs.data, builder.add(unit, _INT(j)), stride, lane)
        builder.store(builder.load(total), place, align=4)
    return context.get_dummy_value()


def _at(builder: ir.IRBuilder, data: ir.Value, unit: ir.Value, stride: ir.Value, lane: ir.Value) -> ir.Value:
    """Where LANES rows of a unit begin."""
    place = builder.gep(data, [builder.add(builder.mul(unit, stride), lane)])
    return builder.bitcast(place, _VECTOR.as_pointer())
