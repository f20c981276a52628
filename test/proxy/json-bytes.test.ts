import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  findDuplicate,
  findLastObject,
  memberPattern,
  removeMember,
  scanObject,
  setMember,
} from '../../src/proxy/json-bytes.ts'

const text = (bytes: Buffer) => bytes.toString()

describe('a body is edited by a few bytes', () => {
  test.each([
    ['{}', ['a'], '1', '{"a":1}'],
    ['{ "b" : 2 }', ['a'], '1', '{ "b" : 2 ,"a":1}'],
    ['{"a":0.10,"b":2}', ['a'], '1', '{"a":1,"b":2}'],
    ['{"a":{"c":3}}', ['a', 'b'], 'true', '{"a":{"c":3,"b":true}}'],
    ['{"a":null}', ['a', 'b'], 'true', '{"a":{"b":true}}'],
    ['{"n":12345678901234567890}', ['a', 'b'], 'true', '{"n":12345678901234567890,"a":{"b":true}}'],
    ['{"\\u0061":1}', ['a'], '2', '{"\\u0061":2}'],
  ])('%s with %j set to %s', (before, path, value, after) => {
    expect(text(setMember(Buffer.from(before), path, value))).toBe(after)
  })

  test.each([
    ['{"a":1,"b":2}', 'a', '{"b":2}'],
    ['{"a":1,"b":2}', 'b', '{"a":1}'],
    ['{"a":[1,"}"]}', 'a', '{}'],
    ['{"a":1}', 'c', '{"a":1}'],
  ])('%s without %s', (before, name, after) => {
    expect(text(removeMember(Buffer.from(before), name))).toBe(after)
  })

  test('what is set is what a parser reads, and nothing else changes', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string(), (object, name) => {
        const before = Buffer.from(JSON.stringify(object))
        const after = JSON.parse(text(setMember(before, [name], '"new"')))
        expect(Object.entries(after)).toEqual(
          Object.entries({ ...JSON.parse(text(before)), ...{ [name]: 'new' } }),
        )
      }),
    )
  })
})

test('a name that stands twice is found, however it is written', () => {
  const span = (json: string) => scanObject(Buffer.from(json))
  const found = (json: string) => {
    const object = span(json)
    return object && findDuplicate(object)
  }
  expect(found('{"model":"a","x":{"model":"b"}}')).toBeUndefined()
  expect(found('{"model":"a","x":1,"model":"b"}')).toBe('model')
  expect(found('{"model":"a","mod\\u0065l":"b"}')).toBe('model')
})

test('the last whole object under a name is read from a text that is cut off', () => {
  const bytes = Buffer.from('[{"usage":{"a":1}},{"usage":{"a":2}},{"usage":{"a":')
  expect(findLastObject(bytes, 'usage')).toEqual({ a: 2 })
  expect(findLastObject(Buffer.from('{"text":"\\"usage\\":{}"}'), 'usage')).toBeUndefined()
})

test('a member that is null is as good as none', () => {
  expect(memberPattern(['usage']).test('{"usage":null}')).toBe(false)
  expect(memberPattern(['a', 'usage']).test('{"usage": null,"x":{"usage" : {}}}')).toBe(true)
})
