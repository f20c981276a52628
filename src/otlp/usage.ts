import { countedUsage, type ToldCounts, type Usage } from '../usage.ts'
import { findCount, type Item } from './attributes.ts'
import type { UsageNames } from './clients/client.ts'

/** Why an item that should tell of a request does not. */
export type Malformed = { readonly malformed: string }

/** One request's counts in disjoint classes. */
export function readUsage(item: Item, names: UsageNames): Usage | Malformed {
  const counts: ToldCounts = {
    input: findCount(item, names.input),
    uncached_input: findCount(item, names.uncached_input),
    other_input: findCount(item, names.other_input),
    cache_read: findCount(item, names.cache_read),
    cache_write: findCount(item, names.cache_write),
    output: findCount(item, names.output),
    reasoning: findCount(item, names.reasoning),
    input_audio: findCount(item, names.input_audio),
    output_audio: findCount(item, names.output_audio),
  }
  const bad = Object.entries(counts).find(([, count]) => Number.isNaN(count))
  if (bad) return { malformed: `${bad[0]} is no count of tokens` }
  const { input, uncached_input, output } = counts
  return input === undefined && uncached_input === undefined && output === undefined
    ? { malformed: 'no counts of tokens' }
    : countedUsage(counts, names)
}
