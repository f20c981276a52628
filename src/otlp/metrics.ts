import type { Measure, MetricSample } from '../ledger/metric.ts'
import { nanosFromUsd } from '../money.ts'
import { findText } from './attributes.ts'
import { type AttributionRules, attribute } from './attribution.ts'
import type { Client, MetricMap } from './clients/client.ts'
import { findClient, nameOf } from './clients/index.ts'
import { resolveInstant } from './instant.ts'
import { providerOf } from './provider-of.ts'
import { type Context, countOf, type Reading, reject } from './reading.ts'
import type { MetricPoint } from './signal.ts'

/** Beyond this no counter of ours can be, and no double counts one by one. */
const VALUE_MAX = 1e12

/**
 * Reads the points that tell of usage. A sum or histogram whose temporality is not told, whose value is
 * no number or that counts backwards can never be booked.
 * https://github.com/open-telemetry/opentelemetry-specification/blob/main/specification/metrics/data-model.md
 */
export function readMetrics(
  points: readonly MetricPoint[],
  context: Context,
  rules: AttributionRules,
  reading: Reading,
): void {
  for (const point of points) {
    const client = findClient(point, point.metric)
    const map = client?.metrics.find(({ names }) => names.includes(point.metric))
    const count = countOf(reading, nameOf(client))
    const problem = problemOf(point)
    const measure = map && measureOf(point, map)
    if (problem) {
      reject(reading, count, `${point.metric}: ${problem}`)
      if (point.temporality === 'unspecified') count.without_temporality += 1
    } else if (!client || !measure || !hasValue(point)) count.ignored += 1
    else {
      const { sample, is_skewed } = readPoint(point, { client, map, measure }, context, rules)
      count.accepted += 1
      if (is_skewed) count.skewed += 1
      reading.samples.push(sample)
    }
  }
}

function hasValue({ kind, has_no_value, value }: MetricPoint): boolean {
  return !has_no_value && value !== undefined && kind !== 'gauge' && kind !== 'summary'
}

function problemOf(point: MetricPoint): string | undefined {
  if (!hasValue(point)) return undefined
  const { temporality, is_monotonic, kind, value = 0 } = point
  if (temporality === 'unspecified') return 'the temporality is not told'
  if (!Number.isFinite(value)) return 'the value is no number'
  if (value < 0 && (is_monotonic || kind !== 'sum')) return 'the value is negative'
  return Math.abs(value) > VALUE_MAX && is_monotonic ? 'the value is too large' : undefined
}

function measureOf({ attributes }: MetricPoint, { measure }: MetricMap): Measure | undefined {
  if (typeof measure === 'string') return measure
  const value = String(attributes[measure.by] ?? '')
  return Object.hasOwn(measure.of, value) ? measure.of[value] : undefined
}

type Read = { readonly client: Client; readonly map: MetricMap; readonly measure: Measure }

function readPoint(
  point: MetricPoint,
  { client, map, measure }: Read,
  context: Context,
  rules: AttributionRules,
): { sample: MetricSample; is_skewed: boolean } {
  const { at, is_skewed } = resolveInstant({ ...point, observed_ns: 0n }, context.received_at)
  const {
    names_user,
    origin,
    client: name,
    ...whose
  } = attribute(point, client, context.token, rules)
  const model = findText(point, map.model) ?? ''
  const value = Math.max(0, point.value ?? 0)
  const sample = {
    ...whose,
    client: name ?? '',
    // Others match by what they have alike: the user where metrics name one, else the sender.
    origin: names_user ? `user:${whose.user}` : `sender:${origin}`,
    provider: providerOf(point, model, client.provider),
    model,
    series: seriesText(point),
    telling: map.telling ?? '',
    measure,
    formula: client.formula,
    is_cumulative: point.temporality === 'cumulative',
    counts_from_zero: client.id !== null,
    start_ns: point.start_ns,
    time_ns: point.time_ns,
    at,
    value: map.is_usd ? nanosFromUsd(value) : BigInt(Math.round(value)),
  }
  return { sample, is_skewed }
}

/** Everything that tells one series from another, in an order of its own. */
function seriesText({ resource, scope, attributes, metric, unit, kind }: MetricPoint): string {
  const sorted = (all: Readonly<Record<string, unknown>>) =>
    Object.keys(all)
      .sort()
      .map((name) => [name, String(all[name])])
  return JSON.stringify([sorted(resource), scope, metric, unit, kind, sorted(attributes)])
}
