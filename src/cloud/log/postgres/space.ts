import type { Clock } from '../../../kernel/clock.ts'
import { TidemarkError } from '../../../kernel/errors.ts'
import type { Generation } from '../../../protocol/records.ts'
import type { Metrics } from '../../metrics.ts'
import type { Connection, Database } from '../../postgres/pool.ts'
import { currentGeneration, tellGeneration, type History } from '../history.ts'
import type { Cursor } from '../../../protocol/records.ts'

/** What every step on the database needs. */
export interface Storage {
  readonly database: Database
  readonly clock: Clock
  readonly metrics: Metrics
  readonly newId: () => string
  readonly histories: Histories
}

/** What each of the functions says of the space it looked at. */
export interface About {
  readonly epoch: string
  readonly generation: string
  readonly head: number
  readonly floor: number
  readonly schema: number
  /** The transaction that last wrote the space: while it is the same, nothing has moved. */
  readonly wrote: string
  /** Whether this life of the database has its generation in the space. */
  readonly fresh: boolean
}

/** A space as it was at one moment. */
export interface Space extends History {
  readonly schema: number
}

/** The generations of spaces: a list never changes but for what is added, so it is asked for once for each newest. */
export class Histories {
  readonly #known = new Map<string, readonly Generation[]>()

  async read(connection: Connection, id: string, about: About): Promise<Space> {
    const { epoch, head, floor, schema, generation } = about
    const known = this.#known.get(id)
    if (known?.at(-1)?.id === generation) return { epoch, head, floor, schema, generations: known }
    const all = await connection.query<Generation>(GENERATIONS, [id])
    // One that began since is not of the moment that `about` is of.
    const generations = all.slice(0, all.findIndex((one) => one.id === generation) + 1)
    if (generations.length === 0)
      throw new TidemarkError('unavailable', 'The database was changed under a request')
    this.#known.set(id, generations)
    return { epoch, head, floor, schema, generations }
  }
}

const GENERATIONS = {
  name: 'tidemark generations',
  text: `SELECT g.id, g.start FROM tidemark.generations g JOIN tidemark.spaces s ON s.no = g.space
    WHERE s.id = $1 ORDER BY g.number`,
}
const BEGIN = {
  name: 'tidemark begin',
  text: 'SELECT tidemark.begin_generation_1($1, $2, $3) AS head',
}
/** The database is started, or put back, so often during one request that there must be something wrong with it. */
const MAX_LIVES = 10

/**
 * Runs `read` until what it tells is of this life of the database, whose generation begins here where it has not
 * yet: durably before anything is answered from the space (I11). `read` answers null where there is no such space.
 */
export async function inThisLife<T extends { readonly about: About }>(
  { database, newId }: Storage,
  id: string,
  read: () => Promise<T | null>,
): Promise<T> {
  for (let lives = 0; lives < MAX_LIVES; lives++) {
    const found = await read()
    if (found === null) throw new TidemarkError('space_not_found')
    if (found.about.fresh) return found
    await database.query(BEGIN, [id, newId(), false])
  }
  throw new TidemarkError('unavailable', 'The database is started again and again')
}

/** Takes the space's lock until the end of the transaction, and answers it as it is now, in this life of the database. */
export async function lockSpace(
  storage: Storage,
  connection: Connection,
  id: string,
): Promise<Space & { readonly no: number; readonly tables: string }> {
  // Locks whether or not it has to begin one. What is read comes in a statement of its own: the one that waited for
  // the lock still sees what was before.
  await connection.query(BEGIN, [id, storage.newId(), false])
  const [row] = await connection.query<About & { no: number; tables: string }>(LOCKED, [id])
  if (row === undefined) throw new TidemarkError('space_not_found')
  return { ...(await storage.histories.read(connection, id, row)), no: row.no, tables: row.tables }
}

const LOCKED = {
  name: 'tidemark locked',
  text: `SELECT no, epoch, generation, head, floor, schema, schema_tables AS tables, wrote::text, true AS fresh
    FROM tidemark.spaces WHERE id = $1`,
}

/** How a write of a row of `spaces` leaves its marks. */
export const MARKS = 'boot = tidemark.boot_1(), wrote = pg_current_xact_id()'

/** What answers begin with. */
export const answerOf = (space: Space, cursor: Cursor | null) => ({
  epoch: space.epoch,
  generation: tellGeneration(space, cursor),
})

export const newestOf = (space: Space) => ({
  epoch: space.epoch,
  generation: currentGeneration(space),
  head: space.head,
})
