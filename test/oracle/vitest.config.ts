import { defineConfig } from 'vitest/config'

/** Checks against simulators that stand beside the checkout; `sim.ts` says aloud when they are absent. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 60_000,
    fileParallelism: true,
    maxWorkers: 2,
  },
})
