import { closeSync, fsyncSync, openSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { type DriverName, openStatements } from './driver.ts'

/** What `backUp` starts this thread with: the store, and the file that is to hold its copy. */
export type Copy = { readonly from: string; readonly to: string; readonly driver: DriverName }

const WAIT_MS = 10_000

const { from, to, driver } = workerData as Copy
const { prepare, close } = openStatements(from, driver)
prepare(`pragma busy_timeout = ${WAIT_MS}`).all()
prepare('vacuum into ?').run(to)
close()
const file = openSync(to, 'r+')
fsyncSync(file)
closeSync(file)
