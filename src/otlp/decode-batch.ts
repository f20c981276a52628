import { ITEMS_MAX, TEXT_LENGTH_MAX } from './limits.ts'
import type {
  Attributes,
  AttributeValue,
  Batch,
  LogRecord,
  MetricPoint,
  Scope,
  Span,
} from './signal.ts'

export const SIGNALS = ['logs', 'metrics', 'traces'] as const
export type Signal = (typeof SIGNALS)[number]

/** `rejected` items could not be read; the others stand in the batch. */
export type Decoded = { readonly batch: Batch; readonly rejected: number }

/** The body as a whole cannot be read. The message never holds a part of it. */
export class BadPayload extends Error {
  override readonly name = 'BadPayload'
}

/** The body holds more items than one request may. */
export class TooManyItems extends Error {
  override readonly name = 'TooManyItems'
}

/** Filled while reading: a resource may come after what belongs to it. */
export type Bag = Record<string, AttributeValue>
export type Origin = { readonly resource: Attributes; readonly scope: Scope }

/** Keys come from outside, and `__proto__` is a key like any other: nothing is inherited here. */
export class NoPrototype {}
Reflect.deleteProperty(NoPrototype.prototype, 'constructor')
Object.setPrototypeOf(NoPrototype.prototype, null)

/** Of a constructor, since V8 makes each `Object.create(null)` a slow hash table at once. */
export function createBag(): Bag {
  return new NoPrototype() as Bag
}

/** Collects the items of one body, whatever its encoding. All methods throw TooManyItems. */
export class Collector {
  readonly #records: LogRecord[] = []
  readonly #spans: Span[] = []
  readonly #points: MetricPoint[] = []
  readonly #ignored = new Map<string, number>()
  #rejected = 0
  #count = 0

  addRecord(record: LogRecord): void {
    this.#admit()
    this.#records.push(record)
  }

  addSpan(span: Span): void {
    this.#admit()
    this.#spans.push(span)
  }

  addPoint(point: MetricPoint): void {
    this.#admit()
    this.#points.push(point)
  }

  /** An item that cannot be read. */
  reject(): void {
    this.#admit()
    this.#rejected++
  }

  /** An item that tells of no request; `client` is whose it is. */
  ignore(client: string): void {
    this.#admit()
    this.#ignored.set(client, (this.#ignored.get(client) ?? 0) + 1)
  }

  decoded(signal: Signal): Decoded {
    const rejected = this.#rejected
    const ignored = this.#ignored.size > 0 ? { ignored: this.#ignored } : {}
    if (signal === 'logs')
      return { batch: { signal, records: this.#records, ...ignored }, rejected }
    if (signal === 'traces') return { batch: { signal, spans: this.#spans, ...ignored }, rejected }
    return { batch: { signal, points: this.#points }, rejected }
  }

  #admit(): void {
    this.#count++
    if (this.#count > ITEMS_MAX)
      throw new TooManyItems(`A request may hold ${ITEMS_MAX} items. Send smaller batches.`)
  }
}

export function clip(text: string): string {
  return text.length > TEXT_LENGTH_MAX ? text.slice(0, TEXT_LENGTH_MAX) : text
}
