"""Elementary functions in float32 for compiled loops, and counter-based random bits.

All are free of branches, so that a loop over them becomes vector instructions. Polynomials are least-squares
fits on Chebyshev nodes; those of tanh and erf are rational approximations, as in the Eigen library.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from relscale.platform.compiled import inlined


@intrinsic
def _as_int(typing, x):  # type: ignore[no-untyped-def]
    """The bits of a float32 as int32."""
    return types.int32(types.float32), lambda context, builder, _, args: builder.bitcast(
        args[0], ir.IntType(32)
    )


@intrinsic
def _as_float(typing, x):  # type: ignore[no-untyped-def]
    return types.float32(types.int32), lambda context, builder, _, args: builder.bitcast(
        args[0], ir.FloatType()
    )


@intrinsic
def _low_bits(typing, x):  # type: ignore[no-untyped-def]
    """The lower half of the bits of a float64 as int32."""

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        return builder.trunc(builder.bitcast(args[0], ir.IntType(64)), ir.IntType(32))

    return types.int32(types.float64), generate


F = np.float32
ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)
LOG2E, LN2_HIGH, LN2_LOW = F(1.44269504), F(0.693359375), F(-2.12194440e-4)
ROUND = F(12582912)  # adding 1.5 * 2**23 rounds to an integer and leaves it in the low bits
EXP = (F(0.5), F(0.1666666716), F(0.04166645556), F(0.008333297446), F(0.001393453451), F(1.990043092e-4))
LOG = (
    *(F(0.3333331048), F(-0.25), F(0.200022459), F(-0.1666851193), F(0.1421776265)),
    *(F(-0.1239644513), F(0.1189098954), F(-0.1172660515), F(0.06800912321)),
)
SINE = (F(-0.1666666716), F(0.008333331905), F(-1.984003757e-4), F(2.724394335e-6))
COSINE = (F(0.04166666791), F(-0.001388889272), F(2.480210605e-5), F(-2.743700236e-7))
TANH_OVER = (
    *(F(4.89352455891786e-3), F(6.37261928875436e-4), F(1.48572235717979e-5), F(5.12229709037114e-8)),
    *(F(-8.60467152213735e-11), F(2.00018790482477e-13), F(-2.76076847742355e-16)),
)
TANH_UNDER = (F(4.89352518554385e-3), F(2.26843463243900e-3), F(1.18534705686654e-4), F(1.19825839466702e-6))
ERF_OVER = (
    *(F(-1.60960333262415e-2), F(-2.95459980854025e-3), F(-7.34990630326855e-4), F(-5.69250639462346e-5)),
    *(F(-2.10102402082508e-6), F(2.77068142495902e-8), F(-2.72614225801306e-10)),
)
ERF_UNDER = (
    *(F(-1.42647390514189e-2), F(-7.37332916720468e-3), F(-1.68282697438203e-3), F(-2.13374055278905e-4)),
    F(-1.45660718464996e-5),
)
SHRINK = (F(1 / 3), F(-2 / 15), F(17 / 315), F(-62 / 2835), F(1382 / 155925))
CENTRE = (
    *(F(2.81022636e-8), F(3.43273939e-7), F(-3.5233877e-6), F(-4.39150654e-6), F(2.1858087e-4)),
    *(F(-1.25372503e-3), F(-4.17768164e-3), F(0.246640727), F(1.50140941)),
)
TAIL = (
    *(F(-2.00214257e-4), F(1.00950558e-4), F(1.34934322e-3), F(-3.67342844e-3), F(5.73950773e-3)),
    *(F(-7.6224613e-3), F(9.43887047e-3), F(1.00167406), F(2.83297682)),
)
SQRT_TWO = F(np.sqrt(2))
TWO_OVER_PI, HALF_PI = 2 / np.pi, np.pi / 2
HALF_PI_1, HALF_PI_2, HALF_PI_3 = F(1.5703125), F(4.837512969970703125e-4), F(7.54978995489188216e-8)
SMALL_ANGLE = F(8000)
ROUND_64 = 6755399441055744.0


@inlined
def bound(x: float, limit: float) -> float:
    return limit if x > limit else (-limit if x < -limit else x)


@inlined
def _power_of_two(x: float) -> tuple[float, float]:
    """2**n and exp(r) - 1 with exp(x) = 2**n exp(r), for the integer n nearest to x / log(2)."""
    x = F(-87) if x < F(-87) else (F(88) if x > F(88) else x)
    shifted = x * LOG2E + ROUND
    n = shifted - ROUND
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = EXP[0] + r * (EXP[1] + r * (EXP[2] + r * (EXP[3] + r * (EXP[4] + r * EXP[5]))))
    return _as_float((_as_int(shifted) + 127) << 23), r + r * r * p


@inlined
def expm1(x: float) -> float:
    power, rest = _power_of_two(x)
    return power * rest + (power - ONE)


@inlined
def exp(x: float) -> float:
    power, rest = _power_of_two(x)
    return power * (ONE + rest)


@inlined
def log1p(x: float) -> float:
    """log(1 + x) for x >= 0, with what rounding 1 + x loses put back."""
    y = ONE + x
    lost = (x - (y - ONE)) * (TWO - y if y < TWO else ZERO)  # 2 - y for 1 / y does: what is lost is small
    return _log(y, lost) if y < F(3e38) else y


@inlined
def log(y: float) -> float:
    """log(y) for a normal number y > 0."""
    return _log(y, ZERO)


@inlined
def _log(y: float, lost: float) -> float:
    """log(y) + lost for a normal number y > 0."""
    bits = _as_int(y)
    exponent = (bits - 0x3F3504F3) >> 23  # the fraction lies in [sqrt(1/2), sqrt(2))
    f = _as_float(bits - (exponent << 23)) - ONE
    p = LOG[5] + f * (LOG[6] + f * (LOG[7] + f * LOG[8]))
    p = LOG[0] + f * (LOG[1] + f * (LOG[2] + f * (LOG[3] + f * (LOG[4] + f * p))))
    n = F(exponent)
    return n * LN2_HIGH + (f + (n * LN2_LOW + (f * f * f * p - HALF * f * f) + lost))


@inlined
def tanh(x: float) -> float:
    x = bound(x, F(7.90531110763549805))
    z = x * x
    over = TANH_OVER[3] + z * (TANH_OVER[4] + z * (TANH_OVER[5] + z * TANH_OVER[6]))
    over = TANH_OVER[0] + z * (TANH_OVER[1] + z * (TANH_OVER[2] + z * over))
    return x * over / (TANH_UNDER[0] + z * (TANH_UNDER[1] + z * (TANH_UNDER[2] + z * TANH_UNDER[3])))


@inlined
def tanhshrink(x: float) -> float:
    """x - tanh(x), by its series near 0, where the difference would be rounding noise."""
    z = x * x
    series = x * z * (SHRINK[0] + z * (SHRINK[1] + z * (SHRINK[2] + z * (SHRINK[3] + z * SHRINK[4]))))
    return series if z < F(0.16) else x - tanh(x)


@inlined
def erf(x: float) -> float:
    x = bound(x, F(4))
    z = x * x
    over = ERF_OVER[3] + z * (ERF_OVER[4] + z * (ERF_OVER[5] + z * ERF_OVER[6]))
    over = ERF_OVER[0] + z * (ERF_OVER[1] + z * (ERF_OVER[2] + z * over))
    under = ERF_UNDER[1] + z * (ERF_UNDER[2] + z * (ERF_UNDER[3] + z * ERF_UNDER[4]))
    return x * over / (ERF_UNDER[0] + z * under)


@inlined
def sine(x: float, quarter: int) -> float:
    """sin(x + quarter * pi / 2) for |x| up to SMALL_ANGLE, to 2e-7."""
    shifted = x * F(TWO_OVER_PI) + ROUND
    n = shifted - ROUND
    return _turned(((x - n * HALF_PI_1) - n * HALF_PI_2) - n * HALF_PI_3, _as_int(shifted) + quarter)


@inlined
def far_sine(x: float, quarter: int) -> float:
    """The same for any |x| up to 1e9, by float64: hidden units of a million times a weight are possible."""
    shifted = x * TWO_OVER_PI + ROUND_64
    n = shifted - ROUND_64
    return _turned(F(x - n * HALF_PI), _low_bits(shifted) + quarter)


@inlined
def _turned(r: float, turn: int) -> float:
    """sin(r + turn * pi / 2) for |r| up to pi / 4."""
    z = r * r
    odd = r + r * z * (SINE[0] + z * (SINE[1] + z * (SINE[2] + z * SINE[3])))
    even = ONE - HALF * z + z * z * (COSINE[0] + z * (COSINE[1] + z * (COSINE[2] + z * COSINE[3])))
    value = even if turn & 1 else odd
    return -value if turn & 2 else value


@inlined
def sigmoid(x: float) -> float:
    return ONE / (ONE + exp(-x))


@inlined
def softplus(x: float) -> float:
    return (x if x > ZERO else ZERO) + log1p(exp(-abs(x)))


@inlined
def mish(x: float) -> float:
    """x tanh(softplus(x)), where tanh(log(1 + e)) is (e^2 + 2 e) / (e^2 + 2 e + 2)."""
    e = exp(x if x < F(20) else F(20))
    over = e * (e + TWO)
    return x * (over / (over + TWO))


@inlined
def elu(x: float) -> float:
    return x if x > ZERO else expm1(x)


@inlined
def random_bits(a: int, b: int, c: int, key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Four uint32 that belong to a counter (a, b, c, 0) of uint32: Philox 4x32 with 7 rounds.

    Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3; 7 rounds pass their batteries.
    """
    x0, x1, x2, x3 = a, b, c, np.uint32(0)
    k0, k1 = key
    for _ in range(7):
        left = np.uint64(x0) * np.uint64(0xD2511F53)
        right = np.uint64(x2) * np.uint64(0xCD9E8D57)
        x0 = np.uint32(np.uint32(right >> np.uint64(32)) ^ x1 ^ k0)
        x1 = np.uint32(right)
        x2 = np.uint32(np.uint32(left >> np.uint64(32)) ^ x3 ^ k1)
        x3 = np.uint32(left)
        k0 = np.uint32(k0 + np.uint32(0x9E3779B9))
        k1 = np.uint32(k1 + np.uint32(0xBB67AE85))
    return x0, x1, x2, x3


@inlined
def uniform(bits: int) -> float:
    """A float32 in (0, 1) from the upper 24 of 32 random bits."""
    return F(np.int32(bits >> np.uint32(8))) * F(2**-24) + F(2**-26)


@inlined
def normal_quantile(u: float) -> float:
    """The standard normal quantile at u in (0, 1).

    Source: Giles 2012, Approximating the erfinv function (single precision).
    """
    x = TWO * u - ONE
    w = -_log(F(4) * u * (ONE - u), ZERO)
    v = w - F(2.5)
    inner = CENTRE[0]
    for i in range(1, 9):
        inner = CENTRE[i] + inner * v
    v = np.sqrt(w) - F(3)
    outer = TAIL[0]
    for i in range(1, 9):
        outer = TAIL[i] + outer * v
    return SQRT_TWO * x * (inner if w < F(5) else outer)
