//! e^x to the last bit, in nearly all cases: libm's own is off by one there too often to show 17 digits of it (`exp(1)`).
//!
//! Numbers are pairs of doubles, a head and a tail of about 106 bits together (Dekker's arithmetic). Only sums, products
//! and scaling by powers of two of IEEE doubles are used, so the bits are the same on every platform.

/// A head and a tail of at most half a unit in the head's last place.
#[derive(Clone, Copy)]
struct Pair(f64, f64);

/// The exact sum of two doubles.
fn sum(a: f64, b: f64) -> Pair {
    let head = a + b;
    let part = head - a;
    Pair(head, (a - (head - part)) + (b - part))
}

/// The exact product of two doubles of moderate size.
fn product(a: f64, b: f64) -> Pair {
    let split = |value: f64| {
        let scaled = 134_217_729.0 * value;
        let high = scaled - (scaled - value);
        (high, value - high)
    };
    let head = a * b;
    let ((a_high, a_low), (b_high, b_low)) = (split(a), split(b));
    Pair(head, ((a_high * b_high - head) + a_high * b_low + a_low * b_high) + a_low * b_low)
}

fn add(a: Pair, b: Pair) -> Pair {
    let Pair(head, tail) = sum(a.0, b.0);
    sum(head, tail + a.1 + b.1)
}

fn multiply(a: Pair, b: Pair) -> Pair {
    let Pair(head, tail) = product(a.0, b.0);
    sum(head, tail + (a.0 * b.1 + a.1 * b.0))
}

fn divide(a: Pair, divisor: f64) -> Pair {
    let quotient = a.0 / divisor;
    let Pair(back, rest) = product(quotient, divisor);
    sum(quotient, (((a.0 - back) - rest) + a.1) / divisor)
}

/// See the file's head.
pub fn exp(value: f64) -> f64 {
    // ln 2 in two parts; the first has 21 zeros at its end, so that its multiples are exact.
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if !(1e-20..700.0).contains(&value.abs()) {
        return libm::exp(value);
    }
    let twos = libm::round(value * std::f64::consts::LOG2_E);
    let rest = add(sum(value - twos * LN_2_HIGH, 0.0), {
        let Pair(head, tail) = product(twos, LN_2_LOW);
        Pair(-head, -tail)
    });
    // e^r = (e^(r/16))^16, and r/16 is below 0.022: eleven terms of the series are beyond 106 bits.
    let small = Pair(rest.0 / 16.0, rest.1 / 16.0);
    let (mut total, mut term) = (Pair(1.0, 0.0), Pair(1.0, 0.0));
    for index in 1..=13 {
        term = divide(multiply(term, small), f64::from(index));
        total = add(total, term);
    }
    for _ in 0..4 {
        total = multiply(total, total);
    }
    libm::scalbn(total.0 + total.1, twos as i32)
}

#[cfg(test)]
mod tests {
    use super::exp;

    /// Rounded from values of 40 digits.
    #[test]
    fn the_last_bit() {
        let cases = [
            (1.0, std::f64::consts::E),
            (2.0, 7.38905609893065),
            (-1.0, 0.36787944117144233),
            (0.5, 1.6487212707001282),
            (10.0, 22026.465794806718),
            (100.0, 2.6881171418161356e43),
            (-100.0, 3.720075976020836e-44),
            (699.0, 3.7311512151407716e303),
            (1e-10, 1.0000000001),
            (0.0, 1.0),
        ];
        for (value, expected) in cases {
            assert_eq!(exp(value), expected, "exp({value})");
        }
        assert!(exp(f64::NAN).is_nan());
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
    }
}
