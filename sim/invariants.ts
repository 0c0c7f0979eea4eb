import { hlcToMs } from '../src/kernel/hlc.ts'
import { sameValue, type Fields } from '../src/kernel/values.ts'
import { fieldVersion } from '../src/protocol/field-version.ts'
import type { WireRecord } from '../src/protocol/records.ts'
import { tokensOf, type Model, type DeleteToken, type Tables, type Token } from './model.ts'
import type { Oracle, Step } from './oracle.ts'
import { check, InvariantBroken } from './outcome.ts'
import { rowId, showRow, type CloudView, type DiskView } from './view.ts'

/** Where tokens are: asked for far more often than what is looked through changes. */
export interface Presence {
  has(token: string): boolean
}

/** Every token that is anywhere at all: on a disk, in a mutation, an inbox, parked, or in the cloud. */
export function collectTokens(disks: readonly DiskView[], ...clouds: readonly CloudView[]): Presence {
  const places = [...clouds.map(tokensInCloud), ...disks.flatMap(tokensOnDisk)]
  return { has: (token) => places.some((place) => place.has(token)) }
}

function tokensInCloud(cloud: CloudView): ReadonlySet<string> {
  return kept(cloud, (present) => {
    for (const record of cloud.records.values()) addTokens(present, record.fields)
    for (const answer of cloud.answers) addFromText(present, answer)
  })
}

function tokensOnDisk(disk: DiskView): readonly ReadonlySet<string>[] {
  const tables = [...disk.tables.values()].map((rows) =>
    kept(rows, (present) => {
      for (const row of rows.values()) addTokens(present, row)
    }),
  )
  const rest = kept(disk, (present) => {
    for (const part of disk.inFlight?.parts ?? []) addFromText(present, part)
    addListed(present, disk)
  })
  return [...tables, rest]
}

const sets = new WeakMap<object, ReadonlySet<string>>()

/** Views and tables are the same objects as long as nothing in them changed. */
function kept(of: object, collect: (into: Set<string>) => void): ReadonlySet<string> {
  const known = sets.get(of)
  if (known !== undefined) return known
  const set = new Set<string>()
  collect(set)
  sets.set(of, set)
  return set
}

/** Tokens that a person can find on this disk although they lost: inbox, parked rows, rows held or refused. */
function addListed(present: Set<string>, disk: DiskView): void {
  addNoted(present, disk)
  for (const record of disk.parked.values()) addTokens(present, record.fields)
  for (const { table, key } of disk.quarantine) addTokens(present, disk.tables.get(table)?.get(key))
  for (const id of disk.held) {
    const [table = '', key = ''] = id.split('\0')
    addTokens(present, disk.tables.get(table)?.get(key))
  }
}

function addNoted(present: Set<string>, disk: DiskView): void {
  for (const { local, remote } of disk.inbox) {
    addTokens(present, local)
    addTokens(present, remote?.fields)
  }
}

function addTokens(present: Set<string>, fields: Fields | null | undefined): void {
  if (fields === null || fields === undefined) return
  for (const token of tokensOf(fields)) present.add(token)
}

const TOKEN = /[a-z0-9-]+~\d+~\w+/g

/** Texts are looked through again with every view that has them. */
const MAX_TEXTS = 500
const tokensByText = new Map<string, readonly string[]>()

function addFromText(present: Set<string>, text: string): void {
  let tokens = tokensByText.get(text)
  if (tokens === undefined) {
    tokens = [...text.matchAll(TOKEN)].map(([token]) => token)
    if (tokensByText.size >= MAX_TEXTS) tokensByText.clear()
    tokensByText.set(text, tokens)
  }
  for (const token of tokens) present.add(token)
}

/** I1: no committed write is nowhere. */
export function checkNothingLost(model: Model, present: Presence): void {
  for (const token of model.owed()) {
    check(present.has(token.id), 'I1', () => `${token.id} of ${token.table} is nowhere`)
  }
}

/**
 * Tokens that only the inbox of a file which went back in time had listed: a push still on its way may overwrite
 * them in the cloud, and nobody remembers that it was told.
 */
export function excuseForgotten(model: Model, before: DiskView, after: DiskView): void {
  // What is parked again is there only until the push that overwrote it comes back.
  for (const add of [addListed, addNoted]) {
    const [listed, kept] = [new Set<string>(), new Set<string>()]
    add(listed, before)
    add(kept, after)
    for (const id of listed) {
      const token = model.get(id)
      if (token?.fate === 'live' && !kept.has(id)) token.fate = 'settled'
    }
  }
}

/**
 * A file that went back in time holds rows for unsent that it had sent already. Deleted since, by others or by itself
 * in the time that is gone, they are inserts that meet a tombstone, and come back as any unsent row does. A delete
 * that this replica makes from now on is none of these.
 */
export function excuseUnsent(model: Model, replica: string, restored: DiskView): void {
  const resent = new Set<Token>()
  for (const id of restored.marked) {
    const [table = '', key = ''] = id.split('\0')
    for (const text of tokensOf(restored.tables.get(table)?.get(key) ?? {})) {
      const token = model.get(text)
      if (token === undefined) continue
      token.unsentAgain.add(replica)
      resent.add(token)
    }
  }
  for (const gone of model.deletes()) {
    if (gone.replica !== replica) continue
    // What it saw may have replaced what the file holds again.
    const saw = (token: Token): boolean =>
      resent.has(token) || [...resent].some((sent) => model.hasSeen(token, sent))
    if (gone.seen.some(saw)) gone.excused = true
  }
}

/**
 * What a forced push overwrote is told in its answer, and the cloud that keeps the answer goes back: where the answer
 * is lost too, nobody remembers, though the push may have been read by all.
 */
export function excuseUntold(model: Model, before: CloudView, after: CloudView): void {
  const [told, kept] = [new Set<string>(), new Set<string>()]
  for (const answer of before.answers) addFromText(told, answer)
  for (const answer of after.answers) addFromText(kept, answer)
  for (const record of before.records.values()) addTokens(kept, record.fields)
  for (const id of told) {
    const token = model.get(id)
    if (token?.fate === 'live' && !kept.has(id)) token.fate = 'settled'
  }
}

/** A fault just wiped out state: what is nowhere now is its doing and nobody else's. */
export function excuseDestroyed(model: Model, present: Presence): number {
  let excused = 0
  for (let again = true; again;) {
    again = false
    for (const token of model.owed()) {
      if (present.has(token.id)) continue
      token.fate = 'destroyed'
      excused++
      // What it had replaced is owed again.
      again = true
    }
  }
  return excused
}

/** Whose file has just become an older one, and what it was before. */
export interface WentBack {
  readonly replica: string
  readonly before: DiskView
}

/**
 * Deletes after such a fault: one that was taken back on its own disk is destroyed, and one that no disk and no
 * cloud knows of any more cannot be asked for.
 */
export function excuseDeletes(
  model: Model,
  disks: ReadonlyMap<string, DiskView>,
  clouds: readonly CloudView[],
  oracle: Oracle,
  wentBack: WentBack | null,
): void {
  const all = [...disks.values()]
  const valuesOf = (disk: DiskView | undefined, table: string, key: string): readonly string[] =>
    tokensOf(disk?.tables.get(table)?.get(key) ?? {})
  for (const gone of model.deletes()) {
    if (gone.fate !== 'live') continue
    const id = rowId(gone.table, gone.key)
    const own =
      wentBack?.replica === gone.replica ? valuesOf(disks.get(gone.replica), gone.table, gone.key) : []
    const before = valuesOf(wentBack?.before, gone.table, gone.key)
    const isBack = own.some((value) => !before.includes(value) && sawValue(model, gone, value))
    // Taken by the cloud, however long ago: a tombstone stood there, or another row has come since.
    const records = [oracle.since(id, oracle.head).first, ...clouds.map((cloud) => cloud.records.get(id))]
    const buried =
      gone.buriedAt !== null ||
      records.some(
        (record) =>
          record !== undefined &&
          record !== null &&
          !tokensOf(record.fields ?? {}).some((value) => sawValue(model, gone, value)),
      )
    if (!buried && isBack) gone.fate = 'destroyed'
    const known =
      buried ||
      all.some((disk) => {
        const stands = disk.tables.get(gone.table)?.has(gone.key) === true
        return !stands && (disk.marked.has(id) || disk.agreed.get(id)?.deleted === true)
      })
    if (!known) gone.excused = true
  }
}

/** The replica's place in the cloud's own history; null when it has not noticed yet that there is another. */
export function commonCursor(disk: DiskView, cloud: CloudView): number | null {
  const { cursor } = disk
  if (cursor === null || cursor.epoch !== cloud.epoch) return null
  const at = cloud.generations.findIndex(({ id }) => id === cursor.generation)
  if (at < 0) return null
  const end = cloud.generations[at + 1]?.start ?? cloud.head
  return Math.max(cursor.high, cursor.read ?? 0) <= end ? cursor.version : null
}

/** I4: clean rows are as the cloud had them at the cursor, or later. */
export function checkNoSkip(name: string, disk: DiskView, cloud: CloudView, oracle: Oracle): void {
  const version = commonCursor(disk, cloud)
  if (version === null || disk.hydrating !== null) return
  check(version <= cloud.head, 'I4', () => `${name} is at version ${version}, the cloud at ${cloud.head}`)
  const quarantined = new Set(disk.quarantine.map(({ table, key }) => rowId(table, key)))
  const apart = (id: string) =>
    disk.marked.has(id) || disk.held.has(id) || disk.parked.has(id) || quarantined.has(id)
  const ids = new Set(oracle.rows())
  for (const table of disk.covered)
    for (const key of disk.tables.get(table)?.keys() ?? []) ids.add(rowId(table, key))
  const covered = new Set(disk.covered)
  for (const id of ids) {
    const [table = '', key = ''] = id.split('\0')
    if (!covered.has(table) || apart(id)) continue
    const { first, later } = oracle.since(id, version)
    const row = disk.tables.get(table)?.get(key)
    const fits = (record: WireRecord | null) =>
      matches(row, record, (column) => disk.unread.has(`${table}\0${column}`))
    if (fits(first) || later.some(fits)) continue
    const seen = first === null ? 'none' : `version ${first.version}`
    throw new InvariantBroken(
      'I4',
      `${name} at version ${version} has a clean row ${showRow(id)} that is not the cloud's (${seen}): ${differences(row, first)}`,
    )
  }
}

function matches(
  row: Fields | undefined,
  record: WireRecord | null,
  isUnread: (column: string) => boolean = () => false,
): boolean {
  if (record === null || record.deleted === true || record.fields === undefined) return row === undefined
  if (row === undefined) return false
  for (const [column, value] of Object.entries(record.fields)) {
    if (Object.hasOwn(row, column) && !sameValue(row[column], value) && !isUnread(column)) return false
  }
  return true
}

function differences(row: Fields | undefined, record: WireRecord | null): string {
  if (row === undefined) return 'the row is missing'
  const fields = record?.fields
  if (fields === undefined) return 'the row should not be there'
  return Object.keys(fields)
    .filter((column) => Object.hasOwn(row, column) && !sameValue(row[column], fields[column]))
    .map((column) => `${column} ${JSON.stringify(row[column])} for ${JSON.stringify(fields[column])}`)
    .join(', ')
}

/** I6: money moved inside a group is never half there for a reader of that replica. */
export function checkSums(name: string, tables: Tables, tainted: ReadonlySet<string>): void {
  const sums = new Map<string, number>()
  for (const row of tables.get('accounts')?.values() ?? []) {
    const group = String(row['grp'])
    sums.set(group, (sums.get(group) ?? 0) + Number(row['balance']))
  }
  for (const [group, sum] of sums) {
    check(sum === 0 || tainted.has(group), 'I6', () => `${name} reads a sum of ${sum} in group ${group}`)
  }
}

/**
 * I3, I7: a cell of the cloud never goes back to a write that the one it replaces had seen. `wentBack`: the cloud
 * itself did, once.
 */
export function checkNoRegress(
  model: Model,
  steps: readonly Step[],
  disks: () => readonly DiskView[],
  wentBack: boolean,
): void {
  for (const { id, before, after } of steps) {
    for (const [column, value] of Object.entries(after.fields ?? {})) {
      const old = before?.fields?.[column]
      if (typeof value !== 'string' || typeof old !== 'string' || old === value) continue
      const late = model.get(old)
      const early = model.get(value)
      if (late === undefined || early === undefined || late.fate !== 'live' || early.fate !== 'live') continue
      if (!model.hasSeen(late, early) || isListed(late.id, disks())) continue
      // What is offered again had come back after a delete, a change of key or a conflict that the cloud has lost.
      if (wentBack && (late.moved || late.children.some(isDelete) || isListed(early.id, disks()))) continue
      throw new InvariantBroken(
        'I3',
        `${showRow(id)}.${column} went back from ${old} to ${value}, which ${old} had replaced`,
      )
    }
  }
}

const isDelete = (child: Token | DeleteToken): boolean => 'seen' in child

function isListed(token: string, disks: readonly DiskView[]): boolean {
  const listed = new Set<string>()
  for (const disk of disks) addListed(listed, disk)
  return listed.has(token)
}

/** I2: every replica's table ∪ parked is the cloud's, rows held or refused excepted by name. */
export function checkConverged(name: string, disk: DiskView, cloud: CloudView): void {
  const apart = new Set(disk.held)
  for (const { table, key } of disk.quarantine) apart.add(rowId(table, key))
  for (const id of disk.marked) check(apart.has(id), 'I8', () => `${name} still has ${showRow(id)} to send`)
  for (const [id, record] of cloud.records) {
    const [table = '', key = ''] = id.split('\0')
    if (apart.has(id) || !disk.tables.has(table)) continue
    const row = disk.tables.get(table)?.get(key)
    const parked = disk.parked.get(id)
    if (parked === undefined) {
      check(
        matches(row, record),
        'I2',
        () => `${name} differs from the cloud in ${showRow(id)}: ${differences(row, record)}`,
      )
    } else {
      check(
        parked.version === record.version,
        'I2',
        () => `${name} parked ${showRow(id)} at version ${parked.version}, the cloud has ${record.version}`,
      )
    }
  }
  for (const [table, rows] of disk.tables) {
    for (const key of rows.keys()) {
      const id = rowId(table, key)
      if (apart.has(id) || disk.parked.has(id)) continue
      const record = cloud.records.get(id)
      check(
        record !== undefined && record.deleted !== true,
        'I2',
        () => `${name} has ${showRow(id)}, which the cloud ${record === undefined ? 'never had' : 'deleted'}`,
      )
    }
  }
}

/** I1, I7 after healing: every write is current in the cloud, replaced by one that saw it, or listed somewhere. */
export function checkAccounted(model: Model, disks: readonly DiskView[], cloud: CloudView): void {
  const present = new Set<string>()
  for (const record of cloud.records.values()) addTokens(present, record.fields)
  for (const disk of disks) addListed(present, disk)
  for (const token of model.owed()) {
    check(present.has(token.id), 'I7', () => `${token.id} of ${token.table} was overwritten silently`)
  }
}

/**
 * A delete that nobody's later edit undid stays: the row is gone, or the inbox says why it is back. A file that went
 * back in time (`troubled`) may delete a row that it believes it never sent.
 */
export function checkDeletes(
  model: Model,
  disks: readonly DiskView[],
  cloud: CloudView,
  troubled: boolean,
): void {
  const noted = new Set<string>()
  for (const disk of disks) {
    for (const { table, key } of disk.inbox) noted.add(rowId(table, key))
    for (const { table, key } of disk.quarantine) noted.add(rowId(table, key))
  }
  for (const gone of model.deletes()) {
    if (gone.fate !== 'live' || gone.excused || (troubled && !gone.agreed)) continue
    const id = rowId(gone.table, gone.key)
    const record = cloud.records.get(id)
    if (record?.fields === undefined || noted.has(id)) continue
    const tokens = tokensOf(record.fields).map((token) => model.get(token))
    const undone = tokens.every(
      (token) =>
        token !== undefined &&
        token.fate === 'live' &&
        !token.moved &&
        !isUnsentElsewhere(token, gone.replica) &&
        gone.seen.some((seen) => seen === token || model.hasSeen(seen, token)),
    )
    check(
      !undone,
      'I3',
      () => `${showRow(id)} was deleted by ${gone.replica} and is back without anyone's edit`,
    )
  }
}

/** True when the delete took this value away, or one that had replaced it. */
function sawValue(model: Model, gone: DeleteToken, value: string): boolean {
  const token = model.get(value)
  return token !== undefined && gone.seen.some((seen) => seen === token || model.hasSeen(seen, token))
}

const isUnsentElsewhere = (token: Token, replica: string): boolean =>
  [...token.unsentAgain].some((other) => other !== replica)

/** How far two right clocks may seem apart: counters of the hybrid clock, and a cloud that clamps. */
const CLOCK_SLACK_MS = 1_000

/** I7: where all clocks are right, newest wins chooses no value that is older than the one it gave up. */
export function checkNewest(model: Model, disks: readonly DiskView[]): void {
  for (const disk of disks) {
    for (const { kind, by, chosen, columns, local, remote } of disk.inbox) {
      if (kind !== 'field' || by !== 'newestWins' || chosen !== 'remote' || remote === null) continue
      for (const column of columns) {
        const value = local?.[column]
        const token = typeof value === 'string' ? model.get(value) : undefined
        if (token === undefined || token.fate !== 'live') continue
        const time = hlcToMs(fieldVersion(remote, column)[1])
        check(
          token.at <= time + CLOCK_SLACK_MS,
          'I7',
          () => `${token.id} lost against a value that is ${token.at - time} ms older`,
        )
      }
    }
  }
}
