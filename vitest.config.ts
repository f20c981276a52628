import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/oracle/**'],
    testTimeout: 30_000,
    pool: 'threads',
  },
})
