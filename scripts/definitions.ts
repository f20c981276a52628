import { readFileSync, writeFileSync } from 'node:fs'
import { prompts } from '../src/prompts.ts'
import { VERSION } from '../src/version.ts'
import { tools } from '../tools/index.ts'

/**
 * Writes what other files repeat of the definitions: version, tools and prompts in `manifest.json`, the
 * table of tools in `README.md`. Run it after a change of any: node scripts/definitions.ts
 */
const MANIFEST = new URL('../manifest.json', import.meta.url)
const README = new URL('../README.md', import.meta.url)
const TABLE = /(<!-- tools: [^>]*-->\n)[\s\S]*?(<!-- \/tools -->)/

export function manifestText(current: string): string {
  const manifest = { ...(JSON.parse(current) as object), ...generatedParts() }
  return `${JSON.stringify(manifest, null, 2)}\n`
}

export function readmeText(current: string): string {
  const rows = tools.map(
    ({ name, description }) => `| \`${name}\` | ${firstSentence(description)} |`,
  )
  const table = ['| tool | answers |', '|---|---|', ...rows].join('\n')
  return current.replace(TABLE, (_, start: string, end: string) => `${start}${table}\n${end}`)
}

export function readDocuments() {
  return { manifest: readFileSync(MANIFEST, 'utf8'), readme: readFileSync(README, 'utf8') }
}

function generatedParts() {
  return {
    version: VERSION,
    tools: tools.map(({ name, description }) => ({
      name,
      description: firstSentence(description),
    })),
    prompts: prompts.map(({ name, description, args, text }) => ({
      name,
      description,
      arguments: args.map((arg) => arg.name),
      text: text(Object.fromEntries(args.map((arg) => [arg.name, `\${arguments.${arg.name}}`]))),
    })),
  }
}

function firstSentence(text: string): string {
  return text.split(/(?<=[.?!])\s/)[0] ?? text
}

if (import.meta.main) {
  const { manifest, readme } = readDocuments()
  writeFileSync(MANIFEST, manifestText(manifest))
  writeFileSync(README, readmeText(readme))
}
