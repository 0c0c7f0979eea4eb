import { sleep, type Clock } from '../../../kernel/clock.ts'
import { TidemarkError } from '../../../kernel/errors.ts'
import { BUSY_MS, type Connection, type Driver } from '../driver/driver.ts'
import { SqliteFailure } from '../driver/failure.ts'

/**
 * Runs synchronous work of the store when it may begin. In a process of its own that is at once: who holds the lock
 * is somebody else, and SQLite waits for him. In the application's process it may be a transaction that is to go on
 * after an `await`: waiting for that one inside SQLite would stop the very thread that is to finish it.
 */
export type Turn = <T>(work: () => T) => Promise<T>

export const atOnce: Turn = async (work) => {
  await Promise.resolve()
  return work()
}

/** How long it is waited between two looks, from the first to the longest, in milliseconds. */
const FIRST_LOOK_MS = 1
const LAST_LOOK_MS = 25

export interface TurnOptions {
  readonly file: string
  readonly driver: Driver
  readonly clock: Clock
  /** Milliseconds after which a turn that does not come is `database_locked`. Default `BUSY_MS`. */
  readonly waitMs?: number
  /** Keeps the application's transactions out while the work is done; the answer lets them in again. */
  readonly enter?: () => Promise<() => Promise<void> | void>
}

/** Turns beside an application in the same process. */
export interface Turns extends Disposable {
  readonly turn: Turn
}

/** Waits, without stopping the thread, until nobody holds the file's write lock, and works then. */
export function takeTurns({ file, driver, clock, waitMs = BUSY_MS, enter }: TurnOptions): Turns {
  let look: Connection | null = null

  const isFree = (): boolean => {
    look ??= driver.open(file, { busyMs: 0 })
    try {
      look.exec('BEGIN IMMEDIATE')
    } catch (error) {
      if (error instanceof SqliteFailure && error.code === 'database_locked') return false
      throw error
    }
    look.exec('ROLLBACK')
    return true
  }

  const turn: Turn = async (work) => {
    const leave = await enter?.()
    try {
      const until = clock.now() + waitMs
      for (let pause = FIRST_LOOK_MS; !isFree(); pause = Math.min(pause * 2, LAST_LOOK_MS)) {
        if (clock.now() >= until) {
          throw new TidemarkError(
            'database_locked',
            `A transaction has held the database for ${Math.round(waitMs / 1_000)} s; a sync that is awaited inside a transaction cannot end`,
          )
        }
        await sleep(clock, pause)
      }
      return work()
    } finally {
      await leave?.()
    }
  }
  return {
    turn,
    [Symbol.dispose]() {
      look?.close()
      look = null
    },
  }
}
