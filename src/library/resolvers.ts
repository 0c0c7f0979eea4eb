import {
  localWins as engineLocalWins,
  newestWins as engineNewestWins,
  remoteWins as engineRemoteWins,
  WrongAnswer,
  type Conflict,
  type NamedResolver,
  type Resolution,
} from '../engine/resolvers.ts'
import { decodeJs, encodeJs } from '../kernel/js-values.ts'
import { encodeBytes, isPlainObject, sameValue, type Encoded, type Fields } from '../kernel/values.ts'
import {
  toSyncConflict,
  type AnyConflict,
  type Row,
  type RowOf,
  type SyncConflict,
  type Tables,
} from './conflict.ts'

/**
 * - `local`, `remote`: that side's values for the columns in question.
 * - `wait`: nothing is chosen; the row waits in the inbox, everything else goes on.
 * - a row: these values for the columns that it names; the local ones for the others in question.
 */
export type ConflictAnswer<Data extends object = Row> = 'local' | 'remote' | 'wait' | Partial<Data>

/** Decides a conflict. What throws, or answers something else, decides nothing: the row waits in the inbox. */
export type ConflictResolver<Known extends Tables = { readonly [table: string]: Row }> = (
  conflict: SyncConflict<Known>,
) =>
  | ConflictAnswer<RowOf<Known, keyof Known & string>>
  | Promise<ConflictAnswer<RowOf<Known, keyof Known & string>>>

/** Columns of the rows that a resolver for all was given. */
type AnswerTo<Met extends AnyConflict> = Partial<Met['localData']>

/** The side with the newer change; given to a sync as it is, it decides column by column. */
function newestWins(conflict: Pick<AnyConflict, 'localTimestamp' | 'remoteTimestamp'>): 'local' | 'remote' {
  return conflict.localTimestamp > conflict.remoteTimestamp ? 'local' : 'remote'
}
function localWins(): 'local' {
  return 'local'
}
function remoteWins(): 'remote' {
  return 'remote'
}

/** How far a notification has come, by the words that applications use for it. Past it there is no way back. */
const STATES: readonly (readonly string[])[] = [
  ['new', 'created', 'pending', 'queued', 'unread'],
  ['sent', 'delivered', 'shown', 'displayed'],
  ['seen', 'opened', 'read'],
  ['acknowledged', 'actioned', 'done', 'completed', 'resolved'],
  ['dismissed', 'archived', 'deleted'],
]
const FLAGS = /^(is_?)?(read|seen|opened|dismissed|archived|acknowledged|deleted)$/i
const MOMENTS = /^(read|seen|opened|dismissed|archived|acknowledged|deleted)_?at$/i
const STATUS = /^(status|state)$/i

/**
 * For notifications: what one device has read stays read. Of `status` the further state stands (unread, delivered,
 * read, done, dismissed), flags such as `read` stay set, moments such as `read_at` keep the first. What is none of
 * these: the newer value.
 */
export function notificationResolver<Met extends AnyConflict>(conflict: Met): AnswerTo<Met> {
  return byColumn(conflict, (column, local, remote, newer) => {
    if (STATUS.test(column)) return further(local, remote) ?? newer
    if (FLAGS.test(column)) return isSet(local) ? local : isSet(remote) ? remote : newer
    if (MOMENTS.test(column)) return earlier(local, remote) ?? newer
    return newer
  })
}

/**
 * For projects and other things that several people edit: lists (JSON arrays, as tags or members) are united, the
 * moment of creation keeps the first, that of the last change the last. What is none of these: the newer value. An
 * item that only one side took out of a list is there again: a list does not tell what was in it before.
 */
export function projectResolver<Met extends AnyConflict>(conflict: Met): AnswerTo<Met> {
  return byColumn(conflict, (column, local, remote, newer) => {
    if (/^created_?at$/i.test(column)) return earlier(local, remote) ?? newer
    if (/^(updated|modified|changed)_?at$/i.test(column)) return later(local, remote) ?? newer
    return united(local, remote) ?? newer
  })
}

/**
 * For settings: JSON objects are merged key by key, at any depth, the newer side's value where both have the key.
 * What is no object: the newer value. Columns named in `keepLocal` (a window's place, a theme of this screen) keep
 * this device's value.
 */
export function settingsResolver(
  options: { readonly keepLocal?: readonly string[] } = {},
): <Met extends AnyConflict>(conflict: Met) => AnswerTo<Met> {
  const own = new Set<string>(options.keepLocal)
  return (conflict) =>
    byColumn(conflict, (column, local, remote, newer) => {
      if (own.has(column)) return local
      return mergedObjects(local, remote, newer === local) ?? newer
    })
}

/** The built-in strategies. */
export const ConflictResolvers = {
  newestWins,
  localWins,
  remoteWins,
  notificationResolver,
} as const

/** Ready-made resolvers for kinds of entity; each has its rule in its own description. */
export const ConflictResolverFactory = {
  createNotificationResolver: () => notificationResolver,
  createProjectResolver: () => projectResolver,
  createSettingsResolver: settingsResolver,
} as const

/**
 * The engine's resolver for this one, of the replica with this id. The three plain strategies are the engine's own,
 * column by column.
 */
export function toEngineResolver<Known extends Tables = { readonly [table: string]: Row }>(
  resolver: ConflictResolver<Known>,
  replica: string,
): NamedResolver {
  // The types of the tables are the application's word: nothing here depends on them.
  const resolve = resolver as unknown as ConflictResolver
  if (resolve === newestWins) return engineNewestWins(replica)
  if (resolve === localWins) return engineLocalWins
  if (resolve === remoteWins) return engineRemoteWins
  return {
    name: resolver.name === '' ? 'custom' : resolver.name,
    async resolve(conflict) {
      return toResolution(await resolve(toSyncConflict(conflict)), conflict)
    },
  }
}

function toResolution(answer: ConflictAnswer, conflict: Conflict): Resolution {
  // What is neither a word nor a row is the engine's to refuse.
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return answer as Resolution
  return encodeRow(answer, conflict.local, conflict.remote)
}

/**
 * The fields of a row of the application's, each in the form of the side that it came from. Throws `WrongAnswer`, which
 * names a column and never a value, for what is no plain object, and for a value that SQLite has not: `undefined` too,
 * which is a column that was forgotten or misspelt rather than one that is to be emptied.
 */
export function encodeRow(
  row: Row,
  local: Fields | null | undefined,
  remote: Fields | null | undefined,
): Fields {
  if (!isPlainObject(row)) throw new WrongAnswer('a row is a plain object: column → value')
  const given = Object.entries(row).map(([column, value]): [string, Encoded] => [
    column,
    keepForm(encodeSqlite(column, value), local?.[column], remote?.[column]),
  ])
  return Object.fromEntries(given)
}

/** A value that came from one of the sides keeps its exact form (I10). */
function keepForm(value: Encoded, local: Encoded | undefined, remote: Encoded | undefined): Encoded {
  const [asLocal, asRemote] = [local, remote].map((side) => encodeJs(decodeJs(value), side))
  if (local !== undefined && asLocal !== undefined && sameValue(asLocal, local)) return local
  return asRemote ?? value
}

function encodeSqlite(column: string, value: unknown): Encoded {
  if (value === null || typeof value === 'string') return encodeJs(value)
  // SQLite has no booleans.
  if (typeof value === 'boolean') return Number(value)
  if (typeof value === 'number' && !Number.isNaN(value)) return encodeJs(value)
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return encodeJs(value)
  // A Buffer is one, by another name.
  if (value instanceof Uint8Array) return encodeBytes(value)
  throw new WrongAnswer(`SQLite has no such value as is given for ${column}: ${kindOf(value)}`)
}

const kindOf = (value: unknown): string =>
  typeof value === 'object' && value !== null
    ? value.constructor.name
    : Number.isNaN(value)
      ? 'NaN'
      : typeof value

type Choose = (column: string, local: unknown, remote: unknown, newer: unknown) => unknown

function byColumn<Met extends AnyConflict>(conflict: Met, choose: Choose): AnswerTo<Met> {
  const { localTimestamp, remoteTimestamps } = conflict
  const [localData, remoteData] = [conflict.localData as Row, conflict.remoteData as Row]
  const chosen = conflict.fields.map((column) => {
    const [local, remote] = [localData[column], remoteData[column]]
    const newer = localTimestamp > (remoteTimestamps[column] ?? 0) ? local : remote
    return [column, choose(column, local, remote, newer)] as const
  })
  // The columns of the conflict are those of its rows.
  return Object.fromEntries(chosen) as AnswerTo<Met>
}

function further(local: unknown, remote: unknown): unknown {
  const [here, there] = [rank(local), rank(remote)]
  if (here < 0 || there < 0 || here === there) return undefined
  return here > there ? local : remote
}

const rank = (state: unknown): number =>
  typeof state === 'string' ? STATES.findIndex((words) => words.includes(state.toLowerCase())) : -1

const isSet = (flag: unknown): boolean => flag === true || flag === 1 || flag === 1n || flag === 'true'

/** The earlier of two moments in one form, numbers or ISO 8601 texts; the other where one is null. */
const earlier = (local: unknown, remote: unknown): unknown => moment(local, remote, (a, b) => a < b)
const later = (local: unknown, remote: unknown): unknown => moment(local, remote, (a, b) => a > b)

function moment(local: unknown, remote: unknown, first: (a: number, b: number) => boolean): unknown {
  if (local === null || remote === null) return local ?? remote ?? undefined
  const [here, there] = [toMs(local), toMs(remote)]
  if (Number.isNaN(here) || Number.isNaN(there)) return undefined
  return first(there, here) ? remote : local
}

const toMs = (value: unknown): number =>
  typeof value === 'number' ? value : typeof value === 'string' ? Date.parse(value) : Number.NaN

function united(local: unknown, remote: unknown): unknown {
  const [here, there] = [parsed(local), parsed(remote)]
  if (!Array.isArray(here) || !Array.isArray(there)) return undefined
  const all = new Map([...here, ...there].map((item) => [JSON.stringify(item), item] as const))
  return JSON.stringify([...all.values()])
}

type Json = { readonly [key: string]: unknown }

function mergedObjects(local: unknown, remote: unknown, localIsNewer: boolean): unknown {
  const [here, there] = [parsed(local), parsed(remote)]
  if (!isObject(here) || !isObject(there)) return undefined
  return JSON.stringify(localIsNewer ? mergeInto(there, here) : mergeInto(here, there))
}

function mergeInto(older: Json, newer: Json): Json {
  const merged = Object.entries(newer).map(([key, value]): [string, unknown] => {
    const before = Object.hasOwn(older, key) ? older[key] : undefined
    return [key, isObject(before) && isObject(value) ? mergeInto(before, value) : value]
  })
  return { ...older, ...Object.fromEntries(merged) }
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The JSON in a text; undefined when it is none. */
function parsed(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return undefined
  try {
    return JSON.parse(value) as unknown
  } catch {
    return undefined
  }
}
