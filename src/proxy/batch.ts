import { setImmediate } from 'node:timers/promises'
import type { BatchFile } from '../ledger/batch-file.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { BatchRequest, Surface } from '../providers/wire.ts'
import { type Bound, boundRequest, ruleIds } from './bound.ts'
import { findDuplicateAnywhere } from './json-bytes.ts'

/** Where and when a batch is to be done. */
export type BatchPlace = {
  readonly provider: string
  readonly at: number
  readonly limitsOf: Surface['limitsOf']
}

/** After so many requests of a large batch others get their turn. */
const SLICE = 200
const NOTHING: Bound = {
  nanos: 0n,
  input_tokens: 0,
  output_tokens: 0,
  fixed_picos: 0n,
  picos_per_cap_token: 0n,
}

/** The most that the requests of a batch can cost together; null where one has no bound, or another model. */
export async function boundBatch(
  catalog: Catalog,
  requests: Iterable<BatchRequest | null>,
  { provider, at, limitsOf }: BatchPlace,
): Promise<{ model: string; bound: Bound } | null> {
  let sum = NOTHING
  let model: string | null = null
  let count = 0
  for (const one of requests) {
    if (++count % SLICE === 0) await setImmediate()
    if (!one || one.ask.model === null || one.ask.model !== (model ?? one.ask.model)) return null
    if (one.bytes && findDuplicateAnywhere(one.bytes) !== undefined) return null
    model = one.ask.model
    const limits = limitsOf(model)
    const bound = boundRequest(catalog, { ...one, provider, model, at, limits })
    if (!bound) return null
    sum = {
      ...NOTHING,
      nanos: sum.nanos + bound.nanos,
      input_tokens: sum.input_tokens + bound.input_tokens,
      output_tokens: sum.output_tokens + bound.output_tokens,
    }
  }
  return model === null ? null : { model, bound: sum }
}

/** What is to be known of an uploaded file when a batch of it is made; null for what is no such file. */
export async function readBatchFile(
  catalog: Catalog,
  lines: Iterable<BatchRequest | null>,
  place: BatchPlace,
): Promise<Omit<BatchFile, 'file_id'> | null> {
  const known = await boundBatch(catalog, lines, place)
  if (!known) return null
  const { provider, at } = place
  const { model, bound } = known
  return {
    provider,
    model,
    bound_nanos: bound.nanos,
    input_tokens: bound.input_tokens,
    output_tokens: bound.output_tokens,
    price_rules: ruleIds(catalog, { provider, model, at }),
  }
}

/** The bound of a file that was read at its upload; null where prices are others since. */
export function boundOfFile(catalog: Catalog, file: BatchFile, at: number): Bound | null {
  const { provider, model, bound_nanos, input_tokens, output_tokens, price_rules } = file
  if (ruleIds(catalog, { provider, model, at }) !== price_rules) return null
  return { ...NOTHING, nanos: bound_nanos, input_tokens, output_tokens }
}
