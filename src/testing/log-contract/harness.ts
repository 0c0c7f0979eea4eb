import { createHash } from 'node:crypto'

import type { BatchRow, Log } from '../../cloud/log/log.ts'
import { hlcFromMs } from '../../kernel/hlc.ts'
import type { Encoded } from '../../kernel/values.ts'
import type { PullAnswer } from '../../protocol/pull.ts'
import type { PushAnswer, PushRequest, PushResult } from '../../protocol/push.ts'
import type { Change, Cursor, WireRecord } from '../../protocol/records.ts'

/** One storage of a log under test, empty at first. */
export interface LogHarness extends AsyncDisposable {
  readonly log: Log
  /** The time that the log goes by, milliseconds; moves only when told. */
  readonly time: { now(): number; advance(ms: number): void }
  /** Stops the log and starts it again on the same storage. `log` is the new one afterwards. */
  restart(): Promise<Log>
  /** Keeps the storage as it is: every call of the answer opens a copy of it, beside all others. */
  save(): Promise<() => Promise<Log>>
}

/** Opens a storage whose clock begins at `now`. */
export type OpenLog = (now: number) => Promise<LogHarness>

export const START = 1_700_000_000_000
export const SPACE = 'space-1'
export const T0 = hlcFromMs(START)

export type Values = { readonly [column: string]: Encoded }
type Extra = Partial<Pick<Change, 'table' | 'hlc' | 'claims' | 'was'>>

export const put = (key: string, base: number, fields: Values, extra: Extra = {}): Change => ({
  table: 't',
  key: `["${key}"]`,
  op: 'put',
  base,
  hlc: T0,
  fields,
  ...extra,
})

export const del = (key: string, base: number, extra: Extra = {}): Change => ({
  table: 't',
  key: `["${key}"]`,
  op: 'delete',
  base,
  hlc: T0,
  ...extra,
})

export const hashOf = (request: PushRequest): string =>
  createHash('sha256').update(JSON.stringify(request)).digest('hex')

export type PushOptions = Partial<Pick<PushRequest, 'force' | 'part' | 'mutation' | 'cursor'>>

/** A replica as a test drives it: counts its mutations, keeps its cursor, decides nothing. */
export class Reader {
  readonly id: string
  readonly space: string
  log: Log
  mutation = 0
  cursor: Cursor | null = null
  lastRequest: PushRequest | null = null

  constructor(log: Log, id: string, space = SPACE) {
    this.log = log
    this.id = id
    this.space = space
  }

  /** Pushes under the next number, or the one given. */
  async push(changes: readonly Change[], options: PushOptions = {}): Promise<PushAnswer> {
    const request: PushRequest = {
      space: 'name',
      replica: this.id,
      mutation: options.mutation ?? this.mutation + 1,
      cursor: this.cursor,
      changes: [...changes],
      ...options,
    }
    this.lastRequest = request
    const answer = await this.send(request)
    this.mutation = request.mutation
    const versions = answer.results.map((result) => (result.status === 'ok' ? result.version : 0))
    if (this.cursor !== null) {
      const { high } = this.cursor
      this.cursor = {
        ...this.cursor,
        generation: answer.generation.id,
        high: versions.reduce((most, version) => Math.max(most, version), high),
      }
    }
    return answer
  }

  async send(request: PushRequest, hash = hashOf(request)): Promise<PushAnswer> {
    return this.log.push(this.space, { request, hash })
  }

  /** Pushes and expects every change to be applied; answers the versions. */
  async write(...changes: readonly Change[]): Promise<readonly number[]> {
    return (await this.push(changes)).results.map(versionOf)
  }

  /** Begins at the head, as after a hydrate. */
  async start(tables?: readonly string[]): Promise<Cursor> {
    const { epoch, generation, head } = await this.log.startHydrate(this.space, this.id, tables)
    this.cursor = { epoch, generation: generation.id, version: head, high: head }
    return this.cursor
  }

  /** One page; moves the cursor. */
  async pull(options: { readonly limit?: number; readonly tables?: string[] } = {}): Promise<PullAnswer> {
    const cursor = this.cursor ?? (await this.start())
    const answer = await this.log.pull(this.space, { space: 'name', replica: this.id, cursor, ...options })
    const { epoch, generation, next } = answer
    this.cursor = { epoch, generation: generation.id, version: next, high: Math.max(next, cursor.high) }
    return answer
  }

  /** Pages until there is no more. */
  async pullAll(
    options: { readonly limit?: number; readonly tables?: string[] } = {},
  ): Promise<WireRecord[]> {
    const records: WireRecord[] = []
    for (let pages = 0; pages < 10_000; pages++) {
      const answer = await this.pull(options)
      records.push(...answer.records)
      if (!answer.has_more) return records
    }
    throw new Error('the pages do not end')
  }
}

export function versionOf(result: PushResult): number {
  if (result.status !== 'ok') throw new Error(`expected ok, not ${JSON.stringify(result)}`)
  return result.version
}

/** Every live record, page by page. */
export async function hydrateAll(
  log: Log,
  options: { readonly space?: string; readonly limit?: number; readonly tables?: readonly string[] } = {},
): Promise<WireRecord[]> {
  const records: WireRecord[] = []
  let after: { readonly table: string; readonly key: string } | null = null
  for (let pages = 0; pages < 100_000; pages++) {
    const page = await log.hydratePage(options.space ?? SPACE, after, options.limit ?? 1_000, options.tables)
    if (page.lines.length === 0) return records
    records.push(...page.lines.map((line) => JSON.parse(line) as WireRecord))
    after = page.last
  }
  throw new Error('the pages do not end')
}

export async function readOne(log: Log, key: string, table = 't', space = SPACE): Promise<WireRecord | null> {
  const answer = await log.read(space, { space: 'name', records: [{ table, key: `["${key}"]` }] })
  return answer.records[0] ?? null
}

export const row = (id: string, fields: Values, updatedAt: number | null, table = 't'): BatchRow => ({
  table,
  key: `["${id}"]`,
  fields: { id, ...fields },
  updatedAt,
})

/** The error code a promise rejects with; fails when it resolves. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await failureOf(promise)).code
}

export async function failureOf(
  promise: Promise<unknown>,
): Promise<{ readonly code: string; readonly details: { readonly [key: string]: unknown } }> {
  try {
    await promise
  } catch (error) {
    const { code, details } = error as { code?: string; details?: { [key: string]: unknown } }
    if (code === undefined || details === undefined) throw error
    return { code, details }
  }
  throw new Error('expected a rejection')
}
