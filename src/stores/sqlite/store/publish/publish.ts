import { TidemarkError } from '../../../../kernel/errors.ts'
import type { Fields } from '../../../../kernel/values.ts'
import type { InboxDraft } from '../../../../engine/inbox.ts'
import type { MergedRow, Publication, PublishResult, RowKey } from '../../../../engine/store.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import { raiseFloor, setApplying } from '../../capture/capture.ts'
import { withhold } from '../holding.ts'
import { noteArrivals } from '../hydrate.ts'
import { noteIntegrity } from '../integrity.ts'
import { Retreat } from '../retreat.ts'
import { bridgeNote, bridgeRecord, editNote, type Bridged } from '../renamed.ts'
import type { Session } from '../session.ts'
import { NO_STATE, type RowState } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'
import { forgetTombstones } from '../tombstones.ts'
import { withoutSyncedTriggers } from '../user-triggers.ts'
import { acknowledge, type Acknowledged } from './acknowledge.ts'
import { applyToTable, type CleanRecord, type TableWork } from './apply.ts'
import { movedReadings, readNews, type News } from './guard.ts'
import { agreeOnImage } from './images-only.ts'
import { Unmarked, withoutPoison, type Poison } from './obstacle.ts'
import { followFields, rekeyRows, rowId, type Follows } from './rekey.ts'
import type { Outcome, Target } from './target.ts'

/** One publication; see the port. */
export function publish(session: Session, publication: Publication): PublishResult {
  try {
    return withoutPoison((poison) => publishOnce(session, publication, poison))
  } catch (error) {
    if (error instanceof Moved) return { status: 'moved', rows: error.rows }
    if (error instanceof Unmarked) return markUnmarked(session, error)
    throw error
  }
}

/** Rows that moved: the transaction must leave nothing. */
class Moved extends Retreat {
  readonly rows: readonly RowKey[]

  constructor(rows: readonly RowKey[]) {
    super('rows have moved')
    this.name = 'Moved'
    this.rows = rows
  }
}

/** The row is an edit from now on, and will be merged. */
function markUnmarked(session: Session, { table: name, key }: Unmarked): PublishResult {
  session.write(() => {
    const table = session.table(name)
    const bounds = table?.bindKey(key) ?? null
    if (table !== undefined && bounds !== null) table.states.addMark(bounds, session.time)
  })
  return { status: 'moved', rows: [{ table: name, key }] }
}

function publishOnce(session: Session, publication: Publication, poison: Poison): PublishResult {
  const outcome: Outcome = {
    applied: 0,
    tables: new Map(),
    parked: 0,
    touched: publication.place === undefined ? new Map() : null,
  }
  let begun = 0
  let schemaVersion: number | null = null
  const notes = session.apply(() => {
    begun = session.clock.now()
    const inFlight = session.mutations.inFlightNumber
    if (inFlight !== (publication.acknowledge?.mutation ?? null)) return null
    if (publication.place !== undefined && session.meta.get('hydrating') === null) {
      throw new TidemarkError('invariant', 'no hydrate is under way')
    }
    const readings = publication.imagesOnly === true ? [] : movedReadings(session, publication)
    if (readings.length > 0) throw new Moved(readings)
    setApplying(session.connection, true)
    const written = applyPublication(session, publication, poison, outcome)
    setApplying(session.connection, false)
    schemaVersion = session.schemaVersion
    return written
  })
  if (notes === null) return { status: 'stale' }
  if (schemaVersion !== null) session.keepCatalogue(schemaVersion)
  const lockMs = session.clock.now() - begun
  const findings =
    outcome.touched === null || publication.imagesOnly === true ? 0 : noteIntegrity(session, outcome.touched)
  const { applied, parked } = outcome
  const tables = Object.fromEntries(outcome.tables)
  return { status: 'done', applied, tables, parked, notes: notes + findings, lockMs }
}

/** Everything under the lock; answers how many notes were written. */
function applyPublication(
  session: Session,
  publication: Publication,
  poison: Poison,
  outcome: Outcome,
): number {
  const { meta } = session
  const acknowledged =
    publication.acknowledge === undefined
      ? null
      : acknowledge(
          session,
          publication.acknowledge,
          publication.records.length > 0 || publication.merged.length > 0,
        )
  raiseFloor(session.connection, Math.max(acknowledged?.floor ?? 0, latestTime(publication)))
  let { notes } = publication
  if (publication.imagesOnly === true) agreeOnImages(session, publication, acknowledged?.before ?? new Map())
  else {
    const news = readNews(session, publication, acknowledged?.before ?? new Map())
    if (news.moved.length > 0) throw new Moved(news.moved)
    notes = withFreshKeys(
      notes,
      applyNews(session, publication, news, acknowledged?.before ?? new Map(), poison, outcome),
    )
  }
  if (publication.place !== undefined) noteArrivals(session, publication, publication.place)
  if (publication.cursor !== undefined) {
    meta.set('cursor', publication.cursor)
    const { read = 0 } = publication.cursor
    if (read > 0 && read > meta.get('forgotten')) meta.set('forgotten', read)
  }
  if (publication.asides !== undefined) meta.set('asides', publication.asides)
  if (publication.overwritten === true) meta.set('overwriting', null)
  if (publication.generations !== undefined) meta.set('generations', publication.generations)
  if (publication.floor !== undefined) forgetTombstones(session, publication.floor)
  for (const note of notes) session.note(note)
  return notes.length
}

/** The receive rule of the hybrid clock: no later mark is stamped below what was seen. */
function latestTime({ records, merged }: Publication): number {
  let latest = 0
  for (const { hlc } of records) if (hlc > latest) latest = hlc
  for (const { record } of merged) if (record !== null && record.hlc > latest) latest = record.hlc
  return latest
}

function agreeOnImages(session: Session, publication: Publication, acknowledged: Acknowledged): void {
  for (const { table, records } of readNews(session, publication, acknowledged).tables) {
    for (const { record } of records) agreeOnImage(session, table, record)
  }
  for (const { record } of publication.merged) {
    const table = record === null ? undefined : session.table(record.table)
    if (table !== undefined && record !== null) agreeOnImage(session, table, record)
  }
}

function applyNews(
  session: Session,
  { merged, records }: Publication,
  news: News,
  acknowledged: Acknowledged,
  poison: Poison,
  outcome: Outcome,
): Follows {
  const isRekeying = merged.some(({ decision }) => decision.kind === 'rekey')
  const tables = isRekeying ? null : tablesTouched(session, news, merged)
  return withoutSyncedTriggers(session, tables, () => {
    const follows = rekeyRows(session, { merged, records, notes: [] })
    const works = new Map<string, TableWork>()
    const workOf = (table: SyncedTable): TableWork => {
      const known = works.get(table.name)
      if (known !== undefined) return known
      const work: TableWork = {
        table,
        clean: [],
        targets: [],
        acknowledged: acknowledged.get(table.name) ?? new Map(),
      }
      works.set(table.name, work)
      return work
    }
    for (const { table, records: fresh } of news.tables) {
      const work = workOf(table)
      const isUsual = follows.movedAway.size + follows.changed.size + table.renamed.length === 0
      for (const one of fresh) {
        const { record, bounds } = one
        const target =
          isUsual && bounds !== null ? null : specialTarget(session, table, record, follows, bounds)
        if (target !== null) work.targets.push(target)
        else if (hasBounds(one)) work.clean.push(one)
      }
    }
    for (const row of merged) addMerged(session, row, follows, workOf)
    for (const table of session.tables) {
      const work =
        works.get(table.name) ?? (session.parking.isEmpty(table.number) ? undefined : workOf(table))
      if (work !== undefined) applyToTable(session, work, poison.get(table.name) ?? new Set(), outcome)
    }
    if (outcome.touched !== null)
      for (const id of follows.changed.keys()) touchFollowed(session, outcome.touched, id)
    return follows
  })
}

/** Tables that may be written to: those of the publication, and those where a parked record is tried again. */
function tablesTouched(session: Session, news: News, merged: readonly MergedRow[]): readonly string[] {
  const names = new Set(
    news.tables.filter(({ records }) => records.length > 0).map(({ table }) => table.name),
  )
  for (const { read } of merged) names.add(read.table)
  for (const table of session.tables) if (!session.parking.isEmpty(table.number)) names.add(table.name)
  return [...names]
}

const hasBounds = (one: News['tables'][number]['records'][number]): one is CleanRecord => one.bounds !== null

/** A record that is not applied as it is: its row was moved, its reference followed, or no row can have its key. */
function specialTarget(
  session: Session,
  table: SyncedTable,
  record: WireRecord,
  follows: Follows,
  bounds: CleanRecord['bounds'] | null,
): Target | null {
  const { key } = record
  const id = rowId(table.name, key)
  const target = { key, bounds, record, fresh: true } as const
  if (bounds === null) return { ...target, kind: 'record', fields: null, at: 0 }
  if (follows.movedAway.has(id)) {
    table.states.removeMark(bounds)
    table.states.write(bounds, NO_STATE)
    return { ...target, kind: 'record', fields: null, at: 0 }
  }
  if (record.deleted === true || record.fields === undefined) return null
  const bridged = bridgeRecord(table, record)
  if (bridged !== null) noteBridge(session, table, record, bridged, bounds)
  const known = bridged?.fields ?? record.fields
  const fields = follows.changed.has(id) ? followFields(follows, id, known) : known
  if (fields === record.fields) return null
  const at = table.states.readMark(bounds) ?? (fields === bridged?.fields ? bridged.at : session.time)
  return { ...target, kind: 'keep', fields, at }
}

function noteBridge(
  session: Session,
  table: SyncedTable,
  record: WireRecord,
  bridged: Bridged,
  bounds: CleanRecord['bounds'],
): void {
  const note = bridgeNote(table, record, bridged, table.states.read(bounds))
  if (note !== null) session.note(note)
}

function addMerged(
  session: Session,
  { read, decision, record }: MergedRow,
  follows: Follows,
  workOf: (table: SyncedTable) => TableWork,
): void {
  const table = session.table(read.table)
  if (table === undefined) return
  const { key } = read
  const bounds = table.bindKey(key)
  const at = read.at === 0 ? session.time : read.at
  if (decision.kind === 'hold') {
    if (bounds !== null)
      withhold(session, table, key, bounds, at, versionMet(table.states.read(bounds) ?? NO_STATE, record))
    return
  }
  const id = rowId(table.name, key)
  if (decision.kind === 'rekey' || follows.movedAway.has(id)) {
    if (record === null) return
    workOf(table).targets.push(
      specialTarget(session, table, record, follows, bounds) ?? {
        key,
        bounds,
        record,
        fresh: true,
        kind: 'record',
        fields: null,
        at: 0,
      },
    )
    return
  }
  const bridged = record === null || bounds === null ? null : bridgeRecord(table, record)
  if (record !== null && bridged !== null && bounds !== null) {
    const kept = decision.kind === 'keep' ? decision.fields : null
    // A local edit of the column stands; what came under its old name is in the note.
    const isEdited = ({ column }: Bridged['taken'][number]): boolean =>
      kept !== null && read.agreed === 'live' && read.changed.includes(column)
    const [beaten, taken] = [bridged.taken.filter(isEdited), bridged.taken.filter((one) => !isEdited(one))]
    if (beaten.length > 0) session.note(editNote(read, record, bridged, beaten))
    noteBridge(session, table, record, { ...bridged, taken }, bounds)
    const values = taken.map(({ column }) => [column, bridged.fields[column] ?? null] as const)
    const fields = followFields(follows, id, { ...(kept ?? bridged.fields), ...Object.fromEntries(values) })
    const time = Math.max(at, bridged.at)
    workOf(table).targets.push({ key, bounds, record, fresh: true, at: time, kind: 'keep', fields })
    return
  }
  const fields: Fields | null = decision.kind === 'keep' ? followFields(follows, id, decision.fields) : null
  workOf(table).targets.push({ key, bounds, record, fresh: true, at, kind: decision.kind, fields })
}

/** What a held row met and does not know: a newer record, or that the cloud has none. */
function versionMet({ agreed, version }: RowState, record: WireRecord | null): number {
  if (record === null) return agreed === 'none' ? 0 : version + 1
  return record.version > version ? record.version : 0
}

function touchFollowed(session: Session, touched: Map<number, Set<string>>, id: string): void {
  const [name = '', key = ''] = id.split('\0')
  const table = session.table(name)
  if (table === undefined) return
  touched.set(table.number, (touched.get(table.number) ?? new Set<string>()).add(key))
}

/** Notes about re-keyed rows show the row as it stands now. */
function withFreshKeys(notes: readonly InboxDraft[], { rekeyed }: Follows): readonly InboxDraft[] {
  if (rekeyed.size === 0) return notes
  return notes.map((note) => {
    const local = note.kind === 'rekeyed' ? rekeyed.get(rowId(note.table, note.key)) : undefined
    return local === undefined ? note : { ...note, local }
  })
}
