import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'

import { describe, expect, test } from 'vitest'

import {
  checkFile,
  EXCEPTIONS,
  type Exceptions,
  isBarrelSource,
  listNeedlessExceptions,
  MAX_LINES,
  ROOMS,
} from '../scripts/layers.ts'
import { scanSource } from '../scripts/scan-source.ts'

const SRC = join(import.meta.dirname, '../src')

const readSources = (): Map<string, string> =>
  new Map(
    readdirSync(SRC, { recursive: true, encoding: 'utf8' })
      .map((path) => path.split(sep).join('/'))
      .filter((path) => /\.tsx?$/.test(path))
      .sort()
      .map((path) => [path, readFileSync(join(SRC, path), 'utf8')]),
  )

describe('the rooms of src/', () => {
  test('keep the layers table', () => {
    const sources = readSources()
    expect(sources.size).toBeGreaterThan(20)
    const found = [...sources].flatMap(([path, source]) =>
      checkFile(path, source, EXCEPTIONS, (target) => isBarrelSource(sources.get(target) ?? '')),
    )
    expect(found.map(({ path, line, rule, message }) => `src/${path}:${line} [${rule}] ${message}`)).toEqual(
      [],
    )
  })

  test('need every exception that the lists name', () => {
    expect(listNeedlessExceptions(readSources())).toEqual([])
    for (const reason of Object.values(EXCEPTIONS).flatMap((list) =>
      Object.values(list as Record<string, string>),
    )) {
      expect(reason.length).toBeGreaterThan(10)
    }
  })
})

const rulesOf = (path: string, source: string, exceptions?: Exceptions): string[] =>
  checkFile(path, source, exceptions).map((found) => found.rule)

describe('each rule catches what breaks it', () => {
  const broken: readonly (readonly [what: string, path: string, source: string, rule: string])[] = [
    ['kernel imports protocol', 'kernel/a.ts', `import { x } from '../protocol/push.ts'`, 'import'],
    ['protocol imports engine', 'protocol/a.ts', `import type { X } from '../engine/store.ts'`, 'import'],
    ['engine imports a store', 'engine/a.ts', `export { x } from '../stores/memory/store.ts'`, 'import'],
    [
      'engine imports a store later',
      'engine/a.ts',
      `const x = await import('../stores/memory/a.ts')`,
      'import',
    ],
    ['engine names a type in place', 'engine/a.ts', `let x: import('../cloud/log/log.ts').Log`, 'import'],
    [
      'a store imports more than a port',
      'stores/sqlite/a.ts',
      `import { x } from '../../engine/merge.ts'`,
      'import',
    ],
    [
      'a provider imports more than a port',
      'providers/cloud/a.ts',
      `import '../../engine/machine.ts'`,
      'import',
    ],
    ['cloud imports the engine', 'cloud/a.ts', `import {\n  x,\n} from "../engine/store.ts"`, 'import'],
    ['backup imports protocol', 'backup/a.ts', `import * as x from '../protocol/push.ts'`, 'import'],
    ['cli imports react', 'cli/a.ts', `import { x } from '../react/use-cloud-sync.ts'`, 'import'],
    ['testing imports a store', 'testing/a.ts', `import { x } from '../stores/memory/store.ts'`, 'import'],
    ['testing imports the cloud server', 'testing/a.ts', `import { x } from '../cloud/server.ts'`, 'import'],
    ['a room imports a test', 'cloud/a.ts', `import { x } from '../../test/x.ts'`, 'import'],
    ['a room nobody knows', 'utils/a.ts', `export const x = 1`, 'room'],
    ['a barrel', 'cloud/a.ts', `import { x } from './log/index.ts'`, 'barrel'],
    ['a barrel of another room', 'cli/a.ts', `import { x } from '../engine/index.ts'`, 'barrel'],
    ['a builtin in kernel', 'kernel/a.ts', `import { createHash } from 'node:crypto'`, 'neutral'],
    ['a builtin without its prefix', 'engine/a.ts', `import fs from 'fs'`, 'neutral'],
    ['a builtin in client', 'client/a.ts', `import 'node:http2'`, 'neutral'],
    ['a package in engine', 'engine/a.ts', `import { x } from 'fast-equals/y'`, 'neutral'],
    ['Date.now', 'engine/a.ts', `const x = Date.now()`, 'clock'],
    ['Date.now as a default', 'cloud/a.ts', `const now = options.now ?? Date.now`, 'clock'],
    ['the date of today', 'cloud/a.ts', `const x = new Date()`, 'clock'],
    ['Math.random', 'stores/a.ts', `const x = Math\n  .random()`, 'clock'],
    ['setTimeout', 'providers/a.ts', `setTimeout(run, 5)`, 'clock'],
    ['setInterval', 'cli/a.ts', `const t = globalThis.setInterval(run, 5)`, 'clock'],
    ['a timer inside a template', 'cli/a.ts', 'const x = `${setTimeout(run, 5)}`', 'clock'],
    [
      'timers from the module',
      'cloud/a.ts',
      `import { setTimeout as wait } from 'node:timers/promises'`,
      'clock',
    ],
    [
      'a signal with a timer of its own',
      'providers/a.ts',
      `fetch(x, { signal: AbortSignal.timeout(5) })`,
      'clock',
    ],
    ['ids from the system in engine', 'engine/a.ts', `crypto.randomUUID()`, 'clock'],
    ['console', 'cloud/a.ts', `console.log(1)`, 'console'],
    ['printing past console', 'engine/a.ts', `process.stdout.write('x')`, 'console'],
    ['a long file', 'cli/a.ts', 'x()\n'.repeat(MAX_LINES + 1), 'lines'],
    ['a long test', 'cli/a.test.ts', 'x()\n'.repeat(MAX_LINES + 1), 'lines'],
  ]
  test.each(broken)('%s', (_what, path, source, rule) => {
    expect(rulesOf(path, source)).toContain(rule)
  })

  const fine: readonly (readonly [what: string, path: string, source: string])[] = [
    ['its own room', 'engine/cycle/a.ts', `import { x } from '../merge.ts'`],
    ['a port', 'stores/memory/a.ts', `import type { Store } from '../../engine/store.ts'`],
    ['the cloud log port in testing', 'testing/a.ts', `import type { CloudLog } from '../cloud/log/log.ts'`],
    ['a builtin in a store', 'stores/sqlite/a.ts', `import { readFileSync } from 'node:fs'`],
    ['typebox in protocol', 'protocol/a.ts', `import Type from 'typebox'`],
    ['time in kernel', 'kernel/clock.ts', `setTimeout(run, Date.now())`],
    [
      'time only talked about',
      'engine/a.ts',
      `/** never Date.now */ const x = 'Math.random()' // setTimeout`,
    ],
    ['a name that only looks like a timer', 'cloud/a.ts', `server.setTimeout(0); const x = this.#setTimeout`],
    ['a date that is given', 'cloud/a.ts', `const x = new Date(clock.now())`],
    ['secrets from the system in the cloud', 'cloud/a.ts', `import { randomBytes } from 'node:crypto'`],
    ['printing in cli', 'cli/a.ts', `console.log(process.stdout.columns)`],
    ['an import only quoted', 'engine/a.ts', `const x = "import { y } from '../cli/main.ts'"`],
    ['anything in a test', 'engine/a.test.ts', `import { x } from '../cli/main.ts'; console.log(Date.now())`],
    ['400 lines', 'cli/a.ts', 'x()\n'.repeat(MAX_LINES)],
  ]
  test.each(fine)('and leaves alone: %s', (_what, path, source) => {
    expect(checkFile(path, source)).toEqual([])
  })

  test('an exception lifts its rule for its file only, and is named when nothing needs it', () => {
    const exceptions: Exceptions = {
      import: {},
      clock: { 'cli/a.ts': 'because' },
      lines: { 'cli/b.ts': 'because' },
    }
    const timer = 'setTimeout(run, 5)'
    expect(rulesOf('cli/a.ts', timer, exceptions)).toEqual([])
    expect(rulesOf('cli/b.ts', timer, exceptions)).toEqual(['clock'])
    const files = new Map([
      ['cli/a.ts', timer],
      ['cli/b.ts', timer],
    ])
    expect(listNeedlessExceptions(files, exceptions)).toEqual(['lines: cli/b.ts'])
  })

  test('an index that does something itself is no barrel', () => {
    expect(isBarrelSource(`/** const */ export { a } from './a.ts'\nexport type * from './b.ts'`)).toBe(true)
    expect(isBarrelSource(`export function start() {}\nexport { a } from './a.ts'`)).toBe(false)
    const source = `import { start } from '../cloud/index.ts'`
    expect(checkFile('cli/a.ts', source, EXCEPTIONS, () => false)).toEqual([])
    expect(checkFile('cli/a.ts', source, EXCEPTIONS, () => true)).toHaveLength(1)
  })

  test('no room may import upwards in a circle', () => {
    const reach = (room: string, seen: Set<string>): Set<string> => {
      for (const place of ROOMS[room] ?? []) {
        const next = place.slice(0, place.indexOf('/'))
        if (place.endsWith('/') && !seen.has(next)) reach(next, seen.add(next))
      }
      return seen
    }
    for (const room of Object.keys(ROOMS)) expect(reach(room, new Set()).has(room), room).toBe(false)
  })
})

describe('the scanner', () => {
  test('tells code from comments, strings, templates and regular expressions', () => {
    const source = [
      "const a = /[/\"'`]+/.test(b) / c // x'",
      "const d = 'it\\'s // no' + `t ${e ? `n ${f({ g: 1 })} '` : \"}\"} // ` + h",
      '/* i */ const j = k / l / m',
    ].join('\n')
    const { code } = scanSource(source)
    expect(code.length).toBe(source.length)
    expect(code.match(/\b[a-z]\b/g)?.join('')).toBe('abcdefghjklm')
  })

  test('finds imports over several lines, with their line', () => {
    const source = `// from 'no'\nimport {\n  a,\n} from './a.ts'\nexport * from "b"\nimport 'c'\nimport('d')\nArray.from('e')`
    expect(scanSource(source).imports).toEqual([
      { specifier: './a.ts', line: 4 },
      { specifier: 'b', line: 5 },
      { specifier: 'c', line: 6 },
      { specifier: 'd', line: 7 },
    ])
  })
})
