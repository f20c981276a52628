import * as z from 'zod'
import { contractError } from '../pages.ts'
import type { Query, Range } from '../provider.ts'
import type { Repeats } from '../rows.ts'

export const ID = 'openai'

const Envelope = z.object({
  data: z.array(z.unknown()),
  has_more: z.boolean().optional(),
  next_page: z.string().nullish(),
})

/** Some published descriptions spell the array `result`. */
const Bucket = z.object({
  start_time: z.number().int().min(0).max(8.64e12),
  results: z.array(z.unknown()).optional(),
  result: z.array(z.unknown()).optional(),
})

/** One page of buckets: https://platform.openai.com/docs/api-reference/usage */
export function readBuckets(
  body: unknown,
  listNew: Repeats,
  add: (bucket_start: number, raw: unknown) => void,
): [name: string, value: string][] | null {
  const page = Envelope.safeParse(body)
  if (!page.success) throw contractError(ID, 'sent a page that is none')
  const { data, has_more, next_page } = page.data
  if (has_more && !next_page) throw contractError(ID, 'promised another page without saying where')
  const buckets = data.map((raw) => {
    const bucket = Bucket.safeParse(raw)
    if (!bucket.success) throw contractError(ID, 'sent a bucket that is none')
    return bucket.data
  })
  for (const { start_time, results, result } of listNew(buckets, (one) => String(one.start_time)))
    for (const row of results ?? result ?? []) add(start_time * 1000, row)
  return has_more === false || !next_page ? null : [['page', next_page]]
}

export function reportQuery(
  path: string,
  { start, end }: Range,
  width: '1h' | '1d',
  limit: number,
  group_by: readonly string[],
): Query {
  return {
    path,
    params: [
      ['start_time', String(start / 1000)],
      ['end_time', String(end / 1000)],
      ['bucket_width', width],
      ...group_by.map((name): [string, string] => ['group_by[]', name]),
      ['limit', String(limit)],
    ],
  }
}
