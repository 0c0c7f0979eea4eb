import { sleep } from '../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../kernel/errors.ts'
import { uuidV7 } from '../kernel/random.ts'
import type { ErrorCode } from '../kernel/errors.ts'
import { MAX_BODY_BYTES, MAX_PUSH_CHANGES, MAX_PUSH_PARTS } from '../protocol/limits.ts'
import type { PushAnswer, PushRequest, PushResult } from '../protocol/push.ts'
import type { Change } from '../protocol/records.ts'
import { observeBatch } from './batch-size.ts'
import type { MachineEvent } from './machine.ts'
import { isUncovered, moved, reportPublished } from './pull.ts'
import { reconcileAnswers, type AnsweredChange } from './reconcile.ts'
import type { DirtyLimit, DirtyRows, LocalRow, RowKey } from './store.ts'
import {
  advanceCursor,
  ATOMIC_BYTES,
  ATOMIC_ROWS,
  PUSH_CHUNK_BYTES,
  tablesByName,
  newGenerations,
  type Chunk,
  type TableCounts,
  type Work,
} from './work.ts'

/** Forced pushes after which a row that still meets conflicts gives way: a merge that cannot stand would go on for ever. */
const MAX_FORCED_ROUNDS = 3
/** Milliseconds in which a request is handed to the system, before anything else takes the thread. */
const REQUEST_OUT_MS = 2

/**
 * Reads the dirty rows and keeps them as the mutation in flight. `alone`: no pull came before it, so that whatever
 * only a pull does must not be waiting.
 */
export async function buildMutation(
  work: Work,
  { force, alone }: { readonly force: boolean; readonly alone: boolean },
  signal: AbortSignal,
): Promise<MachineEvent> {
  const counts = await work.store.counts()
  const before = await work.store.state()
  if (alone && (counts.parked > 0 || isUncovered(before, await work.store.schema(), work.tables)))
    return { type: 'behind' }
  if (work.sendsOnly && before.cursor === null) return { type: 'uncovered' }
  const pending = Object.entries(counts.pending).reduce(
    (sum, [table, count]) => (work.tables === null || work.tables.includes(table) ? sum + count : sum),
    0,
  )
  await tellSchema(work, pending > 0, signal)
  const state = await work.store.state()
  // Past the atomic size, the first upload for one, chunks of the batch size go one after the other, to the last.
  const chunked = pending > ATOMIC_ROWS || (work.chunk !== null && work.more && !force)
  const rows = Math.min(work.rowLimit, chunked ? Math.max(1, work.batch.rows) : ATOMIC_ROWS)
  const bytes = chunked ? PUSH_CHUNK_BYTES : ATOMIC_BYTES
  const ahead = chunked && !force ? work.ahead : null
  work.ahead = null
  work.chunk = chunked && !force ? { rows, bytes } : null
  const { changes, text, more } = ahead ?? (await readChunk(work, { rows, bytes }))
  work.more = more
  if (changes.length === 0) return { type: 'built', saved: false }
  const number = state.mutation + 1
  const head = {
    space: state.space,
    replica: state.replica,
    mutation: number,
    cursor: state.cursor,
    ...(force ? { force } : {}),
  }
  const parts = chunked ? [changes] : splitParts(changes, work.batch.rows)
  const attempt = parts.length === 1 ? '' : uuidV7(work.clock.now(), work.random)
  const bodies =
    parts.length === 1
      ? [bodyOf(head, text)]
      : parts.map((part, index) =>
          bodyOf({ ...head, part: { index, of: parts.length, attempt } }, JSON.stringify(part)),
        )
  await work.store.saveMutation({ number, force, parts: bodies })
  work.changes = changes
  return { type: 'built', saved: true }
}

/** A request, its changes as JSON already. */
const bodyOf = (head: Omit<PushRequest, 'changes'>, changes: string): string =>
  `${JSON.stringify(head).slice(0, -1)},"changes":${changes}}`

async function readChunk(work: Work, limit: DirtyLimit): Promise<Chunk> {
  const { rows, more } = await readDirty(work, limit)
  const changes = rows.map(changeOf)
  return { changes, text: JSON.stringify(changes), more }
}

/** A page of rows that only went to the quarantine is no reason to stop before the others (I9). */
async function readDirty(work: Work, limit: DirtyLimit): Promise<DirtyRows> {
  for (;;) {
    const dirty = await work.store.readDirty(work.tables === null ? limit : { ...limit, tables: work.tables })
    if (dirty.refused > 0) work.report({ type: 'quarantined', count: dirty.refused })
    if (dirty.rows.length > 0 || !dirty.more) return dirty
  }
}

/** The first rows of a new or changed table are preceded by what the table looks like. */
async function tellSchema(work: Work, needed: boolean, signal: AbortSignal): Promise<void> {
  const schema = await work.store.schema()
  const state = await work.store.state()
  if (schema.tables.length === 0 || schema.fingerprint === state.publishedSchema) return
  const request = { space: state.space, replica: state.replica, tables: [...schema.tables] }
  try {
    await work.provider.putSchema(request, signal)
  } catch (thrown) {
    // A token that may only read has nothing to tell; with local changes to send it is a reason to stop.
    if (!needed && thrown instanceof TidemarkError && thrown.code === 'forbidden') return
    throw thrown
  }
  await work.store.savePublishedSchema(schema.fingerprint)
}

/** A dirty row as it is sent: the changed fields of a row the cloud has, all fields of any other. */
export function changeOf(row: LocalRow): Change {
  if (row.fields !== null && row.agreed === 'none' && row.was === null) {
    const { table, key, base, at: hlc, fields, claims } = row
    if (isEmpty(claims)) return { table, key, base, hlc, op: 'put', fields }
    return { table, key, base, hlc, claims, op: 'put', fields }
  }
  const base = {
    table: row.table,
    key: row.key,
    base: row.base,
    hlc: row.at,
    ...(isEmpty(row.claims) ? {} : { claims: row.claims }),
    ...(row.was === null ? {} : { was: row.was }),
  }
  if (row.fields === null) return { ...base, op: 'delete' }
  if (row.agreed !== 'live' || row.was !== null) return { ...base, op: 'put', fields: row.fields }
  const { fields } = row
  // From entries: a column may be called `__proto__`.
  const changed = Object.fromEntries(row.changed.map((column) => [column, fields[column] ?? null]))
  return { ...base, op: 'put', fields: changed }
}

const isEmpty = (claims: LocalRow['claims']): boolean => Object.keys(claims).length === 0

/** Parts of about the batch size, none over the limits of a request. */
function splitParts(changes: readonly Change[], batchRows: number): readonly Change[][] {
  const fewest = Math.ceil((2 * changes.length) / MAX_PUSH_PARTS)
  const rows = Math.min(MAX_PUSH_CHANGES, Math.max(batchRows, fewest, 1))
  const parts: Change[][] = []
  let part: Change[] = []
  let bytes = 0
  for (const change of changes) {
    // UTF-8 takes at most three bytes for a unit of JSON text.
    const size = change.fields === undefined ? 0 : JSON.stringify(change.fields).length * 3
    if (part.length >= rows || (part.length > 0 && bytes + size > MAX_BODY_BYTES / 2)) {
      parts.push(part)
      part = []
      bytes = 0
    }
    part.push(change)
    bytes += size
  }
  parts.push(part)
  return parts
}

/** Sends the mutation in flight, every part with the same bytes as the first time (I3). */
export async function sendMutation(work: Work, signal: AbortSignal): Promise<MachineEvent> {
  const state = await work.store.state()
  const mutation = state.inFlight
  if (mutation === null) throw new TidemarkError('invariant', 'there is no mutation to send')
  // Before the first byte leaves: a file restored to before this moment is noticed by it (I13).
  await work.guard.record(state.replica, mutation.number)
  let answer: PushAnswer | null = null
  const packed = await work.store.packedParts?.()
  const count = work.changes?.length ?? 0
  for (const [index, body] of mutation.parts.entries()) {
    const begun = work.clock.now()
    const answered = pushPart(work, body, signal, packed?.[index])
    const isLast = index === mutation.parts.length - 1
    const reading = isLast && count > 0 && work.more ? readAhead(work) : null
    try {
      answer = await answered
    } finally {
      // The store is left to nobody else before its reading has ended.
      work.ahead = await reading
    }
    if (count > 0) {
      const rows = Math.ceil(count / mutation.parts.length)
      work.batch = observeBatch(work.batch, {
        rows,
        bytes: body.length,
        ms: work.clock.now() - begun,
        ok: true,
      })
    }
    if (mutation.parts.length > 1)
      work.report({ type: 'progress', task: 'push', done: index + 1, total: mutation.parts.length })
  }
  if (answer === null) throw new TidemarkError('invariant', 'a mutation without parts')
  work.answer = { generation: answer.generation, results: answer.results }
  return { type: 'answered' }
}

/**
 * Reads the next chunk of a bulk push while the cloud works at this one: neither waits for the other then. Null when
 * it cannot be read; whoever needs it learns why.
 */
async function readAhead(work: Work): Promise<Chunk | null> {
  const last = work.changes?.at(-1)
  if (work.chunk === null || last === undefined) return null
  // The request goes out first.
  await sleep(work.clock, REQUEST_OUT_MS)
  try {
    return await readChunk(work, { ...work.chunk, after: { table: last.table, key: last.key } })
  } catch {
    return null
  }
}

/** The highest version that an answer leaves here: of the push itself, or of the row that it met (I11). */
function versionHeld(result: PushResult): number {
  if (result.status === 'rejected') return 0
  return Math.max(result.status === 'ok' ? result.version : 0, result.current?.version ?? 0)
}

/**
 * Sends one part. A cloud that lacks the parts before it says nothing against the rows: freeing and halving the
 * mutation would tear what one transaction wrote (I5), so all parts are sent again.
 */
async function pushPart(
  work: Work,
  body: string,
  signal: AbortSignal,
  packed: Uint8Array<ArrayBuffer> | undefined,
): Promise<PushAnswer> {
  try {
    return await work.provider.push(body, signal, packed)
  } catch (thrown) {
    const error = toTidemarkError(thrown)
    if (error.code !== 'unprocessable' || typeof error.details['expected'] !== 'number') throw error
    const message = 'the parts sent before this one are gone; all of them are sent again'
    throw new TidemarkError('unavailable', message, { cause: error })
  }
}

/** Settles the mutation in flight with its answer, in one transaction with what the answer brought. */
export async function acknowledgeMutation(work: Work): Promise<MachineEvent> {
  const state = await work.store.state()
  const mutation = state.inFlight
  if (mutation === null || work.answer === null || state.cursor === null) {
    throw new TidemarkError('invariant', 'there is no answer to acknowledge')
  }
  const changes = work.changes ?? changesOf(mutation.parts)
  const { results, generation } = work.answer
  if (results.length !== changes.length)
    throw new TidemarkError('bad_answer', 'the answer has another number of results')
  const answers = changes.map((change, at): AnsweredChange => ({
    change,
    result: results[at] as AnsweredChange['result'],
  }))
  const open = answers.filter(
    ({ result }) => result.status !== 'rejected' && (result.status !== 'ok' || result.current !== undefined),
  )
  const touched = open.length === 0 ? [] : await work.store.readTouched(open.map(({ change }) => change))
  const tables = tablesByName(await work.store.schema())
  const settled = await reconcileAnswers(answers, touched, {
    tables,
    resolvers: work.resolvers(state.replica),
    exhausted: mutation.force && work.forcedRounds >= MAX_FORCED_ROUNDS,
  })
  const high = results.reduce((max, result) => Math.max(max, versionHeld(result)), 0)
  const result = await work.store.publish({
    acknowledge: { mutation: mutation.number, rows: settled.rows },
    records: settled.records,
    merged: settled.merged,
    notes: settled.notes,
    cursor: advanceCursor(state.cursor, generation, { high }),
    ...newGenerations(state.generations, generation),
  })
  if (result.status !== 'done') return moved(work, result)
  // What the answer brought, it brought without marks: rows read before that may be others by now.
  if (open.length > 0) work.ahead = null
  work.moves = 0
  work.forcedRounds = mutation.force && settled.conflicts > 0 ? work.forcedRounds + 1 : 0
  work.changes = null
  work.answer = null
  const refused = settled.rows.filter(({ outcome }) => outcome.kind === 'refused').length
  const taken = settled.rows.filter(({ outcome }) => outcome.kind === 'ok')
  if (refused > 0) work.report({ type: 'quarantined', count: refused })
  work.sent += taken.length
  if (taken.length > 0) {
    const tables = countTables(taken.map(({ change }) => change))
    work.report({ type: 'pushed', rows: taken.length, tables, force: mutation.force })
  }
  reportPublished(work, result)
  if (settled.conflicts === 0) work.rowLimit = Math.min(ATOMIC_ROWS, work.rowLimit * 2)
  return { type: 'acked', conflicts: settled.conflicts, more: work.more }
}

/** Takes a refused mutation back: halved next time; a single row is set apart, so that it stops nothing (I9). */
export async function freeMutation(work: Work, code: ErrorCode): Promise<MachineEvent> {
  const { inFlight, replica } = await work.store.state()
  if (inFlight === null) return { type: 'freed' }
  // Before the file goes back to the number: after a crash between the two it would look like a restored one (I13).
  await work.guard.takeBack(replica, inFlight.number)
  const changes = work.changes ?? changesOf(inFlight.parts)
  work.changes = null
  work.answer = null
  const [only] = changes
  if (changes.length === 1 && only !== undefined) {
    const outcome = { kind: 'refused', code, message: work.lastError?.message ?? code } as const
    const acknowledge = { mutation: inFlight.number, returned: true, rows: [{ change: only, outcome }] }
    const result = await work.store.publish({ acknowledge, records: [], merged: [], notes: [] })
    if (result.status !== 'done') throw new TidemarkError('database_locked')
    work.rowLimit = ATOMIC_ROWS
    work.report({ type: 'quarantined', count: 1 })
    return { type: 'freed' }
  }
  await work.store.freeMutation(inFlight.number)
  work.rowLimit = Math.max(1, Math.floor(changes.length / 2))
  return { type: 'freed' }
}

function countTables(rows: readonly RowKey[]): TableCounts {
  const counts = new Map<string, number>()
  for (const { table } of rows) counts.set(table, (counts.get(table) ?? 0) + 1)
  return Object.fromEntries(counts)
}

function changesOf(parts: readonly string[]): readonly Change[] {
  return parts.flatMap((body) => (JSON.parse(body) as PushRequest).changes)
}
