import { sleep, type Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { isPassing } from './failure.ts'
import type { Connection, Database } from './pool.ts'

/**
 * One step of the database's tables and functions, from the one before it. Never changed once released, and
 * additive: nodes of the program before it work on while it is taken, and after it.
 */
export interface Migration {
  /** Counts up from 1. */
  readonly number: number
  readonly sql: string
  /**
   * The oldest number whose program still reads and writes rightly after this step. A step that is not safe for
   * older ones drops the functions that only they call.
   */
  readonly readableFrom: number
}

/** "Tidemark" in eight letters: the advisory lock that one migration at a time holds. */
const MIGRATION_LOCK = '6082513440961786731'
/** Milliseconds. */
interface MigrationWaits {
  readonly lockMs: number
  readonly pauseMs: number
}

/**
 * A migration that has to wait for a lock stops all who come after it: it gives up soon, and tries again after a
 * time in which they get on. Longer than a second, since only then PostgreSQL ends an autovacuum that is in the way.
 */
const WAITS: MigrationWaits = { lockMs: 1_500, pauseMs: 5_000 }
const TRIES = 30

/**
 * Brings a database up to date, each step in a transaction of its own: of several nodes one does it and the others
 * find it done. Throws `needs_upgrade` when a newer program has changed it in a way that this one cannot read.
 */
export async function migrate(
  database: Database,
  migrations: readonly Migration[],
  clock: Clock,
  waits: MigrationWaits = WAITS,
): Promise<void> {
  const newest = migrations.at(-1)?.number ?? 0
  for (let tries = 1; ; tries++) {
    try {
      while (!(await takeStep(database, migrations, newest, waits)));
      return
    } catch (error) {
      if (!isPassing(error) || tries === TRIES) throw error
      await sleep(clock, waits.pauseMs)
    }
  }
}

/** The step that is next, if there is one; true when there is none. */
async function takeStep(
  database: Database,
  migrations: readonly Migration[],
  newest: number,
  { lockMs }: MigrationWaits,
): Promise<boolean> {
  const before = await readLevel(database)
  checkLevel(before, newest)
  if (before.number >= newest) return true
  return database.transaction(async (connection) => {
    await connection.query(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`)
    const level = await readLevel(connection)
    checkLevel(level, newest)
    const step = migrations.find(({ number }) => number > level.number)
    if (step === undefined) return true
    await connection.query(`SET LOCAL lock_timeout = ${lockMs}; SET LOCAL statement_timeout = 0`)
    if (level.number === 0) await connection.query(FIRST)
    await connection.query(step.sql)
    await connection.query('UPDATE tidemark.level SET number = $1, readable_from = $2', [
      step.number,
      step.readableFrom,
    ])
    return false
  })
}

const FIRST = `
DO $$ BEGIN
  -- Where an operator made the schema, our role need not be allowed to.
  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'tidemark') THEN CREATE SCHEMA tidemark; END IF;
END $$;
CREATE TABLE tidemark.level (number int NOT NULL, readable_from int NOT NULL);
INSERT INTO tidemark.level VALUES (0, 0);
`

export interface Level {
  /** 0: nothing is there yet. */
  readonly number: number
  readonly readableFrom: number
}

/** What the database is at. */
export async function readLevel(connection: Connection): Promise<Level> {
  // Asked of the catalogue itself: `to_regclass` may remember that it was not there before we waited for the lock.
  const found = await connection.query(
    `SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'tidemark' AND c.relname = 'level'`,
  )
  if (found.length === 0) return { number: 0, readableFrom: 0 }
  const [level] = await connection.query<Level>(
    'SELECT number, readable_from AS "readableFrom" FROM tidemark.level',
  )
  return level ?? { number: 0, readableFrom: 0 }
}

function checkLevel({ readableFrom }: Level, newest: number): void {
  if (readableFrom <= newest) return
  throw new TidemarkError('needs_upgrade', 'A newer version of Tidemark has changed this database', {
    details: { database: readableFrom, program: newest },
  })
}
