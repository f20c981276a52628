import { parentPort, workerData } from 'node:worker_threads'
import { decode, type Encoding } from '../../src/otlp/decode.ts'
import type { Signal } from '../../src/otlp/decode-batch.ts'

/** Decodes one body in a heap of its own, whose size the test limits. */
type Given = { readonly signal: Signal; readonly encoding: Encoding; readonly body: Uint8Array }

const { signal, encoding, body } = workerData as Given
try {
  decode(signal, encoding, Buffer.from(body.buffer))
  parentPort?.postMessage('taken')
} catch (error) {
  parentPort?.postMessage(error instanceof Error ? error.name : 'unknown')
}
