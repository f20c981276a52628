import fc from 'fast-check'

/** What can happen to budgets and holds. */
export type Step =
  | { do: 'admit'; gate: number; bounds: number[]; model: number; session: number }
  | { do: 'settle'; pick: number; percent: number; twice: boolean }
  | { do: 'lose'; pick: number }
  | { do: 'release'; pick: number }
  | { do: 'crash'; gate: number }
  | { do: 'heal' }
  | { do: 'limit'; budget: number; limit: number }
  | { do: 'wait'; minutes: number }

const small = fc.nat(9)
export const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('admit' as const),
        gate: fc.nat(1),
        bounds: fc.array(fc.nat(60), { minLength: 1, maxLength: 6 }),
        model: fc.nat(1),
        session: fc.nat(1),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('settle' as const),
        pick: small,
        percent: fc.nat(100),
        twice: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), pick: small }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('release' as const), pick: small }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const), gate: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('heal' as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('limit' as const),
        budget: small,
        limit: fc.nat(200),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('wait' as const),
        minutes: fc.constantFrom(0, 1, 9, 50, 58, 61, 600),
      }),
    },
  ),
  { minLength: 5, maxLength: 40 },
)
