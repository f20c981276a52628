import type { ProxyKey } from '../keys/proxy-key.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { priceEvent } from '../ledger/record.ts'
import { formatUsd } from '../money.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Admitted } from './admit.ts'
import { withReading } from './job.ts'
import type { Tap } from './tap.ts'

/** No tokenizer's tokens of text are longer than this on average: what exceeds it is surely over. */
const TEXT_BYTES_PER_TOKEN_MAX = 8

/**
 * Whether an answer that runs has cost more than was held for it: possible only where a provider takes
 * no notice of the limit. For keys that clamp; null where there is nothing to watch.
 */
export function runningCheck(
  catalog: Catalog,
  { event, admitted, key }: { event: UsageEvent; admitted: Admitted; key: ProxyKey },
): ((tap: Tap) => string | null) | null {
  const { bound, hold_id } = admitted
  if (key.on_limit !== 'clamp' || hold_id === null || bound === null) return null
  const message = `The answer reached the ${formatUsd(bound.nanos)} that were held for it, and was cut.`
  return (tap) => {
    if (tap.textBytes() > bound.output_tokens * TEXT_BYTES_PER_TOKEN_MAX) return message
    const reading = tap.meter.reading()
    if (!reading || tap.meter.isFinal()) return null
    const cost = priceEvent(catalog, withReading(event, reading)).nanos
    return cost !== null && cost > bound.nanos ? message : null
  }
}
