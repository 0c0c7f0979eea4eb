import type { Clock } from '../../kernel/clock.ts'
import { heldTooLong } from '../../stores/sqlite/store/turn.ts'

/** A client of Knex with its pool, and what that holds; it is not in Knex's types. */
export interface PooledClient {
  /** Absent once it is destroyed. */
  readonly pool?: Pool
  acquireConnection(): Promise<unknown>
  releaseConnection(connection: unknown): Promise<void>
}

interface Pool {
  readonly max?: number
  readonly destroyed?: boolean
  readonly used?: readonly Pooled[]
  readonly free?: readonly Pooled[]
}

interface Pooled {
  readonly resource?: {
    readonly inTransaction?: unknown
    readonly isOpen?: unknown
    readonly isTransaction?: unknown
  } | null
}

/** How long a caller waits. */
interface Waiting {
  readonly clock: Clock
  readonly waitMs: number
}

/**
 * How long all connections of a pool are held while the last of them is waited for, the first time and at most, in
 * milliseconds: a transaction that itself waits for another connection goes on after that.
 */
const FIRST_HOLD_MS = 50
const LAST_HOLD_MS = 200

/** The pool was destroyed, or is about to be: nothing of it is given any more, and no transaction can begin. */
export const isGone = ({ pool }: PooledClient): boolean => pool === undefined || pool.destroyed === true

/** Of all connections: nothing keeps an application from a `BEGIN` of its own on one that it gives back. */
export const isInside = ({ pool }: PooledClient): boolean =>
  [...(pool?.used ?? []), ...(pool?.free ?? [])].some(
    ({ resource }) =>
      resource?.inTransaction === true || (resource?.isOpen === true && resource.isTransaction === true),
  )

/** One connection. Throws `database_locked` where none comes in time. */
export async function takeOne(
  client: PooledClient,
  waiting: Waiting,
): Promise<{ readonly connection: unknown; readonly giveBack: () => Promise<void> }> {
  const one = take(client)
  try {
    if (!(await within([one], waiting))) throw heldTooLong(waiting.waitMs)
  } catch (error) {
    await one.giveBack()
    throw error
  }
  return { connection: await one.taken, giveBack: one.giveBack }
}

/**
 * Takes a connection of the pool, for SQLite the only one: its queue is fair, and whoever has it knows that no
 * transaction of Knex is open. Where the pool has more and one of those was in a transaction, the next attempts take
 * them all, for a while, so that those transactions end and no others begin. The answer gives back what is held.
 * `isHolding`: another pool is held meanwhile, so that this one is not waited for to the end.
 */
export async function keepOut(
  client: PooledClient,
  { attempt, isHolding, clock, waitMs }: Waiting & { readonly attempt: number; readonly isHolding: boolean },
): Promise<() => Promise<void>> {
  if (isGone(client)) return async () => {}
  const holdMs = Math.min(FIRST_HOLD_MS * 2 ** attempt, LAST_HOLD_MS)
  const held: Taken[] = []
  const giveAllBack = async () => {
    await Promise.all(held.map((one) => one.giveBack()))
  }
  try {
    held.push(take(client))
    const isMine = await within(held, { clock, waitMs: isHolding ? holdMs : waitMs })
    if (!isMine && !isHolding) throw heldTooLong(waitMs)
    const others = attempt === 0 ? 0 : (client.pool?.max ?? 1) - 1
    held.push(...Array.from({ length: others }, () => take(client)))
    if (others > 0) await within(held, { clock, waitMs: holdMs })
  } catch (error) {
    await giveAllBack()
    throw error
  }
  return giveAllBack
}

/** A connection of the pool that is taken, or will be. */
interface Taken {
  readonly taken: Promise<unknown>
  /** At once where it is taken, else as soon as it is. */
  readonly giveBack: () => Promise<void>
}

function take(client: PooledClient): Taken {
  let connection: { readonly value: unknown } | null = null
  let isGivenBack = false
  const taken = client.acquireConnection().then(
    async (value) => {
      if (isGivenBack) await client.releaseConnection(value)
      else connection = { value }
      return value
    },
    (error: unknown) => {
      // What nobody waits for any more, and what a pool that is gone did not give, is missed by nobody.
      if (!isGivenBack && !isGone(client)) throw error
    },
  )
  return {
    taken,
    giveBack: async () => {
      isGivenBack = true
      if (connection !== null) await client.releaseConnection(connection.value)
    },
  }
}

/** Whether all are taken in time. */
async function within(connections: readonly Taken[], { clock, waitMs }: Waiting): Promise<boolean> {
  const late = Promise.withResolvers<false>()
  const cancel = clock.after(waitMs, () => late.resolve(false))
  try {
    const all = Promise.all(connections.map(({ taken }) => taken)).then(() => true)
    return await Promise.race([all, late.promise])
  } catch (error) {
    // Knex may have been told to wait less long.
    throw error instanceof Error && error.name === 'KnexTimeoutError' ? heldTooLong(waitMs, error) : error
  } finally {
    cancel()
  }
}
