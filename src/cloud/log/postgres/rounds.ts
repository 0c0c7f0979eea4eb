import { TidemarkError } from '../../../kernel/errors.ts'
import { Batches } from '../../postgres/batches.ts'
import { isOverdue, isPassing } from '../../postgres/failure.ts'
import type { Connection, Database } from '../../postgres/pool.ts'
import { commit, commitTogether, HELD, type CommitOf, type Committed } from './commit.ts'
import { readView, readViews, type View, type ViewOf } from './view.ts'

/** The two calls that a push is made of, and where else to ask meanwhile. */
export interface Rounds {
  readonly connection: Connection
  /** Null where there is no such space. */
  view(of: ViewOf): Promise<View | null>
  commit(of: CommitOf): Promise<Committed>
}

/** Spaces of one round trip; and so many are under way at the same time before others wait for the next. */
const LIMITS = { most: 32, underWay: 2 }
/** What is larger goes alone, and lets no others wait: rows and values; and characters to be written. */
const MAX_SHARED_ROWS = 100
const MAX_SHARED_CHARS = 64 * 1024

/** In place of an answer: it is to be asked for alone. */
export const ALONE = 'alone'

export const roundsOn = (connection: Connection): Rounds => ({
  connection,
  view: ({ id, asked, reads }) => readView(connection, id, asked, reads),
  commit: (of) => commit(connection, of),
})

/**
 * Spaces that are ready at one moment share a round trip, a transaction and a wait for the disk: most of what a small
 * push costs is the statements, not the rows. A space that somebody holds is left out and waits alone.
 */
export function roundsTogether(database: Database): Rounds {
  const alone = roundsOn(database)
  const views = new Batches<ViewOf, View | null | typeof ALONE>(LIMITS, (all) =>
    orAlone(all, () => readViews(database, all)),
  )
  const commits = new Batches<CommitOf, Committed | typeof HELD | typeof ALONE>(LIMITS, (all) =>
    orAlone(all, () => commitTogether(database, all)),
  )
  return {
    connection: database,
    async view(of) {
      if (of.asked === null || of.reads.rows.length + of.reads.claims.length > MAX_SHARED_ROWS)
        return alone.view(of)
      const view = await views.load(of)
      return view === ALONE ? alone.view(of) : view
    },
    async commit(of) {
      if (isLarge(of)) return alone.commit(of)
      const head = await commits.load(of)
      return head === ALONE || head === HELD ? alone.commit(of) : head
    },
  }
}

function isLarge({ folded: { writes, takes }, reads }: CommitOf): boolean {
  if (reads.rows.length + reads.claims.length > MAX_SHARED_ROWS) return true
  const chars = writes.reduce((sum, { text }) => sum + (text?.length ?? 0), 0)
  return takes.reduce((sum, { value }) => sum + value.length, chars) > MAX_SHARED_CHARS
}

/** One that cannot be done must not take the others with it (I9): nothing was done, and each is asked for alone. */
export async function orAlone<Question, Answer>(
  all: readonly Question[],
  ask: () => Promise<readonly Answer[]>,
): Promise<readonly (Answer | typeof ALONE)[]> {
  try {
    return await ask()
  } catch (error) {
    if (all.length === 1 || !isOfOne(error)) throw error
    return all.map(() => ALONE)
  }
}

/** Whether it may be the failure of one of them, and not of the database or the way to it. */
const isOfOne = (error: unknown): boolean =>
  isPassing(error) ||
  (error instanceof TidemarkError &&
    (error.code !== 'unavailable' || (isOverdue(error) && error.details['sqlstate'] !== undefined)))
