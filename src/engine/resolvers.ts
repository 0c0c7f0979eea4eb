import { TidemarkError } from '../kernel/errors.ts'
import type { Hlc } from '../kernel/hlc.ts'
import { encodingFault, sameValue, type Encoded, type Fields } from '../kernel/values.ts'

/** What both sides changed, for a resolver. Values are encoded (`kernel/values.ts`). */
export interface Conflict {
  /** `field`: both edited; `insert`: both inserted under one key; `rejoined`: after a restored cloud. */
  readonly kind: 'field' | 'insert' | 'rejoined'
  readonly table: string
  readonly key: string
  /** The columns in question. */
  readonly columns: readonly string[]
  /** Both rows, whole. */
  readonly local: Fields
  readonly remote: Fields
  /** When the local row was last changed, and each column in question on the other side. */
  readonly localAt: Hlc
  readonly remoteTimes: { readonly [column: string]: Hlc }
  /** The replica that last wrote the other side. */
  readonly remoteBy: string
}

/**
 * - `local`, `remote`: that side's values for the columns in question.
 * - a row: these values for the columns it names; `local` for those it does not name.
 * - `wait`: nothing is chosen; the row waits in the inbox, everything else goes on.
 */
export type Resolution = 'local' | 'remote' | 'wait' | Fields

export type Resolver = (conflict: Conflict) => Resolution | Promise<Resolution>

/** A named resolver: the name is what the inbox says decided. */
export interface NamedResolver {
  readonly name: string
  readonly resolve: Resolver
}

/** Which resolver decides: a table's own, else the default. */
export interface ResolverSet {
  readonly default: NamedResolver
  readonly tables?: { readonly [table: string]: NamedResolver }
}

/** The later time wins, column by column; whole rows for two inserts. Ties go to the larger replica id. */
export function newestWins(replica: string): NamedResolver {
  return {
    name: 'newestWins',
    resolve(conflict) {
      const localIsNewer = (time: Hlc) =>
        conflict.localAt === time ? replica > conflict.remoteBy : conflict.localAt > time
      if (conflict.kind === 'insert') {
        return localIsNewer(Math.max(...Object.values(conflict.remoteTimes))) ? 'local' : 'remote'
      }
      const chosen = conflict.columns.map((column): [string, Encoded] => {
        const side = localIsNewer(conflict.remoteTimes[column] ?? 0) ? conflict.local : conflict.remote
        return [column, side[column] ?? null]
      })
      return Object.fromEntries(chosen)
    },
  }
}

export const localWins: NamedResolver = { name: 'localWins', resolve: () => 'local' }
export const remoteWins: NamedResolver = { name: 'remoteWins', resolve: () => 'remote' }
export const manual: NamedResolver = { name: 'manual', resolve: () => 'wait' }

/** Thrown in place of an answer when nobody waits for it any more: nothing is decided, now or later. */
export class NotAwaited extends TidemarkError {
  constructor() {
    super('aborted')
    this.name = 'NotAwaited'
  }
}

/** An answer that cannot be taken. The message tells of it without a value. */
export class WrongAnswer extends RangeError {
  constructor(message: string) {
    super(message)
    this.name = 'WrongAnswer'
  }
}

/** The same resolver until the signal aborts: one that has not answered by then holds nobody up, whatever it does. */
export const resolveUntil = ({ name, resolve }: NamedResolver, signal: AbortSignal): NamedResolver => ({
  name,
  resolve(conflict) {
    const answer = resolve(conflict)
    return answer instanceof Promise ? untilAborted(answer, signal) : answer
  },
})

async function untilAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const stopped = Promise.withResolvers<never>()
  const stop = () => stopped.reject(new NotAwaited())
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([answer, stopped.promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/**
 * Asks the resolver. One that throws, or answers something that is none of the answers, decides nothing: the
 * row waits in the inbox and `fault` says why (I9). `key`: the columns of the table's key. Throws `NotAwaited`.
 */
export async function resolveConflict(
  conflict: Conflict,
  resolver: NamedResolver,
  key: readonly string[] = [],
): Promise<{ readonly resolution: Resolution; readonly fault: string | null }> {
  try {
    const resolution = await resolver.resolve(conflict)
    const fault = resolutionFault(resolution, conflict, key)
    return fault === null ? { resolution, fault } : { resolution: 'wait', fault }
  } catch (thrown) {
    if (thrown instanceof NotAwaited) throw thrown
    if (thrown instanceof WrongAnswer) return { resolution: 'wait', fault: thrown.message }
    // The message of a thrown error may hold row values: only its kind is told.
    return {
      resolution: 'wait',
      fault: `the resolver threw ${thrown instanceof Error ? thrown.name : typeof thrown}`,
    }
  }
}

function resolutionFault(resolution: unknown, conflict: Conflict, key: readonly string[]): string | null {
  if (resolution === 'local' || resolution === 'remote' || resolution === 'wait') return null
  if (typeof resolution !== 'object' || resolution === null || Array.isArray(resolution)) {
    return 'the resolver answered neither local, remote, wait nor a row'
  }
  for (const [column, value] of Object.entries(resolution)) {
    if (!Object.hasOwn(conflict.local, column) && !Object.hasOwn(conflict.remote, column)) {
      return 'the row of the resolver has a column that the table lacks'
    }
    if (encodingFault(value) !== null) return 'the row of the resolver holds a value that cannot be carried'
    const isKept = [conflict.local, conflict.remote].some((side) => sameValue(side[column], value as Encoded))
    if (key.includes(column) && !isKept) return 'the row of the resolver has another key'
  }
  return null
}
