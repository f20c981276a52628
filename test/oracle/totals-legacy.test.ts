import { totalsSuite } from './totals.ts'

totalsSuite('legacy')
