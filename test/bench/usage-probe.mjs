/**
 * Loaded before the program (`node --import`): at its end it writes what the process took to
 * BENCH_USAGE_FILE. Plain JavaScript, so that the built program is not charged for reading types.
 */
import { writeFileSync } from 'node:fs'

const start = performance.eventLoopUtilization()

process.once('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  const usage = {
    cpu_ms: (userCPUTime + systemCPUTime) / 1000,
    busy_ms: performance.eventLoopUtilization(start).active,
    wall_ms: performance.now(),
    rss_bytes_max: maxRSS * 1024,
  }
  writeFileSync(process.env['BENCH_USAGE_FILE'] ?? '', JSON.stringify(usage))
})
