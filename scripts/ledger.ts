/**
 * The ledger of docs/origins.md: reads its rows, finds what is wrong with them, counts them.
 * `npm run ledger` prints the counts per document and state.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The documents and how many lines each has. */
const DOCUMENTS: { readonly [name: string]: number } = {
  '000-daemon-sync': 198,
  '001-relay': 215,
  '002-auto-sync': 222,
  '003-snapshots': 103,
  '004-progressive-sync': 446,
}

export interface LedgerRow {
  /** In docs/origins.md, from 1. */
  readonly at: number
  readonly document: string
  readonly line: number
  readonly name: string
  readonly promise: string
  readonly state: 'works' | 'later' | 'changed'
  readonly tests: readonly { readonly file: string; readonly title: string }[]
}

export interface Ledger {
  readonly rows: readonly LedgerRow[]
  /** Sentences, each with the line it is about. */
  readonly faults: readonly string[]
}

/** Reads every table row whose first cell is not a heading. `readFile` answers a test file's text, or null. */
export function readLedger(markdown: string, readFile: (path: string) => string | null): Ledger {
  const rows: LedgerRow[] = []
  const faults: string[] = []
  const seen = new Set<string>()
  for (const [index, text] of markdown.split('\n').entries()) {
    if (!text.startsWith('|') || /^\|[\s:|-]+\|$/.test(text) || text.startsWith('| document:line |')) continue
    const fault = (reason: string): void => {
      faults.push(`line ${index + 1}: ${reason}`)
    }
    const row = readRow(text, index + 1, fault)
    if (row === null) continue
    const key = `${row.document}:${row.line} ${row.name}`
    if (seen.has(key)) fault(`${key} stands twice`)
    seen.add(key)
    const last = rows.at(-1)
    if (
      last !== undefined &&
      (last.document > row.document || (last.document === row.document && last.line > row.line))
    ) {
      fault(`${row.document}:${row.line} stands after ${last.document}:${last.line}`)
    }
    for (const { file, title } of row.tests) {
      const source = readFile(file)
      if (source === null) fault(`there is no file ${file}`)
      else if (!hasTest(source, title)) fault(`${file} has no running test '${title}'`)
    }
    rows.push(row)
  }
  for (const document of Object.keys(DOCUMENTS)) {
    if (!rows.some((row) => row.document === document)) faults.push(`no row about ${document}`)
  }
  return { rows, faults }
}

function readRow(text: string, at: number, fault: (reason: string) => void): LedgerRow | null {
  const cells = text
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll('\\|', '|'))
  const [place = '', name = '', promise = '', state = '', test = ''] = cells
  if (cells.length !== 5 || !/(?<!\\)\|$/.test(text.trimEnd())) {
    fault(`${cells.length} cells instead of 5`)
    return null
  }
  const [document = '', number = ''] = place.split(':')
  const line = /^[1-9]\d*$/.test(number) ? Number(number) : 0
  const length = DOCUMENTS[document]
  if (length === undefined) fault(`unknown document ${document}`)
  else if (line === 0 || line > length) fault(`${document} has no line ${number}`)
  if (name === '' || promise === '') fault('a name and a promise are needed')

  const kind =
    state === 'works' || state === 'later' ? state : /^changed, because \S.{9}/.test(state) ? 'changed' : null
  if (kind === null) {
    fault(`unknown state '${state}'`)
    return null
  }
  const tests = []
  for (const part of test === '–' ? [] : test.split('<br>')) {
    const [, file, title] = /^(\S+) › (.+)$/.exec(part.trim()) ?? []
    if (file === undefined || title === undefined) fault(`not a test: '${part}'; write 'file › title'`)
    else tests.push({ file, title })
  }
  if (kind === 'works' && tests.length === 0) fault('works, says the row, but it names no test')
  if (kind === 'later' && tests.length > 0) fault('a test is named: then it is not later')
  return { at, document, line, name, promise, state: kind, tests }
}

/** True when the source has a test of that title which is neither skipped nor to be written. */
export function hasTest(source: string, title: string): boolean {
  for (const quote of ["'", '"', '`']) {
    const literal = quote + title.replaceAll(quote, `\\${quote}`) + quote
    for (let at = source.indexOf(literal); at >= 0; at = source.indexOf(literal, at + 1)) {
      const call = /\b(?:it|test)((?:\.\w+)*)(?:\([^;]*?\))?\(\s*$/.exec(
        source.slice(Math.max(0, at - 4_000), at),
      )
      if (call !== null && !/\.(?:skip|todo|fails)\b/.test(call[1] ?? '')) return true
    }
  }
  return false
}

/** Counts per document and state, as lines of text. */
export function countRows(rows: readonly LedgerRow[]): readonly string[] {
  const states = ['works', 'changed', 'later'] as const
  const counts = (some: readonly LedgerRow[]): readonly number[] => [
    ...states.map((state) => some.filter((row) => row.state === state).length),
    some.length,
  ]
  const line = (name: string, values: readonly (number | string)[]): string =>
    name.padEnd(22) + values.map((value) => String(value).padStart(9)).join('')
  return [
    line('', [...states, 'all']),
    ...Object.keys(DOCUMENTS).map((document) =>
      line(document, counts(rows.filter((row) => row.document === document))),
    ),
    line('all', counts(rows)),
  ]
}

export function readProjectLedger(): Ledger {
  const root = join(import.meta.dirname, '..')
  return readLedger(readFileSync(join(root, 'docs/origins.md'), 'utf8'), (path) =>
    existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : null,
  )
}

if (import.meta.main) {
  const { rows, faults } = readProjectLedger()
  for (const line of countRows(rows)) console.log(line)
  for (const fault of faults) console.error(`docs/origins.md, ${fault}`)
  process.exitCode = faults.length === 0 ? 0 : 1
}
