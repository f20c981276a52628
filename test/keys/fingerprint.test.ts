import { expect, test } from 'vitest'
import { fingerprintOf } from '../../src/keys/fingerprint.ts'
import { Secret } from '../../src/secret.ts'
import { KEY } from './fixture.ts'

const random = 'Zk3vQ8mT1xW5rB9nL2pD7cH4jF6sG0yU'

test.each([
  [KEY, 'sk-ant-admin01-…9QAA'],
  [`sk-admin-${random}`, 'sk-admin-…G0yU'],
  [`sk-or-v1-${random}`, 'sk-or-v1-…G0yU'],
  [`sk-svcacct-${random}`, 'sk-svcacct-…G0yU'],
  [`AIza${random}`, '…G0yU'],
  [`ab-cd-ef-gh-ij-${random}`, '…G0yU'],
  [`sk-proj-org-test-live-${random}`, 'sk-proj-org-test…G0yU'],
])('%s shows as %s', (key, fingerprint) => {
  expect(fingerprintOf(new Secret(key))).toBe(fingerprint)
})

test.each(['sk-ant-admin01-tooshort', 'short', 'sk-'])('of "%s" nothing shows', (key) => {
  expect(fingerprintOf(new Secret(key))).toMatch(/^#[\w-]{8}$/)
})
