import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSseSplitter } from '../../src/proxy/sse.ts'

const STREAM =
  'event: message_start\ndata: {"a":"東京 🧾"}\n\n: ping\n\ndata: one\ndata: two\r\n\r\ndata:tight\r\rid: 7\ndata: {"x":1}\n\ndata: [DONE]'
const EVENTS = ['{"a":"東京 🧾"}', 'one\ntwo', 'tight', '{"x":1}', '[DONE]']

function split(pieces: readonly Buffer[]) {
  const blocks: { bytes: Buffer; data: string | undefined }[] = []
  const splitter = createSseSplitter(({ bytes, data }) =>
    blocks.push({ bytes, data: data?.toString() }),
  )
  for (const piece of pieces) splitter.feed(piece)
  splitter.end()
  return blocks
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const ends = [...new Set(at)].sort((a, b) => a - b)
  return [0, ...ends].map((start, i) => bytes.subarray(start, ends[i] ?? bytes.length))
}

test('events are the same wherever the stream is cut, and no byte is lost', () => {
  const bytes = Buffer.from(STREAM)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length })), (at) => {
      const blocks = split(cut(bytes, at))
      expect(blocks.flatMap(({ data }) => data ?? [])).toEqual(EVENTS)
      expect(Buffer.concat(blocks.map((block) => block.bytes)).equals(bytes)).toBe(true)
    }),
  )
})

test('one byte at a time gives the same events', () => {
  const bytes = Buffer.from(STREAM)
  const blocks = split(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)))
  expect(blocks.flatMap(({ data }) => data ?? [])).toEqual(EVENTS)
})

test('an event without an end is passed on in pieces instead of being kept', () => {
  const pieces: number[] = []
  let data = 0
  const splitter = createSseSplitter(({ bytes, data: said }) => {
    pieces.push(bytes.length)
    if (said !== null) data += 1
  })
  const mebibyte = Buffer.alloc(1024 * 1024, 'x')
  splitter.feed(Buffer.from('data: '))
  for (let i = 0; i < 150; i++) splitter.feed(mebibyte)
  expect(pieces).toHaveLength(2)
  expect(data).toBe(0)
  splitter.feed(Buffer.from('\n\ndata: {}\n\n'))
  splitter.end()
  expect(pieces.reduce((sum, one) => sum + one, 0)).toBe(6 + 150 * mebibyte.length + 12)
  expect(data).toBe(1)
})
