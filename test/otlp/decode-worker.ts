import { parentPort, workerData } from 'node:worker_threads'
import { decode, type Encoding } from '../../src/otlp/decode.ts'
import type { Signal } from '../../src/otlp/decode-batch.ts'
import { SIEVES } from '../../src/otlp/sieve.ts'

/** Decodes one body in a heap of its own, whose size the test limits. */
type Given = {
  readonly signal: Signal
  readonly encoding: Encoding
  readonly body: Uint8Array
  readonly is_sieved: boolean
}

const { signal, encoding, body, is_sieved } = workerData as Given
const started = performance.now()
parentPort?.postMessage({ result: attempt(), took_ms: performance.now() - started })

function attempt(): string {
  try {
    decode(signal, encoding, Buffer.from(body.buffer), is_sieved ? SIEVES[signal] : undefined)
    return 'taken'
  } catch (error) {
    return error instanceof Error ? error.name : 'unknown'
  }
}
