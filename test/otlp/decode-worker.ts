import { parentPort, workerData } from 'node:worker_threads'
import { decode, type Encoding } from '../../src/otlp/decode.ts'
import type { Signal } from '../../src/otlp/decode-batch.ts'

/** Decodes one body in a heap of its own, whose size the test limits. */
type Given = { readonly signal: Signal; readonly encoding: Encoding; readonly body: Uint8Array }

const { signal, encoding, body } = workerData as Given
const started = performance.now()
parentPort?.postMessage({ result: attempt(), took_ms: performance.now() - started })

function attempt(): string {
  try {
    decode(signal, encoding, Buffer.from(body.buffer))
    return 'taken'
  } catch (error) {
    return error instanceof Error ? error.name : 'unknown'
  }
}
