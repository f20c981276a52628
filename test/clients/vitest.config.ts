import { defineConfig } from 'vitest/config'

/** The coding assistants themselves, from npm; what cannot be had is said, and its tests are skipped. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    testTimeout: 90_000,
    hookTimeout: 300_000,
  },
})
