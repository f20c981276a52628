import { totalsSuite } from './totals.ts'

totalsSuite('analytics')
