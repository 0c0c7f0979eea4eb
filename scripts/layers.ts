/**
 * The walls between the rooms of src/, as a table: what a room may import, where time, chance and printing may
 * be had, how long a file may get. `test/layers.test.ts` holds it.
 */
import { isBuiltin } from 'node:module'
import { posix } from 'node:path'

import { lineAt, scanSource } from './scan-source.ts'

/** The engine's ports: what its neighbours below may know of it. */
const ENGINE_PORTS = ['engine/store.ts', 'engine/provider.ts', 'engine/identity.ts', 'engine/inbox.ts']
const PORTS = [
  ...ENGINE_PORTS,
  'cloud/log/log.ts',
  'cloud/log/copy.ts',
  'cloud/directory.ts',
  'cloud/bus.ts',
  'backup/target.ts',
]
const EVERY_ROOM = [
  'kernel/',
  'protocol/',
  'engine/',
  'stores/',
  'providers/',
  'machine/',
  'library/',
  'auto-sync/',
  'client/',
  'relay/',
  'backup/',
  'http/',
  'cloud/',
  'daemon/',
  'testing/',
]

/** A room may import itself and these: whole rooms (ending in a slash) or single files. */
export const ROOMS: { readonly [room: string]: readonly string[] } = {
  kernel: [],
  protocol: ['kernel/'],
  engine: ['protocol/', 'kernel/'],
  stores: [...ENGINE_PORTS, 'protocol/', 'kernel/'],
  providers: [...ENGINE_PORTS, 'protocol/', 'kernel/'],
  // It registers this machine with its cloud, and asks it with the token it got.
  machine: ['engine/', 'stores/', 'providers/', 'protocol/', 'kernel/'],
  library: ['machine/', 'engine/', 'stores/', 'providers/', 'protocol/', 'kernel/'],
  'auto-sync': ['engine/', 'stores/indexeddb/', 'providers/', 'protocol/', 'kernel/'],
  react: ['auto-sync/', 'engine/'],
  client: ['protocol/', 'kernel/'],
  relay: ['protocol/', 'kernel/'],
  backup: ['kernel/'],
  // What the servers of the cloud and of the daemon share.
  http: ['protocol/', 'kernel/'],
  cloud: ['relay/', 'http/', 'protocol/', 'kernel/'],
  daemon: [
    'engine/',
    'stores/',
    'providers/',
    'library/',
    'machine/',
    'relay/',
    'backup/',
    'client/',
    'http/',
    'protocol/',
    'kernel/',
  ],
  cli: EVERY_ROOM,
  testing: [...PORTS, 'engine/', 'protocol/', 'kernel/'],
}

/** Rooms that run on any platform, and the only packages they may use. */
const NEUTRAL: { readonly [room: string]: readonly string[] } = {
  kernel: [],
  protocol: ['typebox'],
  engine: [],
  client: ['typebox'],
}
const PRINTING_ROOMS = ['cli', 'daemon']
export const MAX_LINES = 400

/** Files that may break one rule, each with its reason. An entry that is not needed fails too. */
export interface Exceptions {
  readonly import: { readonly [path: string]: string }
  readonly clock: { readonly [path: string]: string }
  readonly lines: { readonly [path: string]: string }
}

export const EXCEPTIONS: Exceptions = {
  import: {
    'stores/sqlite/store/harness.ts': 'opens the store for its contract suite; only tests import it',
  },
  clock: {
    'cli/stopping.ts': 'keeps the process alive; nothing depends on when it fires',
  },
  lines: {},
}

export type Rule = 'room' | 'import' | 'barrel' | 'neutral' | 'clock' | 'console' | 'lines'

export interface Violation {
  readonly rule: Rule
  readonly path: string
  /** 0 where the whole file is meant. */
  readonly line: number
  readonly message: string
}

const TIME_AND_CHANCE = [
  /\bDate\s*\.\s*now\b/g,
  /\bnew\s+Date\s*(?:\(\s*\)|(?![\w$\s(]))/g,
  /\bMath\s*\.\s*random\b/g,
  /\bperformance\s*\.\s*now\b/g,
  /\bAbortSignal\s*\.\s*timeout\b/g,
  /(?:(?<![.\w$#])|\bglobalThis\s*\.\s*)(?:setTimeout|setInterval)\b/g,
]
const SYSTEM_CHANCE = /\b(?:randomUUID|getRandomValues|randomBytes)\b/g
const PRINTING = /(?<![.\w$#])console\s*[.[]|\bprocess\s*\.\s*(?:stdout|stderr)\b/g

/**
 * Checks one file. `path` is relative to `src/`, with forward slashes. Test files (`*.test.ts`) may reach
 * anywhere and use real time: only their length is checked. Where `isBarrel` says no, an `index.ts` may be
 * imported: it holds more than the names of other files.
 */
export function checkFile(
  path: string,
  source: string,
  exceptions: Exceptions = EXCEPTIONS,
  isBarrel: (path: string) => boolean = () => true,
): readonly Violation[] {
  const violations: Violation[] = []
  const report = (rule: Rule, line: number, message: string): void => {
    violations.push({ rule, path, line, message })
  }

  const lines = source.trimEnd().split('\n').length
  if (lines > MAX_LINES && exceptions.lines[path] === undefined) {
    report('lines', 0, `${lines} lines; ${MAX_LINES} are the end: split it`)
  }
  if (path.endsWith('.test.ts') || path.endsWith('.test.tsx')) return violations

  const room = path.includes('/') ? path.slice(0, path.indexOf('/')) : ''
  // src/index.ts is the public face of the package: it may name anything.
  const allowed = room === '' ? [...EVERY_ROOM, 'cli/', 'react/'] : ROOMS[room]
  if (allowed === undefined) {
    report('room', 0, `the room ${room}/ is not in the table`)
    return violations
  }
  const scan = scanSource(source)

  for (const { specifier, line } of scan.imports) {
    if (!specifier.startsWith('.')) {
      checkPackage(room, specifier, (message) => report('neutral', line, message))
      if (/^(?:node:)?timers(?:\/promises)?$/.test(specifier) && exceptions.clock[path] === undefined) {
        report('clock', line, `${specifier}: take a Clock as an argument`)
      }
      continue
    }
    const target = posix.join(posix.dirname(path), specifier)
    if (target.startsWith('..')) {
      report('import', line, `${specifier} leaves src/`)
      continue
    }
    if (posix.basename(target) === 'index.ts' && posix.basename(path) !== 'index.ts' && isBarrel(target)) {
      report('barrel', line, `${specifier} is a public face: import the file that has the thing`)
    }
    if (exceptions.import[path] !== undefined) continue
    const inside = room !== '' && target.startsWith(`${room}/`)
    if (
      !inside &&
      !allowed.some((place) => (place.endsWith('/') ? target.startsWith(place) : target === place))
    ) {
      report('import', line, `${room}/ may not import ${target}`)
    }
  }

  const find = (pattern: RegExp, rule: Rule, why: string): void => {
    for (const found of scan.code.matchAll(pattern)) {
      report(rule, lineAt(source, found.index), `${found[0].trim()}: ${why}`)
    }
  }
  if (room !== 'kernel' && exceptions.clock[path] === undefined) {
    for (const pattern of TIME_AND_CHANCE) find(pattern, 'clock', 'take a Clock or Random as an argument')
    if (NEUTRAL[room] !== undefined) find(SYSTEM_CHANCE, 'clock', 'take a Random as an argument')
  }
  if (!PRINTING_ROOMS.includes(room)) find(PRINTING, 'console', 'only cli and daemon print')
  return violations
}

function checkPackage(room: string, specifier: string, report: (message: string) => void): void {
  const packages = NEUTRAL[room]
  if (packages === undefined) return
  if (isBuiltin(specifier)) return report(`${room}/ runs on any platform: no ${specifier}`)
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
  if (!packages.includes(name)) report(`${room}/ may not use the package ${name}`)
}

/** True for a file that only hands on what other files have. */
export const isBarrelSource = (source: string): boolean =>
  !/\b(?:import|function|class|const|let)\b/.test(scanSource(source).code)

/** Exceptions that no file needs any more: a list that only grows says nothing. */
export function listNeedlessExceptions(
  files: ReadonlyMap<string, string>,
  exceptions: Exceptions = EXCEPTIONS,
): readonly string[] {
  const needless: string[] = []
  for (const rule of ['import', 'clock', 'lines'] as const) {
    for (const path of Object.keys(exceptions[rule])) {
      const source = files.get(path)
      const strict = { ...exceptions, [rule]: {} }
      const needed =
        source !== undefined && checkFile(path, source, strict).some((found) => found.rule === rule)
      if (!needed) needless.push(`${rule}: ${path}`)
    }
  }
  return needless
}
