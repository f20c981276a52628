/** Money is an integer number of nano-dollars (10⁻⁹ USD) in a bigint. No float ever holds money. */
export type Nanos = bigint

const DECIMAL = /^([+-]?)(\d{0,400})(?:\.(\d{0,400}))?(?:[eE]([+-]?\d{1,3}))?$/

/**
 * Reads a decimal text exactly and returns it in units of 10^-places, rounded half to even.
 * `9` places of a dollar are nano-dollars; `7` places of a cent are nano-dollars too.
 * @throws RangeError when the text is not a decimal number of at most 400 digits.
 */
export function parseDecimal(text: string, places: number): bigint {
  const match = DECIMAL.exec(text.trim())
  if (!match) throw new RangeError('not a decimal number')
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  if (whole + fraction === '') throw new RangeError('not a decimal number')
  const shift = places - fraction.length + Number(exponent)
  const digits = BigInt(whole + fraction)
  const magnitude =
    shift >= 0 ? digits * 10n ** BigInt(shift) : divideHalfEven(digits, 10n ** BigInt(-shift))
  return sign === '-' ? -magnitude : magnitude
}

/** Dollars as text or as a JSON number (read by its shortest exact text) to nano-dollars. */
export function nanosFromUsd(amount: string | number): Nanos {
  return parseDecimal(String(amount), 9)
}

/** Cents as text or as a JSON number to nano-dollars. */
export function nanosFromCents(amount: string | number): Nanos {
  return parseDecimal(String(amount), 7)
}

/** Nano-dollars as a decimal text in dollars with nine places: `12.345678901`. */
export function usdFromNanos(nanos: Nanos): string {
  const digits = (nanos < 0n ? -nanos : nanos).toString().padStart(10, '0')
  return `${nanos < 0n ? '-' : ''}${digits.slice(0, -9)}.${digits.slice(-9)}`
}

/** For people: `$1,234.57`, and more places for amounts under a cent. Takes nano-dollars, or dollars as text. */
export function formatUsd(amount: Nanos | string): string {
  const nanos = typeof amount === 'string' ? nanosFromUsd(amount) : amount
  const magnitude = nanos < 0n ? -nanos : nanos
  const places = magnitude !== 0n && magnitude < 10_000_000n ? 6 : 2
  const scaled = divideHalfEven(magnitude, 10n ** BigInt(9 - places))
  const digits = scaled.toString().padStart(places + 1, '0')
  const whole = digits.slice(0, -places).replace(/\B(?=(\d{3})+$)/g, ',')
  return `${nanos < 0n ? '-' : ''}$${whole}.${digits.slice(-places)}`
}

/** Quotient of non-negative integers, ties to the even neighbour. */
export function divideHalfEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator
  const twice = (numerator % denominator) * 2n
  if (twice > denominator || (twice === denominator && quotient % 2n === 1n)) return quotient + 1n
  return quotient
}
