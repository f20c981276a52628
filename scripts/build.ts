import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'

/** Makes `dist/`: what `tsc` emits and the data files that the program reads at run time. */
const DATA = ['src/pricing/catalog.json', 'src/corpus']

rmSync('dist', { recursive: true, force: true })
execFileSync('tsc', { stdio: 'inherit', shell: process.platform === 'win32' })
for (const file of DATA) cpSync(file, `dist/${file}`, { recursive: true })
